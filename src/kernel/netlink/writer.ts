import { kernelError } from '../errors.ts';

const MAX_ATTRIBUTE_BYTES = 0xffff;
const NLA_F_NESTED = 0x8000;
const FIRST_CAPACITY = 4096;

const encoder = new TextEncoder();

/**
 * Writes netlink messages one after the other into a growing buffer (`linux/netlink.h`). Netlink itself is host
 * endian, which is little endian on the machines Tortie runs on (x86-64, arm64); the `be` methods are for the
 * attributes that netfilter defines as big endian.
 */
export class MessageWriter {
	#bytes = new Uint8Array(FIRST_CAPACITY);
	#view = new DataView(this.#bytes.buffer);
	#length = 0;
	#messageStart = -1;

	/** Everything written so far; overwritten after {@link clear}. */
	get bytes(): Uint8Array {
		return this.#bytes.subarray(0, this.#length);
	}

	get length(): number {
		return this.#length;
	}

	clear(): void {
		this.#length = 0;
		this.#messageStart = -1;
	}

	/** Drops what was written after a former {@link length}. */
	truncate(length: number): void {
		this.#length = length;
		this.#messageStart = -1;
	}

	/** Starts a message (`struct nlmsghdr`). */
	begin(type: number, flags: number, sequence: number): void {
		const start = this.#reserve(16);
		this.#messageStart = start;
		this.#view.setUint32(start, 0, true);
		this.#view.setUint16(start + 4, type, true);
		this.#view.setUint16(start + 6, flags, true);
		this.#view.setUint32(start + 8, sequence, true);
		this.#view.setUint32(start + 12, 0, true);
	}

	/** Ends the message begun last. */
	end(): void {
		this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, true);
	}

	/** Sets flag bits of the message that begins at an offset. */
	addFlags(start: number, flags: number): void {
		this.#view.setUint16(start + 6, this.#view.getUint16(start + 6, true) | flags, true);
	}

	/** Fills in a length field written before. */
	setU16At(offset: number, value: number): void {
		this.#view.setUint16(offset, value, true);
	}

	/** Room for a fixed header of the message, zeroed, as a view on it; write at once. */
	header(size: number): DataView {
		const start = this.#reserve(size);
		this.#bytes.fill(0, start, start + size);
		return new DataView(this.#bytes.buffer, start, size);
	}

	/** Starts a nested attribute and returns the mark that {@link endNest} takes. */
	beginNest(type: number): number {
		return this.#attribute(type | NLA_F_NESTED, 0);
	}

	/** @throws KERNEL_BAD_ARGUMENT when the content is longer than an attribute can be */
	endNest(mark: number): void {
		const length = this.#length - mark;
		if (length > MAX_ATTRIBUTE_BYTES)
			throw kernelError('KERNEL_BAD_ARGUMENT', {
				message: `a netlink attribute of ${length} bytes is too long`,
				allowed: `at most ${MAX_ATTRIBUTE_BYTES} bytes`,
			});
		this.#view.setUint16(mark, length, true);
	}

	u8(type: number, value: number): void {
		// reserving can replace the view, so it comes first
		const start = this.#attribute(type, 1) + 4;
		this.#view.setUint8(start, value);
	}

	u16(type: number, value: number): void {
		const start = this.#attribute(type, 2) + 4;
		this.#view.setUint16(start, value, true);
	}

	u32(type: number, value: number): void {
		const start = this.#attribute(type, 4) + 4;
		this.#view.setUint32(start, value, true);
	}

	be16(type: number, value: number): void {
		const start = this.#attribute(type, 2) + 4;
		this.#view.setUint16(start, value);
	}

	be32(type: number, value: number): void {
		const start = this.#attribute(type, 4) + 4;
		this.#view.setUint32(start, value);
	}

	be64(type: number, value: bigint): void {
		const start = this.#attribute(type, 8) + 4;
		this.#view.setBigUint64(start, value);
	}

	/** An attribute without a value. */
	flag(type: number): void {
		this.#attribute(type, 0);
	}

	bytesOf(type: number, value: Uint8Array): void {
		if (value.length > MAX_ATTRIBUTE_BYTES - 4)
			throw kernelError('KERNEL_BAD_ARGUMENT', { message: `a netlink attribute of ${value.length} bytes is too long` });
		const start = this.#attribute(type, value.length) + 4;
		this.#bytes.set(value, start);
	}

	/**
	 * Text with a closing zero byte.
	 *
	 * @param limit largest number of bytes without it
	 * @throws KERNEL_BAD_ARGUMENT for text that is empty, too long or holds a zero byte
	 */
	string(type: number, value: string, limit: number): void {
		const text = encoder.encode(value);
		if (text.length === 0 || text.length > limit || text.includes(0))
			throw kernelError('KERNEL_BAD_ARGUMENT', {
				message: `${JSON.stringify(value)} is not usable as a name in the kernel`,
				found: value,
				allowed: `1 to ${limit} bytes, none of them zero`,
			});
		const start = this.#attribute(type, text.length + 1) + 4;
		this.#bytes.set(text, start);
		this.#bytes[start + text.length] = 0;
	}

	/** Writes an attribute's header, reserves its padded room and returns where it starts. */
	#attribute(type: number, valueLength: number): number {
		const padded = (valueLength + 7) & ~3;
		const start = this.#reserve(padded);
		this.#view.setUint16(start, valueLength + 4, true);
		this.#view.setUint16(start + 2, type, true);
		for (let index = start + 4 + valueLength; index < start + padded; index++) this.#bytes[index] = 0;
		return start;
	}

	#reserve(size: number): number {
		const start = this.#length;
		this.#length += size;
		if (this.#length > this.#bytes.length) {
			const grown = new Uint8Array(2 ** Math.ceil(Math.log2(this.#length)));
			grown.set(this.#bytes.subarray(0, start));
			this.#bytes = grown;
			this.#view = new DataView(grown.buffer);
		}
		return start;
	}
}
