import type { AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import type { PrefixIndex } from '../rib/prefix-index.ts';
import { putUint16 } from '../wire/bytes.ts';
import { Attribute, AttributeFlag, afiOf, HEADER_LENGTH, MAX_MESSAGE_LENGTH, MessageType, SAFI_UNICAST } from '../wire/constants.ts';
import { putHeader } from '../wire/framing.ts';
import { wireAttributes } from './wire-attributes.ts';

const CHUNK_LENGTH = 65536;
/** Flags, type, two octets of length, AFI, SAFI. */
const MP_UNREACH_HEAD = 7;
/** The same with next hop length and reserved octet. */
const MP_REACH_HEAD = 9;
/** The longest NLRI: length octet and an IPv6 address. */
const LONGEST_NLRI = 17;

/** Attributes longer than this leave no room for a route in a message; such a route cannot be announced. */
export const MAX_ATTRIBUTES_LENGTH = MAX_MESSAGE_LENGTH - HEADER_LENGTH - 4 - MP_REACH_HEAD - 32 - LONGEST_NLRI;

/** A run of whole UPDATE messages, meant for every member of a group but one. */
export interface Segment {
	readonly bytes: Uint8Array;
	/** Index of the peer that must not get it; 0 is none. */
	readonly except: number;
}

interface Run {
	readonly chunk: Uint8Array;
	readonly start: number;
	end: number;
	readonly except: number;
}

/**
 * Collects announcements and withdrawals of one family and packs them into UPDATE messages, all prefixes of an attribute set
 * together. One instance serves all groups of the family.
 */
export class UpdateBatch {
	readonly #index: PrefixIndex;
	readonly #attributes: AttributeTable;
	readonly #prefixes: Int32Array;
	/** Per position: position + 1 of the next one in its bucket. */
	readonly #next: Int32Array;
	#count = 0;
	/** Per bucket: number of the attribute set (0 withdraws), excluded peer, first and last position. */
	readonly #bucketSet: number[] = [];
	readonly #bucketExcept: number[] = [];
	readonly #bucketFirst: number[] = [];
	readonly #bucketLast: number[] = [];
	readonly #buckets = new Map<number, number>();
	#lastBucket = -1;
	#chunk = new Uint8Array(0);
	/** The same memory, for text. */
	#chunkText = Buffer.alloc(0);
	#used = 0;
	#runs: Run[] = [];

	/** @param capacity how many prefixes are added at most before {@link UpdateBatch.build} */
	constructor(index: PrefixIndex, attributes: AttributeTable, capacity: number) {
		this.#index = index;
		this.#attributes = attributes;
		this.#prefixes = new Int32Array(capacity);
		this.#next = new Int32Array(capacity);
	}

	/**
	 * @param set number of the attribute set, 0 to withdraw
	 * @param except index of the peer that must not get it
	 */
	add(prefix: number, set: number, except: number): void {
		const position = this.#count++;
		this.#prefixes[position] = prefix;
		this.#next[position] = 0;
		let bucket = this.#lastBucket;
		if (bucket < 0 || this.#bucketSet[bucket] !== set || this.#bucketExcept[bucket] !== except) {
			bucket = this.#bucketFor(set, except, position);
			this.#lastBucket = bucket;
			if (this.#bucketLast[bucket] === position) return;
		}
		this.#next[this.#bucketLast[bucket] as number] = position + 1;
		this.#bucketLast[bucket] = position;
	}

	/**
	 * Packs what was added, withdrawals first, and empties the batch.
	 *
	 * @param as4 whether the receivers take four-octet AS numbers
	 */
	build(as4: boolean): readonly Segment[] {
		if (this.#count === 0) return [];
		for (let bucket = 0; bucket < this.#bucketSet.length; bucket++) if (this.#bucketSet[bucket] === 0) this.#withdraw(bucket);
		for (let bucket = 0; bucket < this.#bucketSet.length; bucket++) {
			const set = this.#bucketSet[bucket] as number;
			if (set === 0) continue;
			const attributes = this.#attributes.get(set);
			if (!as4 && wireAttributes(attributes, as4).length > MAX_ATTRIBUTES_LENGTH) this.#withdraw(bucket);
			else if (this.#index.family === 4 && attributes.nextHop?.family === 4) this.#announcePlain(bucket, as4);
			else this.#announceMp(bucket, as4);
		}
		const segments = this.#runs.map(({ chunk, start, end, except }) => ({ bytes: chunk.subarray(start, end), except }));
		this.#runs = [];
		this.#count = 0;
		this.#bucketSet.length = this.#bucketExcept.length = this.#bucketFirst.length = this.#bucketLast.length = 0;
		this.#buckets.clear();
		this.#lastBucket = -1;
		return segments;
	}

	#bucketFor(set: number, except: number, position: number): number {
		const key = set * 65536 + except;
		const known = this.#buckets.get(key);
		if (known !== undefined) return known;
		const bucket = this.#bucketSet.length;
		this.#buckets.set(key, bucket);
		this.#bucketSet.push(set);
		this.#bucketExcept.push(except);
		this.#bucketFirst.push(position);
		this.#bucketLast.push(position);
		return bucket;
	}

	#withdraw(bucket: number): void {
		const { family } = this.#index;
		for (let position = (this.#bucketFirst[bucket] as number) + 1; position > 0; ) {
			const start = this.#open();
			let offset = start + HEADER_LENGTH;
			if (family === 4) {
				const nlri = offset + 2;
				const limit = start + MAX_MESSAGE_LENGTH - 2;
				position = this.#packNlri(position, nlri, limit);
				putUint16(this.#chunk, offset, this.#used - nlri);
				this.#used = putUint16(this.#chunk, this.#used, 0);
			} else {
				offset = putUint16(this.#chunk, offset, 0);
				position = this.#packNlri(position, offset + 2 + MP_UNREACH_HEAD, start + MAX_MESSAGE_LENGTH);
				putUint16(this.#chunk, offset, this.#used - offset - 2);
				this.#mpHead(offset + 2, Attribute.mpUnreach, this.#used - offset - 6);
			}
			this.#close(start, this.#bucketExcept[bucket] as number);
		}
	}

	/** IPv4 routes with an IPv4 next hop: NEXT_HOP among the attributes, NLRI at the end. */
	#announcePlain(bucket: number, as4: boolean): void {
		const set = this.#attributes.get(this.#bucketSet[bucket] as number);
		for (let position = (this.#bucketFirst[bucket] as number) + 1; position > 0; ) {
			const start = this.#open();
			let offset = putUint16(this.#chunk, start + HEADER_LENGTH, 0) + 2;
			const attributes = offset;
			offset = this.#putAttributes(set, offset, as4);
			putUint16(this.#chunk, attributes - 2, offset - attributes);
			position = this.#packNlri(position, offset, start + MAX_MESSAGE_LENGTH);
			this.#close(start, this.#bucketExcept[bucket] as number);
		}
	}

	/** MP_REACH_NLRI comes first among the attributes (RFC 7606 §5.1). */
	#announceMp(bucket: number, as4: boolean): void {
		const set = this.#attributes.get(this.#bucketSet[bucket] as number);
		const nextHop = set.nextHop?.key ?? '';
		for (let position = (this.#bucketFirst[bucket] as number) + 1; position > 0; ) {
			const start = this.#open();
			const attributes = putUint16(this.#chunk, start + HEADER_LENGTH, 0) + 2;
			let offset = attributes + 7;
			this.#chunk[offset++] = nextHop.length;
			offset += this.#chunkText.write(nextHop, offset, 'latin1');
			this.#chunk[offset++] = 0;
			const length = as4 ? set.wireLength : wireAttributes(set, as4).length;
			position = this.#packNlri(position, offset, start + MAX_MESSAGE_LENGTH - length);
			this.#mpHead(attributes, Attribute.mpReach, this.#used - attributes - 4);
			this.#used = this.#putAttributes(set, this.#used, as4);
			putUint16(this.#chunk, attributes - 2, this.#used - attributes);
			this.#close(start, this.#bucketExcept[bucket] as number);
		}
	}

	/** Flags, type, length, AFI and SAFI of an MP attribute. */
	#mpHead(start: number, type: number, length: number): void {
		const chunk = this.#chunk;
		chunk[start] = AttributeFlag.optional | AttributeFlag.extendedLength;
		chunk[start + 1] = type;
		putUint16(chunk, start + 2, length);
		putUint16(chunk, start + 4, afiOf(this.#index.family));
		chunk[start + 6] = SAFI_UNICAST;
	}

	#putAttributes(set: AttributeSet, offset: number, as4: boolean): number {
		if (!as4) {
			const bytes = wireAttributes(set, as4);
			this.#chunk.set(bytes, offset);
			return offset + bytes.length;
		}
		const text = set.nextHop?.family === 6 ? set.key.slice(0, set.wireLength) : set.key;
		return offset + this.#chunkText.write(text, offset, 'latin1');
	}

	/** Writes NLRI while they fit below the limit; returns the next position + 1, or 0 at the bucket's end. */
	#packNlri(first: number, start: number, limit: number): number {
		const index = this.#index;
		const chunk = this.#chunk;
		let offset = start;
		let position = first;
		while (position > 0 && limit - offset >= LONGEST_NLRI) {
			offset = index.write(this.#prefixes[position - 1] as number, chunk, offset);
			position = this.#next[position - 1] as number;
		}
		this.#used = offset;
		return position;
	}

	/** Makes room for the longest message; returns where it starts. */
	#open(): number {
		if (this.#chunk.length - this.#used < MAX_MESSAGE_LENGTH) {
			this.#chunk = new Uint8Array(CHUNK_LENGTH);
			this.#chunkText = Buffer.from(this.#chunk.buffer);
			this.#used = 0;
		}
		return this.#used;
	}

	#close(start: number, except: number): void {
		putHeader(this.#chunk, start, MessageType.update, this.#used - start);
		const last = this.#runs.at(-1);
		if (last?.chunk === this.#chunk && last.except === except) last.end = this.#used;
		else this.#runs.push({ chunk: this.#chunk, start, end: this.#used, except });
	}
}
