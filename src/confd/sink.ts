import type { RouterConfig } from '#bgp';
import type { ConfigProblem } from './problem.ts';

/** The BGP daemon that a router model is for: our own, or BIRD. */
export interface RouterSink {
	/**
	 * Makes the daemon run with this configuration, without touching sessions that it does not change. When it fails the daemon goes on with
	 * what it had.
	 *
	 * @returns what of it this daemon cannot do, and leaves out
	 */
	apply(config: RouterConfig, signal: AbortSignal): Promise<readonly ConfigProblem[]>;
}
