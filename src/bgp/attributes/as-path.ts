import { putUint32, uint16, uint32 } from '../wire/bytes.ts';
import { AS_TRANS } from '../wire/constants.ts';

/** RFC 4271 §4.3. Confederation segments (RFC 5065) are malformed for us: we are never a member of one. */
export const Segment = { set: 1, sequence: 2 } as const;

/**
 * Whether an AS_PATH value is well formed: whole segments of a known type, none empty (RFC 7606 §7.2), no AS 0 (RFC 7607 §2).
 *
 * @param width octets per AS number, 2 or 4
 */
export function isAsPath(bytes: Uint8Array, start: number, end: number, width: 2 | 4): boolean {
	let offset = start;
	while (offset < end) {
		if (end - offset < 2) return false;
		const type = bytes[offset];
		const count = bytes[offset + 1] as number;
		offset += 2;
		if ((type !== Segment.set && type !== Segment.sequence) || count === 0 || count * width > end - offset) return false;
		for (const last = offset + count * width; offset < last; offset += width)
			if ((width === 2 ? uint16(bytes, offset) : uint32(bytes, offset)) === 0) return false;
	}
	return true;
}

/** The length of a well-formed four-octet AS_PATH for route selection: a set counts as one (RFC 4271 §9.1.2.2 a). */
export function asPathLength(bytes: Uint8Array, start: number, end: number): number {
	let length = 0;
	for (let offset = start; offset < end; ) {
		const count = bytes[offset + 1] as number;
		length += bytes[offset] === Segment.sequence ? count : 1;
		offset += 2 + count * 4;
	}
	return length;
}

/** The neighbouring AS of a well-formed four-octet AS_PATH, 0 if it is empty or starts with a set. */
export function neighborAs(bytes: Uint8Array, start: number, end: number): number {
	return end > start && bytes[start] === Segment.sequence ? uint32(bytes, start + 2) : 0;
}

/** How often an AS occurs in a well-formed four-octet AS_PATH. */
export function countAs(bytes: Uint8Array, start: number, end: number, asNumber: number): number {
	let found = 0;
	for (let offset = start; offset < end; ) {
		const next = offset + 2 + (bytes[offset + 1] as number) * 4;
		for (offset += 2; offset < next; offset += 4) if (uint32(bytes, offset) === asNumber) found++;
	}
	return found;
}

/** The numbers of a well-formed path in order, sets included. */
export function asNumbers(bytes: Uint8Array, start: number, end: number): number[] {
	const numbers: number[] = [];
	for (let offset = start; offset < end; ) {
		const next = offset + 2 + (bytes[offset + 1] as number) * 4;
		for (offset += 2; offset < next; offset += 4) numbers.push(uint32(bytes, offset));
	}
	return numbers;
}

/** Prepends numbers, leftmost first, to a well-formed four-octet AS_PATH; segments hold at most 255 numbers (RFC 4271 §5.1.2). */
export function prependAs(path: Uint8Array, numbers: readonly number[]): Uint8Array {
	let result = path;
	for (let index = numbers.length - 1; index >= 0; index--) {
		const grows = result.length > 0 && result[0] === Segment.sequence && (result[1] as number) < 255;
		const next = new Uint8Array(result.length + (grows ? 4 : 6));
		next[0] = Segment.sequence;
		next[1] = grows ? (result[1] as number) + 1 : 1;
		putUint32(next, 2, numbers[index] as number);
		next.set(grows ? result.subarray(2) : result, 6);
		result = next;
	}
	return result;
}

/** A well-formed two-octet AS_PATH with four octets per number. */
export function widenAsPath(bytes: Uint8Array, start: number, end: number): Uint8Array {
	const out: number[] = [];
	for (let offset = start; offset < end; ) {
		const count = bytes[offset + 1] as number;
		out.push(bytes[offset] as number, count);
		offset += 2;
		for (const last = offset + count * 2; offset < last; offset += 2) out.push(0, 0, bytes[offset] as number, bytes[offset + 1] as number);
	}
	return Uint8Array.from(out);
}

/** A well-formed four-octet AS_PATH with two octets per number, and whether a number had to be replaced (RFC 6793 §4.2.2). */
export function narrowAsPath(path: Uint8Array): { readonly path: Uint8Array; readonly lossy: boolean } {
	const out: number[] = [];
	let lossy = false;
	for (let offset = 0; offset < path.length; ) {
		const count = path[offset + 1] as number;
		out.push(path[offset] as number, count);
		offset += 2;
		for (const last = offset + count * 4; offset < last; offset += 4) {
			const wide = uint32(path, offset);
			const narrow = wide > 0xffff ? AS_TRANS : wide;
			lossy ||= narrow !== wide;
			out.push(narrow >> 8, narrow & 0xff);
		}
	}
	return { path: Uint8Array.from(out), lossy };
}

/**
 * The path a two-octet speaker meant: the leading part of its (widened) AS_PATH that AS4_PATH does not cover, then AS4_PATH.
 * AS4_PATH is ignored if it is longer (RFC 6793 §4.2.3).
 */
export function mergeAs4Path(path: Uint8Array, as4Path: Uint8Array): Uint8Array {
	const keep = asPathLength(path, 0, path.length) - asPathLength(as4Path, 0, as4Path.length);
	if (keep < 0) return path;
	const head: number[] = [];
	let left = keep;
	for (let offset = 0; offset < path.length && left > 0; ) {
		const type = path[offset] as number;
		const count = path[offset + 1] as number;
		const taken = type === Segment.set ? count : Math.min(count, left);
		head.push(type, taken, ...path.subarray(offset + 2, offset + 2 + taken * 4));
		left -= type === Segment.set ? 1 : taken;
		offset += 2 + count * 4;
	}
	return Uint8Array.from([...head, ...as4Path]);
}
