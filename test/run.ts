/**
 * Runs the tests: all layers, or those named (`unit`, `system`, `interop`, `faults`), or single files.
 * Afterwards it looks for what they left behind, prints every skipped test with its reason, and closes with
 * `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/** The directory-wide limit of one test file; a test with more to wait for says so itself. */
const FILE_TIMEOUT_MS = 300_000;

const LAYERS: Readonly<Record<string, { readonly pattern: string; readonly isolated: boolean }>> = {
	unit: { pattern: 'src/**/*.test.ts', isolated: false },
	system: { pattern: 'test/system/*.test.ts', isolated: true },
	interop: { pattern: 'test/interop/*.test.ts', isolated: true },
	faults: { pattern: 'test/faults/*.test.ts', isolated: true },
};

interface Totals {
	passed: number;
	failed: number;
	readonly skipped: string[];
	readonly failures: string[];
}

const totals: Totals = { passed: 0, failed: 0, skipped: [], failures: [] };
// Inherited by everything a test starts, so that what outlives the tests can be told from the rest of the machine.
const runMark = `tortie-test-${randomBytes(6).toString('hex')}`;
process.env['TORTIE_TEST_RUN'] = runMark;

const names = process.argv.slice(2);
const layers = names.length === 0 ? Object.keys(LAYERS) : names.filter((name) => Object.hasOwn(LAYERS, name));
const files = names.filter((name) => !Object.hasOwn(LAYERS, name));
const before = kernelObjects();

for (const layer of layers) {
	const { pattern, isolated } = LAYERS[layer] as { pattern: string; isolated: boolean };
	await runFiles(layer, globSync(pattern).sort(), isolated);
}
if (files.length > 0) await runFiles('named files', files, true);

for (const left of leftovers()) {
	totals.failed++;
	totals.failures.push(`left behind: ${left}`);
}
if (totals.skipped.length > 0) console.log(`\nskipped:\n${totals.skipped.map((line) => `  ${line}`).join('\n')}`);
if (totals.failures.length > 0) console.log(`\nfailed:\n${totals.failures.map((line) => `  ${line}`).join('\n')}`);
if (totals.passed + totals.failed === 0) {
	console.log('no test ran');
	totals.failed++;
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped.length} skipped`);
process.exit(totals.failed === 0 ? 0 : 1);

async function runFiles(layer: string, paths: readonly string[], isolated: boolean): Promise<void> {
	if (paths.length === 0) return;
	console.log(`\n=== ${layer}: ${paths.length} files`);
	const started = performance.now();
	const stream = run({
		files: [...paths],
		isolation: isolated ? 'process' : 'none',
		concurrency: isolated ? 1 : true,
		...(isolated ? { timeout: FILE_TIMEOUT_MS } : {}),
	});
	stream.on('test:pass', (event) => {
		if (event.details.type === 'suite' || isFileEvent(event)) return;
		if (event.skip === undefined && event.todo === undefined) totals.passed++;
		else totals.skipped.push(`${event.name}: ${String(event.skip ?? event.todo)}`);
	});
	stream.on('test:fail', (event) => {
		if (event.details.type === 'suite') return;
		totals.failed++;
		totals.failures.push(`${event.file ?? ''}: ${event.name}`);
	});
	const reporter = stream.compose(spec());
	for await (const chunk of reporter) process.stdout.write(String(chunk));
	console.log(`=== ${layer}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** With process isolation each file is itself reported as a test. */
function isFileEvent(event: { readonly name: string; readonly nesting: number }): boolean {
	return event.nesting === 0 && event.name.endsWith('.test.ts');
}

function kernelObjects(): ReadonlySet<string> {
	const objects = new Set<string>();
	for (const [kind, command, args] of [
		['network namespace', 'ip', ['netns', 'list']],
		['interface', 'ip', ['-brief', 'link']],
		['nftables table', 'nft', ['list', 'tables']],
	] as const) {
		const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
		for (const line of (stdout ?? '').split('\n')) if (line.trim() !== '') objects.add(`${kind} ${line.trim().split(/\s+\(id|\s{2,}/)[0]}`);
	}
	return objects;
}

function leftovers(): readonly string[] {
	const left = [...kernelObjects()].filter((object) => !before.has(object));
	for (const pid of readdirSync('/proc')) {
		if (!/^[0-9]+$/.test(pid) || Number(pid) === process.pid) continue;
		try {
			if (readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`TORTIE_TEST_RUN=${runMark}`))
				left.push(`process ${pid}: ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`);
		} catch {
			// it ended between the listing and the reading
		}
	}
	return left;
}
