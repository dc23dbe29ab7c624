import { cniError } from './errors.ts';

export interface RequestQueueOptions {
	/** Requests served at the same time. */
	readonly maxRunning: number;
	/** Requests that may wait beyond those; more are turned away. */
	readonly maxWaiting: number;
}

/** A request with a key runs alone among those of its key; `exclusive` runs alone. */
export type QueueKey = string | typeof EXCLUSIVE;

export const EXCLUSIVE = Symbol('exclusive');

interface Waiting {
	readonly key: QueueKey;
	readonly start: () => void;
}

/** Serves requests in order of arrival: those of one container one after another, those of different containers side by side. */
export class RequestQueue {
	readonly #options: RequestQueueOptions;
	readonly #running = new Set<QueueKey>();
	#waiting: readonly Waiting[] = [];

	constructor(options: RequestQueueOptions) {
		this.#options = options;
	}

	/** Requests running and waiting. */
	get length(): number {
		return this.#running.size + this.#waiting.length;
	}

	/**
	 * Runs the job when its turn comes.
	 *
	 * @param signal gives up the place in the queue; a running job has to watch it by itself
	 * @throws CNI_TRY_AGAIN if too many wait already; the signal's reason; whatever the job throws
	 */
	async run<T>(key: QueueKey, job: () => Promise<T>, signal: AbortSignal): Promise<T> {
		await this.#turn(key, signal);
		try {
			return await job();
		} finally {
			this.#running.delete(key);
			this.#startNext();
		}
	}

	#turn(key: QueueKey, signal: AbortSignal): Promise<void> {
		signal.throwIfAborted();
		if (this.#waiting.length >= this.#options.maxWaiting)
			throw cniError('CNI_TRY_AGAIN', {
				message: `${this.#options.maxWaiting} requests are waiting on this node already`,
				hint: 'the runtime tries again by itself',
			});
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		const giveUp = (): void => {
			this.#waiting = this.#waiting.filter((other) => other !== waiting);
			reject(signal.reason as Error);
			this.#startNext();
		};
		const waiting: Waiting = {
			key,
			start: () => {
				signal.removeEventListener('abort', giveUp);
				resolve();
			},
		};
		signal.addEventListener('abort', giveUp, { once: true });
		this.#waiting = [...this.#waiting, waiting];
		this.#startNext();
		return promise;
	}

	#startNext(): void {
		const left: Waiting[] = [];
		const claimed = new Set<QueueKey>(this.#running);
		for (const waiting of this.#waiting) {
			const free = waiting.key === EXCLUSIVE ? claimed.size === 0 : !claimed.has(waiting.key) && !claimed.has(EXCLUSIVE);
			// who has to wait holds its key against later arrivals
			claimed.add(waiting.key);
			if (free && this.#running.size < this.#options.maxRunning) {
				this.#running.add(waiting.key);
				waiting.start();
			} else left.push(waiting);
		}
		this.#waiting = left;
	}
}
