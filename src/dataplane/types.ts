import type { EndpointId } from '#policy';

/** Where the dataplane says what it does: the call form of pino. */
export interface Logger {
	debug(fields: object, message: string): void;
	info(fields: object, message: string): void;
	warn(fields: object, message: string): void;
	error(fields: object, message: string): void;
}

/** Time, given in so that it can be made up. */
export interface Clock {
	/** Milliseconds that never go back, from any beginning. */
	nowMs(): number;
	/** Calls back once after a delay; the returned function calls it off. */
	schedule(delayMs: number, run: () => void): () => void;
}

/** What stands between an endpoint and its traffic, if anything. */
export type EndpointState =
	/** Policy, routes and settings are in the kernel. */
	| { readonly ready: true }
	| {
			readonly ready: false;
			readonly reason: 'not-written' | 'interface-missing' | 'interface-down' | 'refused' | 'failed';
			/** In words. */
			readonly message: string;
	  };

export interface ApplyResult {
	/** False while desired state is not in sync: then nothing is written. */
	readonly written: boolean;
	/** Of the endpoints that the delta set. */
	readonly endpoints: ReadonlyMap<EndpointId, EndpointState>;
}

export interface DataplaneStatus {
	/** Desired state was in sync and all of it is in the kernel. */
	readonly inSync: boolean;
	/** Deltas taken over, and the last of them that is in the kernel. */
	readonly deltas: number;
	readonly deltasWritten: number;
	readonly counts: {
		readonly endpoints: number;
		readonly chains: number;
		readonly sets: number;
		readonly setMembers: number;
		readonly routes: number;
	};
	/** What the dataplane did since its start. */
	readonly totals: {
		readonly transactions: number;
		readonly operations: number;
		readonly replacements: number;
		readonly repairs: number;
		readonly failures: number;
	};
	/** The failure that is in force, in words. */
	readonly lastError: string | undefined;
	readonly endpoints: ReadonlyMap<EndpointId, EndpointState>;
}
