const MAX_LENGTH = 64;

/**
 * The candidate that a mistyped word most likely meant: equal but for case, or within a third of its length in edits
 * (insert, delete, replace, swap of neighbours).
 */
export function nearestName(word: string, candidates: Iterable<string>): string | undefined {
	if (word.length > MAX_LENGTH) return undefined;
	const wanted = word.toLowerCase();
	let best: string | undefined;
	let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
	for (const candidate of candidates) {
		if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
		const distance = editDistance(wanted, candidate.toLowerCase());
		if (distance < bestDistance) {
			best = candidate;
			bestDistance = distance;
		}
	}
	return best;
}

/** Optimal string alignment distance. */
function editDistance(a: string, b: string): number {
	let beforeLast: number[] = [];
	let last = Array.from({ length: b.length + 1 }, (_, index) => index);
	for (let row = 1; row <= a.length; row++) {
		const current = [row];
		for (let column = 1; column <= b.length; column++) {
			const same = a[row - 1] === b[column - 1];
			let distance = Math.min(
				(last[column] as number) + 1,
				(current[column - 1] as number) + 1,
				(last[column - 1] as number) + (same ? 0 : 1),
			);
			if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
				distance = Math.min(distance, (beforeLast[column - 2] as number) + 1);
			current.push(distance);
		}
		beforeLast = last;
		last = current;
	}
	return last[b.length] as number;
}
