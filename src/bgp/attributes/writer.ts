import { AttributeFlag } from '../wire/constants.ts';
import type { AttributeSet, AttributeTable } from './attribute-set.ts';

/** Room for the attributes of any message, widened AS_PATH included. */
const CAPACITY = 16384;

/** Builds the canonical bytes of an {@link AttributeSet}. Attributes are put in ascending order of type. */
export class AttributeWriter {
	readonly bytes = new Uint8Array(CAPACITY);
	/** The same memory; kept apart so that byte-wise code only ever sees one kind of array, which is faster. */
	readonly #text = Buffer.from(this.bytes.buffer);
	length = 0;

	reset(): void {
		this.length = 0;
	}

	/** @returns false if there is no room; nothing is written then */
	put(flags: number, type: number, value: Uint8Array, start = 0, end: number = value.length): boolean {
		const length = end - start;
		if (length > CAPACITY - 64 - this.length) return false;
		let offset = this.length;
		const { bytes } = this;
		bytes[offset++] = length > 255 ? flags | AttributeFlag.extendedLength : flags & ~AttributeFlag.extendedLength;
		bytes[offset++] = type;
		if (length > 255) bytes[offset++] = length >>> 8;
		bytes[offset++] = length;
		for (let index = start; index < end; index++) bytes[offset++] = value[index] as number;
		this.length = offset;
		return true;
	}

	/** @param nextHopKey an IPv6 next hop of 16 or 32 bytes; an IPv4 one is among the attributes */
	intern(table: AttributeTable, nextHopKey: string | undefined): AttributeSet {
		const end = nextHopKey === undefined ? this.length : this.length + this.#text.write(nextHopKey, this.length, 'latin1');
		return table.intern(this.#text.toString('latin1', 0, end), this.bytes, this.length);
	}
}
