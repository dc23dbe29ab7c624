/** Ports of a policy rule: an inclusive range of numbers, or the name of an endpoint's port. */
export type PortMatch = { readonly min: number; readonly max: number } | { readonly name: string };

const PORT_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;

/**
 * Reads a port as policy writes it: a number from `lowest` to 65535, `"min:max"`, a text of digits, or a port's name.
 *
 * @returns undefined if it is none of them
 */
export function parsePort(value: string | number, lowest: 0 | 1 = 1): PortMatch | undefined {
	if (typeof value === 'number') return range(value, value, lowest);
	const digits = /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(value);
	if (digits !== null) return range(Number(digits[1]), Number(digits[2] ?? digits[1]), lowest);
	return PORT_NAME.test(value) && !/^[0-9]+$/.test(value) ? { name: value } : undefined;
}

function range(min: number, max: number, lowest: number): PortMatch | undefined {
	return Number.isInteger(min) && min >= lowest && max >= min && max <= 65_535 ? { min, max } : undefined;
}
