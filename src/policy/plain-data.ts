/** Whether two values of plain data (primitives, lists and objects of plain data) are equal. */
export function samePlainData(a: unknown, b: unknown): boolean {
	if (Object.is(a, b)) return true;
	if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
	const names = Object.keys(a);
	return (
		names.length === Object.keys(b).length &&
		names.every(
			(name) => Object.hasOwn(b, name) && samePlainData((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
		)
	);
}
