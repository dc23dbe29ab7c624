/** A dataplane on a test node, with its sockets. */
import { Dataplane, type DataplaneOptions } from '#dataplane';
import { Conntrack, NftSocket, Rtnetlink } from '#kernel';
import type { TestNamespace } from './netns.ts';

export class RunningDataplane implements AsyncDisposable {
	readonly dataplane: Dataplane;
	readonly nft: NftSocket;
	/** What it logged at warn and error. */
	readonly complaints: string[] = [];
	readonly #sockets: readonly Disposable[];

	constructor(node: TestNamespace, options: DataplaneOptions = {}) {
		const namespaceFd = node.fd;
		this.nft = new NftSocket({ namespaceFd });
		const rtnetlink = new Rtnetlink({ namespaceFd });
		const conntrack = new Conntrack({ namespaceFd });
		this.#sockets = [this.nft, rtnetlink, conntrack];
		const complain = (fields: object, message: string): void => void this.complaints.push(`${message} ${JSON.stringify(fields)}`);
		const logger = { debug: () => undefined, info: () => undefined, warn: complain, error: complain };
		const clock = {
			nowMs: () => performance.now(),
			schedule: (delayMs: number, run: () => void): (() => void) => {
				const timer = setTimeout(run, delayMs);
				return () => clearTimeout(timer);
			},
		};
		this.dataplane = new Dataplane({ nft: this.nft, rtnetlink, conntrack, clock, logger }, { namespaceFd, ...options });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.dataplane[Symbol.asyncDispose]();
		for (const socket of this.#sockets) socket[Symbol.dispose]();
	}
}
