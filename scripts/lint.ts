/** All static checks: `npm run lint`, or some of them: `npm run lint -- types boundaries`. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { FLOORS } from './rooms.ts';

/** Fewer modules than this means that the boundary check read nothing, not that all is well. */
const LEAST_MODULES = 60;

const checks: Readonly<Record<string, () => string | undefined>> = {
	format: () => run('biome', ['check', '--linter-enabled=false', '.']),
	types: () => run('tsc', ['--noEmit']),
	rules: () => run('oxlint', ['--type-aware']),
	boundaries: checkBoundaries,
	'unused-code': () => run('knip', ['--no-progress']),
	generated: () => run(process.execPath, ['scripts/generate-docs.ts', '--check']),
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !Object.hasOwn(checks, name));
if (unknown.length > 0) {
	console.error(`lint: no check named ${unknown.join(', ')}; there are: ${Object.keys(checks).join(', ')}`);
	process.exit(2);
}
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
	if (chosen.length > 0 && !chosen.includes(name)) continue;
	const complaint = check();
	console.log(`lint: ${name}: ${complaint === undefined ? 'ok' : 'FAILED'}`);
	if (complaint !== undefined) {
		console.log(complaint);
		failed++;
	}
}
process.exitCode = failed === 0 ? 0 : 1;

/** @returns what the tool printed if it failed */
function run(command: string, args: readonly string[]): string | undefined {
	const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
	if (error !== undefined) return `${command} did not start (${error.message}); run npm ci`;
	return status === 0 ? undefined : `${stdout}${stderr}`.trim() || `${command} exited with ${status}`;
}

function checkBoundaries(): string | undefined {
	const unlisted = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory() && !Object.hasOwn(FLOORS, entry.name));
	if (unlisted.length > 0) return `src/${unlisted[0]?.name} has no floor: add it to scripts/rooms.ts`;
	const { status, stdout, stderr } = spawnSync('depcruise', ['src', '--output-type', 'json'], { encoding: 'utf8', maxBuffer: 256 << 20 });
	if (stdout === '') return stderr || `depcruise exited with ${status} and said nothing`;
	const { summary } = JSON.parse(stdout) as { summary: { totalCruised: number; violations: readonly Violation[] } };
	if (summary.totalCruised < LEAST_MODULES) return `only ${summary.totalCruised} modules were read: the check would see nothing`;
	if (summary.violations.length === 0) return undefined;
	return summary.violations.map(({ from, to, rule }) => `${from} → ${to}: breaks the rule ${rule.name}`).join('\n');
}

interface Violation {
	readonly from: string;
	readonly to: string;
	readonly rule: { readonly name: string };
}
