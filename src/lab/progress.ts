import { setTimeout as sleep } from 'node:timers/promises';
import { labError } from './errors.ts';

/** A step that takes longer says so, and what it waits for, this often. */
const REPORT_EVERY_MS = 2000;
const POLL_MS = 25;
const MAX_REASON_LENGTH = 160;

/** Tells a person what is going on. */
export class Progress {
	readonly #write: (line: string) => void;
	/** What the running steps wait for. */
	#waitingFor = '';

	constructor(write: (line: string) => void) {
		this.#write = write;
	}

	/** Says one thing. */
	note(what: string): void {
		this.#write(`  ${what}`);
	}

	/** Does a part of the work, and says how long it took. */
	async step<T>(what: string, work: () => Promise<T>): Promise<T> {
		const started = performance.now();
		this.#waitingFor = '';
		const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
		const timer = setInterval(() => {
			this.#write(`  ${what}: ${seconds()} so far${this.#waitingFor === '' ? '' : `, waiting for ${this.#waitingFor}`}`);
		}, REPORT_EVERY_MS);
		try {
			const result = await work();
			this.#write(`  ${what}: ${seconds()}`);
			return result;
		} finally {
			clearInterval(timer);
		}
	}

	/**
	 * Polls until a condition holds.
	 *
	 * @param missing what is still missing, in words; undefined when nothing is
	 * @throws LAB_TIMEOUT with what was missing last; the signal's reason
	 */
	async until(missing: () => Promise<string | undefined> | string | undefined, limitMs: number, signal?: AbortSignal): Promise<void> {
		for (const end = performance.now() + limitMs; ; ) {
			const still = await missing();
			if (still === undefined) return;
			this.#waitingFor = still.length > MAX_REASON_LENGTH ? `${still.slice(0, MAX_REASON_LENGTH)}…` : still;
			if (performance.now() > end) throw labError('LAB_TIMEOUT', { message: `after ${limitMs / 1000} s there is still missing: ${still}` });
			await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
		}
	}
}
