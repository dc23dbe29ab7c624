/**
 * Checks a run of NLRI (RFC 4271 §4.3) before anything of it is used.
 *
 * @param bits address length of the family
 * @param addPath whether each prefix is preceded by a path identifier (RFC 7911 §3)
 * @returns the number of prefixes, or -1 if a length is too great or runs past the end
 */
export function countNlri(bytes: Uint8Array, start: number, end: number, bits: number, addPath: boolean): number {
	let count = 0;
	let offset = start;
	while (offset < end) {
		if (addPath) offset += 4;
		if (offset >= end) return -1;
		const length = bytes[offset] as number;
		if (length > bits) return -1;
		offset += 1 + ((length + 7) >> 3);
		count++;
	}
	return offset === end ? count : -1;
}
