/** A number as Go's `%.5g` prints it: five significant digits, an exponent only for large ones. */
export function fiveDigits(value: number): string {
	if (value === 0) return '0';
	const exponent = Math.floor(Math.log10(Math.abs(value)));
	if (exponent >= 5 || exponent < -4) {
		const [mantissa, power] = value.toExponential(4).split('e') as [string, string];
		const sign = power.startsWith('-') ? '-' : '+';
		return `${trimZeros(mantissa)}e${sign}${power.replace(/^[+-]/, '').padStart(2, '0')}`;
	}
	return trimZeros(value.toFixed(Math.max(0, 4 - exponent)));
}

/** A count and its share of the total: `12 (5%)`. */
export function countWithShare(count: number, total: number): string {
	return `${fiveDigits(count)} (${total === 0 ? 0 : Math.round((100 * count) / total)}%)`;
}

function trimZeros(text: string): string {
	return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
