/** Something in the stored configuration that cannot be done as written; shown in logs and the node's status until it is mended. */
export interface ConfigProblem {
	/** The stored object it is about: `BGPPeer/rack-a`, `Node/worker-1`. */
	readonly subject: string;
	/** What is wrong, what was done instead and what to do about it. Never a secret. */
	readonly message: string;
}
