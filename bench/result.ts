/** One line of a benchmark: our figure, and the peer's from the same run where there is one. */
export interface BenchResult {
	/** Stable name, such as `forward-1m`. */
	readonly name: string;
	readonly unit: 'ms' | 'µs' | 'ns' | 'MB' | 'percent' | '1/s';
	readonly ours: number;
	/** Who was measured beside us. */
	readonly peer: string | null;
	readonly theirs: number | null;
	/** Ours by theirs: below 1 is better than the peer. */
	readonly ratio: number | null;
}

/** A result with a peer. */
export function against(peer: string, name: string, unit: BenchResult['unit'], ours: number, theirs: number): BenchResult {
	return { name, unit, ours: round(ours), peer, theirs: round(theirs), ratio: round(ours / theirs) };
}

/** A result without a peer. */
export function alone(name: string, unit: BenchResult['unit'], ours: number): BenchResult {
	return { name, unit, ours: round(ours), peer: null, theirs: null, ratio: null };
}

/** Three significant places are more than such figures hold. */
function round(value: number): number {
	return Number(value.toPrecision(3));
}
