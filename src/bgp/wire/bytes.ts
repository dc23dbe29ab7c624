/** Big-endian reads without bounds checks of their own: callers have checked the length. */
export function uint16(bytes: Uint8Array, offset: number): number {
	return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

export function uint32(bytes: Uint8Array, offset: number): number {
	return ((uint16(bytes, offset) << 16) | uint16(bytes, offset + 2)) >>> 0;
}

/** Writes 16 bits; returns the offset behind them. */
export function putUint16(bytes: Uint8Array, offset: number, value: number): number {
	bytes[offset] = value >>> 8;
	bytes[offset + 1] = value;
	return offset + 2;
}

/** Writes 32 bits; returns the offset behind them. */
export function putUint32(bytes: Uint8Array, offset: number, value: number): number {
	bytes[offset] = value >>> 24;
	bytes[offset + 1] = value >>> 16;
	bytes[offset + 2] = value >>> 8;
	bytes[offset + 3] = value;
	return offset + 4;
}
