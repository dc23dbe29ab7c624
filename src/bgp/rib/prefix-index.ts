import type { Cidr, Family } from '#net';
import { cidrOf, cidrParts, formatIp, ipBytes } from '#net';

/** Small: columns that are replaced early on are not taken for constants by the compiler, which would cost its work again later. */
const INITIAL = 256;
/**
 * Neighbouring prefixes share a cache line of the table: the last bits of a prefix choose the place within a line. Tables arrive
 * roughly in order of address, so this saves most cache misses.
 */
const LINE = 16;
/** Collisions go on in the next line. Odd, so that every slot is reached. */
const STEP = LINE + 1;
/** STEP × this is 1 modulo 2³². */
const STEP_INVERSE = 0xf0f0f0f1;
/** Stands in the length column of a number that is not in use. */
const FREE = 255;

/**
 * The next length of columns that are full. Big steps: memory is only taken for what is written, and copying costs more than
 * address space.
 */
export function grownLength(length: number): number {
	return length < 65_536 ? length * 16 : length * 4;
}

/** Grows a column to a new number of elements; the old one must no longer be used. */
export function growInt32(column: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
	const grown = new Int32Array(length);
	grown.set(column);
	free(column);
	return grown;
}

/** Like {@link growInt32}, for bytes. */
export function growUint8(column: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
	const grown = new Uint8Array(length);
	grown.set(column);
	free(column);
	return grown;
}

/** Gives memory back at once; the collector does not know how much it is. Growing by `transfer` would touch every new page. */
function free(column: Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): void {
	column.buffer.transfer(0);
}

/**
 * Numbers the prefixes of one family densely, so that everything else about a prefix can live in columns. An open-addressing
 * hash table of numbers over columns of keys: about 17 bytes per IPv4 prefix.
 */
export class PrefixIndex {
	readonly family: Family;
	/** 32 bit words per address. */
	readonly #words: number;
	#addresses: Int32Array<ArrayBuffer>;
	#lengths: Uint8Array<ArrayBuffer>;
	/** Prefix number + 1, or 0. */
	#slots = new Int32Array(INITIAL * 2);
	#shift = 32 - Math.log2(INITIAL * 2);
	#capacity = INITIAL;
	#highWater = 0;
	#free: number[] = [];
	readonly #key: Int32Array;

	constructor(family: Family) {
		this.family = family;
		this.#words = family === 4 ? 1 : 4;
		this.#addresses = new Int32Array(INITIAL * this.#words);
		this.#lengths = new Uint8Array(INITIAL);
		this.#key = new Int32Array(this.#words);
	}

	/** Numbers ever given are below this one. */
	get highWater(): number {
		return this.#highWater;
	}

	get size(): number {
		return this.#highWater - this.#free.length;
	}

	/** Numbers are below this one until {@link PrefixIndex.intern} gives a number at or above it. */
	get capacity(): number {
		return this.#capacity;
	}

	/** The number of the prefix whose NLRI bytes start at `offset`, behind the length octet; -1 if it has none. */
	find(bytes: Uint8Array, offset: number, length: number): number {
		this.#load(bytes, offset, length);
		const slot = this.#locate(length);
		return (this.#slots[slot] as number) - 1;
	}

	/** Like {@link PrefixIndex.find}, giving a number to a new prefix. */
	intern(bytes: Uint8Array, offset: number, length: number): number {
		this.#load(bytes, offset, length);
		const slot = this.#locate(length);
		const known = this.#slots[slot] as number;
		return known > 0 ? known - 1 : this.#insert(slot, length);
	}

	internCidr(prefix: Cidr): number {
		const { address, length } = cidrParts(prefix);
		return this.intern(ipBytes(address), 0, length);
	}

	findCidr(prefix: Cidr): number {
		const { address, length } = cidrParts(prefix);
		return this.find(ipBytes(address), 0, length);
	}

	/** Gives a number back; nothing happens if it is not in use. */
	remove(prefix: number): void {
		if (this.#lengths[prefix] === FREE) return;
		this.#loadKnown(prefix);
		this.#closeGap(this.#locate(this.#lengths[prefix] as number));
		this.#lengths[prefix] = FREE;
		this.#free.push(prefix);
	}

	lengthOf(prefix: number): number {
		return this.#lengths[prefix] as number;
	}

	/** One 32 bit word of the address, signed. */
	wordOf(prefix: number, word: number): number {
		return this.#addresses[prefix * this.#words + word] as number;
	}

	/** Writes the prefix as NLRI; returns the offset behind it. */
	write(prefix: number, bytes: Uint8Array, start: number): number {
		const length = this.#lengths[prefix] as number;
		let offset = start;
		bytes[offset++] = length;
		let at = prefix * this.#words;
		let rest = length;
		for (; rest > 24; rest -= 32, at++) {
			const value = this.#addresses[at] as number;
			bytes[offset++] = value >>> 24;
			bytes[offset++] = value >>> 16;
			bytes[offset++] = value >>> 8;
			bytes[offset++] = value;
		}
		if (rest > 0) {
			const value = this.#addresses[at] as number;
			bytes[offset++] = value >>> 24;
			if (rest > 8) bytes[offset++] = value >>> 16;
			if (rest > 16) bytes[offset++] = value >>> 8;
		}
		return offset;
	}

	cidrOf(prefix: number): Cidr {
		const bytes = new Uint8Array(this.#words * 4);
		for (let index = 0; index < bytes.length; index++) bytes[index] = this.wordOf(prefix, index >> 2) >>> (24 - (index & 3) * 8);
		return cidrOf(formatIp(bytes), this.lengthOf(prefix));
	}

	/** Reads a key, host bits cleared. */
	#load(bytes: Uint8Array, start: number, length: number): void {
		const key = this.#key;
		let offset = start;
		let rest = length;
		for (let word = 0; word < key.length; word++, rest -= 32) {
			let value = 0;
			if (rest > 24) {
				value = ((bytes[offset] as number) << 24) | ((bytes[offset + 1] as number) << 16);
				value |= ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number);
				offset += 4;
				if (rest < 32) value &= -1 << (32 - rest);
			} else if (rest > 0) {
				value = (bytes[offset] as number) << 24;
				if (rest > 8) value |= (bytes[offset + 1] as number) << 16;
				if (rest > 16) value |= (bytes[offset + 2] as number) << 8;
				value &= -1 << (32 - rest);
			}
			key[word] = value;
		}
	}

	#loadKnown(prefix: number): void {
		const key = this.#key;
		for (let word = 0; word < key.length; word++) key[word] = this.#addresses[prefix * key.length + word] as number;
	}

	/** The home slot of the loaded key. */
	#home(length: number): number {
		const key = this.#key;
		const last = (length + 31) >> 5;
		const rest = -length & 31;
		let hash = length;
		let place = 0;
		for (let word = 0; word < last; word++) {
			let value = key[word] as number;
			if (word === last - 1) {
				value >>>= rest;
				place = value & (LINE - 1);
				value >>>= 4;
			}
			hash = mix(hash, value);
		}
		// the line also stirs the place, lest prefixes with equal last bits crowd one place of all lines
		const line = Math.imul(hash, 0x85ebca6b);
		return ((line >>> this.#shift) & -LINE) | ((place ^ line) & (LINE - 1));
	}

	/** The slot of the loaded key, or the empty one where it belongs. */
	#locate(length: number): number {
		const slots = this.#slots;
		const mask = slots.length - 1;
		let slot = this.#home(length);
		for (;;) {
			const entry = slots[slot] as number;
			if (entry === 0 || this.#holds(entry - 1, length)) return slot;
			slot = (slot + STEP) & mask;
		}
	}

	#holds(prefix: number, length: number): boolean {
		if (this.#lengths[prefix] !== length) return false;
		const key = this.#key;
		const at = prefix * key.length;
		for (let word = 0; word < key.length; word++) if (this.#addresses[at + word] !== key[word]) return false;
		return true;
	}

	#insert(slot: number, length: number): number {
		const prefix = this.#free.pop() ?? this.#highWater++;
		let place = slot;
		if (prefix === this.#capacity) {
			const wanted = this.#key.slice();
			this.#grow();
			this.#key.set(wanted);
			place = this.#locate(length);
		}
		const key = this.#key;
		for (let word = 0; word < key.length; word++) this.#addresses[prefix * key.length + word] = key[word] as number;
		this.#lengths[prefix] = length;
		this.#slots[place] = prefix + 1;
		return prefix;
	}

	#grow(): void {
		const count = this.#capacity;
		const capacity = grownLength(count);
		this.#addresses = growInt32(this.#addresses, capacity * this.#words);
		this.#lengths = growUint8(this.#lengths, capacity);
		const slots = new Int32Array(capacity * 2);
		free(this.#slots);
		this.#slots = slots;
		this.#shift = 32 - Math.log2(capacity * 2);
		this.#capacity = capacity;
		const mask = slots.length - 1;
		for (let prefix = 0; prefix < count; prefix++) {
			if (this.#lengths[prefix] === FREE) continue;
			this.#loadKnown(prefix);
			let slot = this.#home(this.#lengths[prefix] as number);
			while (slots[slot] !== 0) slot = (slot + STEP) & mask;
			slots[slot] = prefix + 1;
		}
	}

	/** Empties a slot and moves up what was displaced by it, so that no tombstones are needed. */
	#closeGap(start: number): void {
		const slots = this.#slots;
		const mask = slots.length - 1;
		let gap = start;
		for (let slot = (gap + STEP) & mask; slots[slot] !== 0; slot = (slot + STEP) & mask) {
			const entry = slots[slot] as number;
			this.#loadKnown(entry - 1);
			const home = this.#home(this.#lengths[entry - 1] as number);
			if (steps(home, slot, mask) < steps(gap, slot, mask)) continue;
			slots[gap] = entry;
			gap = slot;
		}
		slots[gap] = 0;
	}
}

/** One step of a multiplicative hash; the high bits are the good ones. */
function mix(hash: number, value: number): number {
	const product = Math.imul(hash ^ value, 0x9e3779b1);
	return product ^ (product >>> 15);
}

/** How many steps lead from one slot to another. */
function steps(from: number, to: number, mask: number): number {
	return Math.imul(to - from, STEP_INVERSE) & mask;
}
