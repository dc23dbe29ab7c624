/**
 * Builds what is delivered: the C parts, and one bundle of all components under `dist/`: `main.js`, the module that
 * threads begin with, and chunks that are loaded when a component is asked for. Skips what is newer than its sources.
 */
import { existsSync, globSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import './build-native.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const main = join(dist, 'main.js');

/** Whether every source is older than the bundle. */
function isCurrent(): boolean {
	if (!existsSync(main)) return false;
	const built = statSync(main).mtimeMs;
	const sources = [import.meta.filename, join(root, 'package-lock.json'), ...globSync(join(root, 'src/**/*.{ts,js}'))];
	return sources.every((path) => statSync(path).mtimeMs <= built);
}

async function bundle(): Promise<void> {
	// In a folder of its own first: a failed build must not leave half a bundle behind, nor a running process without its chunks.
	const unfinished = join(root, `dist.${process.pid}`);
	try {
		await build({
			absWorkingDir: root,
			entryPoints: { main: 'src/main.ts', 'thread-entry': 'src/node/thread-entry.ts' },
			outdir: unfinished,
			bundle: true,
			splitting: true,
			format: 'esm',
			platform: 'node',
			target: 'node24',
			// Every thread holds the text of what it loads.
			minifyWhitespace: true,
			minifySyntax: true,
			sourcemap: true,
			sourcesContent: false,
			legalComments: 'none',
			logLevel: 'warning',
			// CommonJS packages in the bundle ask for Node's own modules at run time.
			banner: { js: "import{createRequire as createBundleRequire}from'node:module';const require=createBundleRequire(import.meta.url);" },
		});
		writeFileSync(join(unfinished, 'package.json'), '{ "type": "module" }\n');
		rmSync(dist, { recursive: true, force: true });
		renameSync(unfinished, dist);
	} finally {
		rmSync(unfinished, { recursive: true, force: true });
	}
}

if (!isCurrent()) await bundle();
