import type { Confd } from '#confd';
import { explainError } from '#errors';
import type { Component, Instance } from '../supervision/component.ts';

/** confd under supervision. */
export class ConfdComponent implements Component {
	readonly name = 'confd';
	readonly #create: () => Confd;
	#current: Confd | undefined;

	constructor(create: () => Confd) {
		this.#create = create;
	}

	/** The manager, while it runs. */
	get current(): Confd | undefined {
		return this.#current;
	}

	start(): Promise<Instance> {
		const confd = this.#create();
		const stop = new AbortController();
		this.#current = confd;
		const ended = confd
			.run(stop.signal)
			.then(() => 'stopped', explainError)
			.finally(() => {
				this.#current = undefined;
			});
		return Promise.resolve({
			ended,
			health: () => ({ live: true, ready: confd.ready, reason: confd.ready ? '' : 'the BGP daemon has no configuration yet' }),
			async [Symbol.asyncDispose](): Promise<void> {
				stop.abort();
				await ended;
			},
		});
	}
}
