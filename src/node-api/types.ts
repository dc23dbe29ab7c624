import type { RouterStatus } from '#bgp';
import type { EndpointPolicy, Explanation } from '#policy';

/** The state of a node, as `calicoctl node status` and the probes show it. */
export interface NodeStatus {
	readonly nodeName: string;
	readonly version: string;
	/** Whether every component moves. */
	readonly live: boolean;
	/** Whether policy is enforced as the datastore has it. */
	readonly ready: boolean;
	/** Why not ready or not live, in words; empty if both. */
	readonly reason: string;
	readonly components: readonly ComponentStatus[];
	/** Which BGP daemon runs. */
	readonly backend: 'tortie' | 'bird' | 'none';
	/** Null while no BGP daemon runs. */
	readonly bgp: RouterStatus | null;
	/** Null while Felix does not run. */
	readonly policy: PolicySummary | null;
	/** Everything that cannot be done as it is stored or configured, by name. */
	readonly problems: readonly NodeProblem[];
}

export interface ComponentStatus {
	/** `startup`, `felix`, `bgpd`, `bird` or `confd`. */
	readonly name: string;
	readonly running: boolean;
	/** False while it does not move. */
	readonly live: boolean;
	readonly ready: boolean;
	/** Why it does not run, move or serve; empty if it does. */
	readonly reason: string;
	/** How often it has been started again. */
	readonly restarts: number;
	/** Since when it runs or does not, milliseconds since the epoch. */
	readonly sinceMs: number;
}

export interface PolicySummary {
	readonly state: 'starting' | 'waiting' | 'resync' | 'locked' | 'in-sync';
	readonly localEndpoints: number;
	readonly localPolicies: number;
}

export interface NodeProblem {
	/** The stored object, setting or part of the system that it is about. */
	readonly subject: string;
	readonly message: string;
}

/** A packet to explain, in the user's terms. */
export interface ExplainRequest {
	readonly source: string;
	readonly destination: string;
	/** A name such as `tcp`, or a number. */
	readonly protocol: string | number;
	readonly sourcePort?: number | undefined;
	/** Destination port. */
	readonly port?: number | undefined;
	readonly icmpType?: number | undefined;
	readonly icmpCode?: number | undefined;
}

/** What each path of the node API answers. */
export interface NodeApi {
	readonly 'GET /v1/status': { readonly request: undefined; readonly response: NodeStatus };
	readonly 'GET /v1/endpoints': { readonly request: undefined; readonly response: readonly EndpointPolicy[] };
	readonly 'POST /v1/explain': { readonly request: ExplainRequest; readonly response: Explanation };
}

/** The body of an answer that is not 200. */
export interface NodeApiFailure {
	readonly code: string;
	readonly message: string;
}

/** Where the node listens on a host whose root is `/`. */
export const NODE_SOCKET = '/var/run/calico/node.sock';
