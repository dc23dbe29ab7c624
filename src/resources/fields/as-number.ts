/**
 * Reads an AS number: a number from 1 to 4294967295, a text of digits, or the `high.low` form of RFC 5396.
 *
 * @returns undefined if it is none of them
 */
export function parseAsNumber(value: string | number): number | undefined {
	if (typeof value === 'number') return inRange(value, 0xffff_ffff);
	const parts = /^([0-9]{1,10})(?:\.([0-9]{1,5}))?$/.exec(value);
	if (parts === null) return undefined;
	if (parts[2] === undefined) return inRange(Number(parts[1]), 0xffff_ffff);
	const high = Number(parts[1]);
	const low = Number(parts[2]);
	return high <= 0xffff && low <= 0xffff ? inRange(high * 0x1_0000 + low, 0xffff_ffff) : undefined;
}

function inRange(value: number, highest: number): number | undefined {
	return Number.isInteger(value) && value >= 1 && value <= highest ? value : undefined;
}
