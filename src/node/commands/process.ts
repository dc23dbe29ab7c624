import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type HostPaths, hostPaths } from '../host-paths.ts';
import type { Environment } from '../settings.ts';

/** A clean end may take this long before the process is ended regardless. */
const STOP_LIMIT_MS = 8000;

/** Fires when the process is asked to end; a second request, or too long a time, ends it at once. */
export function stopSignal(): AbortSignal {
	const stop = new AbortController();
	const onSignal = (): void => {
		if (stop.signal.aborted) process.exit(1);
		stop.abort();
		setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref();
	};
	process.on('SIGTERM', onSignal);
	process.on('SIGINT', onSignal);
	return stop.signal;
}

/** The host's files; `CALICO_HOST_ROOT` moves them, for several nodes on one machine. */
export function pathsFrom(env: Environment): HostPaths {
	return hostPaths(env['CALICO_HOST_ROOT'] || '/');
}

/** The host's files for a component that serves sockets among them: the directory of those exists afterwards. */
export function preparedPaths(env: Environment): HostPaths {
	const paths = pathsFrom(env);
	mkdirSync(dirname(paths.nodeSocket), { recursive: true });
	return paths;
}

/** The node's name that an earlier start left. */
export function storedNodeName({ nodeNameFile }: HostPaths): string | undefined {
	try {
		return readFileSync(nodeNameFile, 'utf8').trim() || undefined;
	} catch {
		return undefined;
	}
}
