import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { deleteNamedNamespace } from '#kernel';
import { endProcess, isRunning, type ProcessId, startTimeOf } from './process.ts';
import { readState, removeState } from './state.ts';

/** Time for a process to end by itself. */
const GRACE_MS = 3000;

/**
 * Removes everything of a lab: processes, namespaces, state. Works on labs that are up, half started or crashed, and may
 * be repeated.
 *
 * @returns false if there was nothing
 */
export async function takeDown(name: string): Promise<boolean> {
	const state = readState(name);
	if (state === undefined) return false;
	if (state !== 'unreadable') {
		await Promise.all(Object.values(state.processes).map((id) => endProcess(id, GRACE_MS)));
		// what was started by hand inside, or left by a process that was killed
		await Promise.all(processesIn(state.namespaces).map((id) => endProcess(id, 0)));
		for (const namespace of state.namespaces) deleteNamedNamespace(namespace);
	}
	removeState(name);
	return true;
}

/** Whether a lab of that name is up or being started; if not, there may be remains of one. */
export function isLiving(name: string): boolean {
	const state = readState(name);
	if (state === undefined || state === 'unreadable') return false;
	return state.phase === 'up' ? Object.values(state.processes).some(isRunning) : isRunning(state.starter);
}

/** The processes that run in network namespaces of these names, which are the lab's own. */
function processesIn(namespaces: readonly string[]): readonly ProcessId[] {
	const inodes = new Set(namespaces.flatMap((name) => inodeOf(name) ?? []));
	const found: ProcessId[] = [];
	for (const entry of readdirSync('/proc')) {
		if (!/^[0-9]+$/.test(entry)) continue;
		const pid = Number(entry);
		const startTime = startTimeOf(pid);
		if (startTime !== undefined && inodes.has(namespaceOf(pid))) found.push({ pid, startTime });
	}
	return found;
}

function inodeOf(name: string): string | undefined {
	try {
		return `net:[${statSync(`/run/netns/${name}`, { bigint: true }).ino}]`;
	} catch {
		return undefined;
	}
}

function namespaceOf(pid: number): string {
	try {
		return readlinkSync(`/proc/${pid}/ns/net`);
	} catch {
		return '';
	}
}
