import type { Logger } from 'pino';
import type { Clock } from '#datastore';
import { explainError } from '#errors';
import type { ComponentStatus } from '#node-api';
import type { Component, Instance } from './component.ts';

const FIRST_RESTART_MS = 200;
const MAX_RESTART_MS = 30_000;
/** An instance that ran for this long has not failed at starting. */
const STEADY_AFTER_MS = 60_000;

export interface SupervisorModules {
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly logger: Logger;
}

/** Keeps one component running: whenever it ends it is started again, alone, with growing pauses. */
export class Supervised {
	readonly #modules: SupervisorModules;
	readonly #component: Component;
	#instance: Instance | undefined;
	#reason = 'not started yet';
	#restarts = 0;
	#sinceMs: number;

	constructor(modules: SupervisorModules, component: Component) {
		this.#modules = modules;
		this.#component = component;
		this.#sinceMs = modules.clock.now();
	}

	status(): ComponentStatus {
		const health = this.#instance?.health();
		return {
			name: this.#component.name,
			running: health !== undefined,
			live: health?.live ?? true,
			ready: health?.ready ?? false,
			reason: health === undefined ? this.#reason : health.reason,
			restarts: this.#restarts,
			sinceMs: this.#sinceMs,
		};
	}

	/** Works until the signal fires, and then stops the component. */
	async run(signal: AbortSignal): Promise<void> {
		const { clock, random, logger } = this.#modules;
		const { name } = this.#component;
		let failures = 0;
		while (!signal.aborted) {
			const startedMs = clock.now();
			this.#reason = await this.#runOnce(signal);
			if (signal.aborted) break;
			failures = clock.now() - startedMs > STEADY_AFTER_MS ? 1 : failures + 1;
			const pauseMs = Math.min(MAX_RESTART_MS, FIRST_RESTART_MS * 2 ** (failures - 1)) * (0.5 + random() / 2);
			logger.error({ name, reason: this.#reason, pauseMs: Math.round(pauseMs) }, 'component ended; it is started again');
			await clock.sleep(pauseMs, signal);
			this.#restarts++;
		}
		this.#reason = 'stopped';
	}

	/** One life of the component, from start to end; says how it ended. */
	async #runOnce(signal: AbortSignal): Promise<string> {
		const { clock, logger } = this.#modules;
		const { name } = this.#component;
		const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
		const onAbort = (): void => stop('the node stops');
		try {
			const instance = await this.#component.start(signal);
			signal.addEventListener('abort', onAbort, { once: true });
			if (signal.aborted) onAbort();
			this.#instance = instance;
			this.#sinceMs = clock.now();
			logger.info({ name }, 'component runs');
			return await Promise.race([instance.ended, stopped]);
		} catch (error) {
			return explainError(error);
		} finally {
			signal.removeEventListener('abort', onAbort);
			const instance = this.#instance;
			this.#instance = undefined;
			this.#sinceMs = clock.now();
			try {
				await instance?.[Symbol.asyncDispose]();
			} catch (error) {
				logger.warn({ name, reason: explainError(error) }, 'component did not stop in order');
			}
		}
	}
}
