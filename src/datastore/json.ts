/** `JSON` with source text access (ECMAScript proposal json-parse-with-source, in V8 since 11.4), which TypeScript does not declare yet. */
interface SourceJson {
	parse(text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown;
	rawJSON(text: string): object;
}
const sourceJson = JSON as unknown as SourceJson;

/**
 * Parses JSON without losing digits: an integer that a double can not hold becomes a bigint.
 *
 * @throws SyntaxError
 */
export function parseLosslessJson(text: string): unknown {
	return sourceJson.parse(text, (_key, value, { source }) =>
		typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?[0-9]+$/.test(source) ? BigInt(source) : value,
	);
}

/** Compact JSON in which a bigint is a plain number with all its digits. */
export function formatLosslessJson(value: unknown): string {
	return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? sourceJson.rawJSON(item.toString()) : item));
}
