import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inNamespace } from '#kernel';
import { labError } from './errors.ts';

/** A running process, told from a later one with the same number by its start time. */
export interface ProcessId {
	readonly pid: number;
	/** Clock ticks since boot (proc(5), `/proc/PID/stat`, field 22). */
	readonly startTime: string;
}

export interface SpawnOptions {
	/** Descriptor of the network namespace to start in. */
	readonly namespaceFd: number;
	readonly env: Readonly<Record<string, string>>;
	/** Takes what the process prints; appended to. */
	readonly logFile: string;
	readonly directory: string;
}

/**
 * Starts a process that outlives this one, in a process group of its own.
 *
 * @throws LAB_PROCESS_FAILED if it cannot be started
 */
export async function spawnDetached(command: string, args: readonly string[], options: SpawnOptions): Promise<ProcessId> {
	const log = openSync(options.logFile, 'a', 0o600);
	try {
		const child = inNamespace(options.namespaceFd, () =>
			spawn(command, args, { detached: true, stdio: ['ignore', log, log], env: options.env, cwd: options.directory }),
		);
		await started(child, command);
		child.unref();
		const pid = child.pid as number;
		return { pid, startTime: startTimeOf(pid) ?? 'ended' };
	} finally {
		closeSync(log);
	}
}

/** Resolves once the program runs; the exec has succeeded by then. */
function started(child: ChildProcess, command: string): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	child.once('spawn', resolve);
	child.once('error', (cause) => reject(labError('LAB_PROCESS_FAILED', { message: `${command} cannot be started`, cause })));
	return promise;
}

export function isRunning(id: ProcessId): boolean {
	return startTimeOf(id.pid) === id.startTime;
}

/**
 * Ends a process with its group: politely, and after `graceMs` by force.
 *
 * @returns when the process is gone
 */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
	if (isRunning(id)) signalGroup(id, graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
	if (graceMs > 0 && !(await goneWithin(id, graceMs))) signalGroup(id, 'SIGKILL');
	if (!(await goneWithin(id, 5000)))
		throw labError('LAB_TIMEOUT', { message: `process ${id.pid} does not end, even after SIGKILL`, path: `/proc/${id.pid}` });
}

/** Signals one process alone, not what it started. @returns false if it is gone already */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
	return isRunning(id) && kill(id.pid, signal);
}

/** With what it started; a process that leads no group, alone. */
function signalGroup(id: ProcessId, signal: NodeJS.Signals): void {
	if (!kill(-id.pid, signal)) kill(id.pid, signal);
}

function kill(pid: number, signal: NodeJS.Signals): boolean {
	try {
		return process.kill(pid, signal);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
		throw error;
	}
}

async function goneWithin(id: ProcessId, limitMs: number): Promise<boolean> {
	for (const end = performance.now() + limitMs; performance.now() < end; await sleep(20)) if (!isRunning(id)) return true;
	return !isRunning(id);
}

/** Undefined for a process that is gone, or ended and not yet waited for. */
export function startTimeOf(pid: number): string | undefined {
	let stat: string;
	try {
		stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
	} catch {
		return undefined;
	}
	// the command's name, in parentheses, may hold anything
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	return fields[0] === 'Z' ? undefined : fields[19];
}
