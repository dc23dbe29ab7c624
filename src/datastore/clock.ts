import { setTimeout as sleepFor } from 'node:timers/promises';

/** Time, as a module of whatever waits or writes dates. */
export interface Clock {
	/** Milliseconds since 1970. */
	now(): number;
	/** Ends early, without failing, when the signal fires. */
	sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
	now: () => Date.now(),
	sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
};

/** RFC 3339 in UTC with whole seconds, as Kubernetes writes times. */
export function timestamp(ms: number): string {
	return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
