import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ip } from '#net';
import { labError } from './errors.ts';
import type { LabOptions, PodSpec } from './plan.ts';
import type { ProcessId } from './process.ts';

/** Where the state of all labs is. Not in a temporary directory: it names processes that `down` ends. */
export const LABS_DIRECTORY = '/run/tortie-lab';

/** What has to be known to take a lab down or to attach to it, written before each thing is made. */
export interface LabState {
	readonly format: 1;
	readonly phase: 'starting' | 'up';
	/** Who starts the lab. */
	readonly starter: ProcessId;
	readonly options: LabOptions;
	/** Names under `/run/netns`. */
	readonly namespaces: readonly string[];
	/** By role: `etcd`, `pods`, a node's or router's name. */
	readonly processes: Readonly<Record<string, ProcessId>>;
	readonly pods: readonly PodRecord[];
}

export interface PodRecord extends PodSpec {
	readonly containerId: string;
	/** Name under `/run/netns`. */
	readonly netns: string;
	readonly addresses: readonly Ip[];
}

/** In etcd's notation, which wants a port even where there is none. */
const ETCD_SOCKET = 'etcd.sock:0';

/** The files of one lab. */
export interface LabPaths {
	readonly directory: string;
	readonly stateFile: string;
	readonly logsDirectory: string;
	readonly etcdData: string;
	/** etcd's second listener, for programs outside the lab's namespaces, relative to the directory. */
	readonly etcdSocketName: string;
	readonly etcdSocket: string;
	/** The control socket of the process that serves in the pods. */
	readonly podsSocket: string;
	hostRoot(node: string): string;
}

export function labPaths(name: string): LabPaths {
	const directory = join(LABS_DIRECTORY, name);
	return {
		directory,
		stateFile: join(directory, 'state.json'),
		logsDirectory: join(directory, 'logs'),
		etcdData: join(directory, 'etcd'),
		etcdSocketName: ETCD_SOCKET,
		etcdSocket: join(directory, ETCD_SOCKET),
		podsSocket: join(directory, 'pods.sock'),
		hostRoot: (node) => join(directory, 'hosts', node),
	};
}

/** The names of the labs that have left anything behind. */
export function listLabs(): readonly string[] {
	try {
		return readdirSync(LABS_DIRECTORY);
	} catch {
		return [];
	}
}

/**
 * Claims a lab's name.
 *
 * @throws LAB_ALREADY_UP
 */
export function createState(state: LabState): void {
	const paths = labPaths(state.options.name);
	mkdirSync(LABS_DIRECTORY, { recursive: true, mode: 0o700 });
	chmodSync(LABS_DIRECTORY, 0o700);
	try {
		mkdirSync(paths.directory, { mode: 0o700 });
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
		throw labError('LAB_ALREADY_UP', {
			message: `the lab "${state.options.name}" is up already`,
			path: paths.directory,
			hint: 'look at it with "npm run lab -- status", take it down with "npm run lab -- down"',
		});
	}
	mkdirSync(paths.logsDirectory);
	mkdirSync(paths.etcdData, { mode: 0o700 });
	writeState(state);
}

export function writeState(state: LabState): void {
	const { stateFile } = labPaths(state.options.name);
	writeFileSync(`${stateFile}.new`, JSON.stringify(state, null, '\t'), { mode: 0o600 });
	renameSync(`${stateFile}.new`, stateFile);
}

/** Undefined if there is no such lab; `unreadable` if its start was cut off before the state was written. */
export function readState(name: string): LabState | 'unreadable' | undefined {
	if (!listLabs().includes(name)) return undefined;
	try {
		const state = JSON.parse(readFileSync(labPaths(name).stateFile, 'utf8')) as LabState;
		return state.format === 1 ? state : 'unreadable';
	} catch {
		return 'unreadable';
	}
}

export function removeState(name: string): void {
	rmSync(labPaths(name).directory, { recursive: true, force: true });
}
