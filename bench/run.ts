/** Runs one benchmark: `npm run bench -- NAME`. Prints a table, then one last line of JSON. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult } from './result.ts';

const SUPPORT: ReadonlySet<string> = new Set(['run.ts', 'result.ts']);

const name = process.argv[2] ?? '';
const file = join(import.meta.dirname, `${name}.ts`);
if (!/^[a-z][a-z0-9]*$/.test(name) || !existsSync(file)) {
	const names = readdirSync(import.meta.dirname).filter((entry) => /^[a-z0-9]+\.ts$/.test(entry) && !SUPPORT.has(entry));
	console.error(`usage: npm run bench -- NAME, where NAME is one of: ${names.map((entry) => entry.slice(0, -3)).join(', ')}`);
	process.exit(1);
}
const { run } = (await import(file)) as { readonly run: () => Promise<readonly BenchResult[]> };
const results = await run();
const rows = [
	['what', 'unit', 'ours', 'peer', 'theirs', 'ratio'],
	...results.map(({ name: what, unit, ours, peer, theirs, ratio }) =>
		[what, unit, ours, peer ?? '', theirs ?? '', ratio ?? ''].map(String),
	),
];
const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
console.log();
for (const row of rows)
	console.log(
		row
			.map((cell, column) => cell.padEnd(widths[column] ?? 0))
			.join('  ')
			.trimEnd(),
	);
console.log(JSON.stringify({ bench: name, results }));
