/**
 * Builds what is in C: the system-call addon and the static CNI client. Skips what is newer than
 * its sources and this script.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');
const build = join(root, 'native/build');

interface Target {
	readonly output: string;
	readonly sources: readonly string[];
	/** Read by the compiler beside the sources. */
	readonly headers: readonly string[];
	readonly options: readonly string[];
}

const targets: readonly Target[] = [
	{
		output: join(build, 'tortie.node'),
		sources: globSync(join(root, 'native/addon/*.c')),
		headers: globSync(join(root, 'native/addon/*.h')),
		options: [
			'-O2',
			'-shared',
			'-fPIC',
			'-fvisibility=hidden',
			'-isystem',
			join(root, `node_modules/node-linux-${process.arch}/include/node`),
		],
	},
	{
		output: join(build, 'calico'),
		sources: [join(root, 'native/cni.c')],
		headers: [],
		options: ['-Os', '-static', '-s', `-DTORTIE_VERSION="v${manifest.version}"`],
	},
];

function isCurrent(target: Target): boolean {
	if (!existsSync(target.output)) return false;
	const built = statSync(target.output).mtimeMs;
	return [...target.sources, ...target.headers, import.meta.filename, join(root, 'package.json')].every(
		(path) => statSync(path).mtimeMs <= built,
	);
}

function compile(target: Target): boolean {
	// renamed into place, so that a running process keeps the file it has loaded
	const unfinished = `${target.output}.${process.pid}`;
	const run = spawnSync('gcc', ['-Wall', '-Wextra', '-Werror', ...target.options, '-o', unfinished, ...target.sources], {
		stdio: 'inherit',
	});
	if (run.error !== undefined) {
		console.error(`cannot run gcc (${run.error.message}); install it with: apt-get install gcc libc6-dev`);
		return false;
	}
	if (run.status !== 0) return false;
	renameSync(unfinished, target.output);
	return true;
}

mkdirSync(build, { recursive: true });
const outdated = targets.filter((target) => !isCurrent(target));
process.exitCode = outdated.every(compile) ? 0 : 1;
