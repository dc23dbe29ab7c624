/** Something that Felix cannot do as it is written; shown in logs and the node's status until it is mended. */
export interface FelixProblem {
	/** The stored object, setting or part of the kernel that it is about. */
	readonly subject: string;
	/** What is wrong and what holds meanwhile. */
	readonly message: string;
}
