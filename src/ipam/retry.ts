import { type CallOptions, type Clock, datastoreError } from '#datastore';
import { ipamError } from './errors.ts';

/** How often a read-change-write is tried before it gives up. */
const MAX_TRIES = 100;
const MAX_PAUSE_MS = 50;

export interface RetryModules {
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

/** Whether somebody else changed, made or deleted the object between reading and writing. */
export function isRace(error: unknown): boolean {
	return (
		datastoreError.is(error, 'DATASTORE_CONFLICT') ||
		datastoreError.is(error, 'DATASTORE_NOT_FOUND') ||
		datastoreError.is(error, 'DATASTORE_EXISTS')
	);
}

/**
 * Repeats a read-change-write as long as others get in between.
 *
 * @throws IPAM_CONTENTION after too many tries; whatever else the attempt throws
 */
export async function untilUncontended<T>(
	{ clock, random }: RetryModules,
	what: string,
	attempt: () => Promise<T>,
	options?: CallOptions,
): Promise<T> {
	for (let tries = 1; ; tries++) {
		try {
			return await attempt();
		} catch (error) {
			if (!isRace(error)) throw error;
			if (tries >= MAX_TRIES)
				throw ipamError('IPAM_CONTENTION', {
					message: `${what} did not succeed in ${MAX_TRIES} tries, as others change the same data`,
					cause: error,
				});
		}
		await clock.sleep(random() * Math.min(MAX_PAUSE_MS, tries), options?.signal);
	}
}

export async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
	try {
		return await call;
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
		throw error;
	}
}
