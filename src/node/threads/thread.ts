import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { ComponentStatus } from '#node-api';
import { nodeError } from '../errors.ts';
import type { Component, Instance } from '../supervision/component.ts';
import { CallChannel, type Methods } from './channel.ts';
import type { FromThread, Health, ToThread } from './messages.ts';

/** A first start reads every module from disk, maybe on a busy machine. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 4000;
/** Threads tell every second that they move; one that has not for this long is stuck, */
const STUCK_AFTER_MS = 20_000;
/** and one that still has not by now is replaced. */
const REPLACE_AFTER_MS = 60_000;
const CHECK_EVERY_MS = 1000;

export interface ThreadOptions {
	/** Which service the thread runs; see `thread-entry.ts`. */
	readonly name: string;
	/** The room for new objects: little keeps a thread small, more lets it work faster under load. */
	readonly youngGenerationMb: number;
	/** Plain data for the service. */
	readonly settings: unknown;
	/** What the service may call of the supervisor. */
	readonly methods?: Methods;
	/** What is to be done with a thread that has started before it counts as running. */
	readonly prepare?: (thread: ThreadInstance) => Promise<void>;
}

/** A service in a thread of its own, so that neither its pauses nor its end touch the others. */
export class ThreadComponent implements Component {
	readonly name: string;
	readonly #options: ThreadOptions;
	readonly #logger: Logger;
	#current: ThreadInstance | undefined;
	#running = Promise.withResolvers<void>();

	constructor(logger: Logger, options: ThreadOptions) {
		this.name = options.name;
		this.#options = options;
		this.#logger = logger;
	}

	/** The thread, while it runs. */
	get current(): ThreadInstance | undefined {
		return this.#current;
	}

	async start(signal: AbortSignal): Promise<Instance> {
		const instance = new ThreadInstance(this.#options, this.#logger);
		try {
			await instance.started(signal);
			await this.#options.prepare?.(instance);
		} catch (error) {
			await instance[Symbol.asyncDispose]();
			throw error;
		}
		this.#current = instance;
		this.#running.resolve();
		void this.#forgetWhenEnded(instance);
		return instance;
	}

	/** Resolves when the service runs, or the signal fires. */
	async running(signal: AbortSignal): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		const onAbort = (): void => resolve();
		signal.addEventListener('abort', onAbort, { once: true });
		if (signal.aborted) resolve();
		await Promise.race([this.#running.promise, promise]);
		signal.removeEventListener('abort', onAbort);
	}

	/**
	 * Calls a function of the service.
	 *
	 * @throws NODE_COMPONENT if the service does not run or does not answer, and what the function throws
	 */
	async call<Result>(method: string, argument: unknown, signal?: AbortSignal): Promise<Result> {
		if (this.#current === undefined)
			throw nodeError('NODE_COMPONENT', { message: `${this.name} is not running`, hint: 'it is started again by itself; see its log' });
		return (await this.#current.call(method, argument, signal)) as Result;
	}

	async #forgetWhenEnded(instance: ThreadInstance): Promise<void> {
		await instance.ended;
		this.#current = undefined;
		this.#running = Promise.withResolvers();
	}
}

/** One life of a thread. */
export class ThreadInstance implements Instance {
	readonly ended: Promise<string>;
	readonly #name: string;
	readonly #worker: Worker;
	readonly #channel: CallChannel;
	readonly #started = Promise.withResolvers<void>();
	readonly #watch: NodeJS.Timeout;
	#lastHeard = performance.now();
	#health: Health = { ready: false, reason: 'starting' };
	#components: readonly ComponentStatus[] = [];
	#reason: string | undefined;

	constructor(options: ThreadOptions, logger: Logger) {
		this.#name = options.name;
		this.#worker = new Worker(threadEntry(), {
			name: options.name,
			workerData: { component: options.name, settings: options.settings },
			resourceLimits: { maxYoungGenerationSizeMb: options.youngGenerationMb },
			// Descriptors are opened and closed by the addon, which Node knows nothing of.
			trackUnmanagedFds: false,
		});
		this.#channel = new CallChannel(options.name, options.methods ?? {}, (message) => this.#send(message));
		this.#worker.on('message', (message: FromThread) => this.#take(message));
		this.#worker.on('error', (error) => {
			logger.error({ name: this.#name, err: error }, 'thread failed');
			this.#reason = error.message;
		});
		this.ended = new Promise((resolve) => {
			this.#worker.once('exit', (code) => resolve(this.#end(code)));
		});
		this.#started.promise.catch(() => undefined);
		this.#watch = setInterval(() => this.#checkHeartbeat(), CHECK_EVERY_MS);
	}

	/** The components that the thread supervises itself, as it last told. */
	get components(): readonly ComponentStatus[] {
		return this.#components;
	}

	/** Resolves when the service takes calls. */
	async started(signal: AbortSignal): Promise<void> {
		const limit = AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]);
		const onAbort = (): void => this.#started.reject(nodeError('NODE_COMPONENT', { message: `${this.#name} did not start in time` }));
		limit.addEventListener('abort', onAbort, { once: true });
		try {
			await this.#started.promise;
		} finally {
			limit.removeEventListener('abort', onAbort);
		}
	}

	health(): Health & { readonly live: boolean } {
		const silentMs = performance.now() - this.#lastHeard;
		if (silentMs < STUCK_AFTER_MS) return { ...this.#health, live: true };
		return { ready: false, live: false, reason: `no sign of life for ${Math.round(silentMs / 1000)} s` };
	}

	call(method: string, argument: unknown, signal?: AbortSignal): Promise<unknown> {
		return this.#channel.call(method, argument, signal);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#send({ type: 'stop' });
		const timer = setTimeout(() => void this.#worker.terminate(), STOP_LIMIT_MS);
		await this.ended;
		clearTimeout(timer);
	}

	#take(message: FromThread): void {
		this.#lastHeard = performance.now();
		switch (message.type) {
			case 'started':
				this.#started.resolve();
				return;
			case 'heartbeat':
				this.#health = message.health;
				this.#components = message.components;
				return;
			case 'ended':
				this.#reason ??= message.reason;
				return;
			case 'call':
			case 'result':
			case 'failure':
				this.#channel.take(message);
				return;
		}
		message satisfies never;
	}

	#send(message: ToThread): void {
		this.#worker.postMessage(message);
	}

	#checkHeartbeat(): void {
		const silentMs = performance.now() - this.#lastHeard;
		if (silentMs < REPLACE_AFTER_MS) return;
		this.#reason = `no sign of life for ${Math.round(silentMs / 1000)} s`;
		void this.#worker.terminate();
	}

	#end(code: number): string {
		clearInterval(this.#watch);
		const reason = this.#reason ?? (code === 0 ? 'it ended' : `it ended with status ${code}`);
		const error = nodeError('NODE_COMPONENT', { message: `${this.#name}: ${reason}` });
		this.#started.reject(error);
		this.#channel.close(error);
		return reason;
	}
}

/** The module that threads begin with: beside this folder in the sources, beside everything in a bundle. */
function threadEntry(): URL {
	return new URL(import.meta.filename.endsWith('.ts') ? '../thread-entry.ts' : './thread-entry.js', import.meta.url);
}
