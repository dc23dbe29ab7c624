import type { WorkloadEndpoint } from '#resources';

/** What the CNI server needs of the agent that enforces policy on this node. */
export interface PolicyAgent {
	/**
	 * Hands a new or changed endpoint of this node over, without the detour by the datastore's watch.
	 *
	 * @param endpoint as it was stored, with its resourceVersion
	 * @returns when the rules of this very endpoint are in the kernel
	 */
	endpointReady(endpoint: WorkloadEndpoint, signal: AbortSignal): Promise<void>;
	/** Whether endpoints can be taken; cheap, asked before every ADD and by STATUS. */
	readiness(): AgentReadiness;
}

export type AgentReadiness =
	| { readonly ready: true }
	/** `reason`: in words, such as `the datastore has not been read yet`. */
	| { readonly ready: false; readonly reason: string };
