import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { labError } from './errors.ts';

/** The programs that the lab runs: ours as they are installed, from sources or bundle, and Debian's. */
export interface LabPrograms {
	/** Node, and the launcher of all components. */
	readonly tortie: readonly [string, string];
	/** Directory of `tortie` and `calicoctl`. */
	readonly binDirectory: string;
	/** The CNI plugin. */
	readonly plugin: string;
	readonly etcd: string;
	readonly bird: string;
}

const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** @throws LAB_PROCESS_FAILED naming what is missing and how to get it */
export function findPrograms(): LabPrograms {
	const root = findRoot(import.meta.dirname);
	const plugin = join(root, 'native/build/calico');
	if (!existsSync(plugin)) throw missing('the CNI plugin', plugin, 'build it with "node scripts/build-native.ts"');
	return {
		tortie: [process.execPath, join(root, 'bin/tortie')],
		binDirectory: join(root, 'bin'),
		plugin,
		etcd: findSystemProgram('etcd', 'etcd-server'),
		bird: findSystemProgram('bird', 'bird2'),
	};
}

function findRoot(start: string): string {
	for (let folder = start; folder !== dirname(folder); folder = dirname(folder)) if (existsSync(join(folder, 'bin/tortie'))) return folder;
	throw missing('the program tortie', join(start, '…/bin/tortie'), 'run the lab from a checkout of the project');
}

function findSystemProgram(name: string, debianPackage: string): string {
	const folder = SYSTEM_DIRECTORIES.find((candidate) => existsSync(join(candidate, name)));
	if (folder === undefined)
		throw missing(`the program ${name}`, name, `install it with "apt-get install ${debianPackage}", or run "npm run setup"`);
	return join(folder, name);
}

function missing(what: string, path: string, hint: string): Error {
	return labError('LAB_PROCESS_FAILED', { message: `${what} is not there`, path, hint });
}
