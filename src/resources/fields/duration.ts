const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's durations are 64-bit nanoseconds. */
const MAX_MS = 2 ** 63 / 1e6;

/**
 * Reads a duration in the form of Go's `time.ParseDuration`: `1m30s`, `250ms`, `0`. Negative ones are no field's value.
 *
 * @returns milliseconds, or undefined if the text is not a duration
 */
export function parseDurationMs(text: string): number | undefined {
	if (text === '0') return 0;
	if (!/^(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text) || text.length > 64) return undefined;
	let total = 0;
	for (const [, count, unit] of text.matchAll(/([0-9.]+)([a-zµμ]+)/g)) total += Number(count) * (UNIT_MS[unit as string] as number);
	return total < MAX_MS ? total : undefined;
}
