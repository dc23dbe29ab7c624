import type { ComponentStatus } from '#node-api';
import type { CallMessage } from './channel.ts';

/** How a component is doing, as it says itself. */
export interface Health {
	readonly ready: boolean;
	/** Why it is not ready, in words; empty if it is. */
	readonly reason: string;
}

/** From the supervisor to a thread. */
export type ToThread =
	| CallMessage
	/** Close what is open and end. */
	| { readonly type: 'stop' };

/** From a thread to the supervisor. */
export type FromThread =
	| CallMessage
	/** It runs and takes calls. */
	| { readonly type: 'started' }
	/** Every second, as a sign of life; `components` are those that it supervises itself. */
	| { readonly type: 'heartbeat'; readonly health: Health; readonly components: readonly ComponentStatus[] }
	/** It is through, for this reason, and ends. */
	| { readonly type: 'ended'; readonly reason: string };
