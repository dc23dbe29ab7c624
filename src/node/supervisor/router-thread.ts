import type { Logger } from 'pino';
import type { RouterConfig, RouterStatus } from '#bgp';
import { explainError } from '#errors';
import type { BgpdSettings } from '../threads/bgpd-service.ts';
import { ThreadComponent, type ThreadInstance } from '../threads/thread.ts';

/** A daemon that is just being started gets this long before it counts as away. */
const START_WAIT_MS = 8000;

/** The built-in BGP daemon in its thread; a new life of the thread starts with the configuration that the last one had. */
export class RouterThread {
	readonly component: ThreadComponent;
	#latest: RouterConfig | undefined;
	#restored: RouterConfig | undefined;

	/** @param restored what the daemon ran with in the node's last life */
	constructor(logger: Logger, settings: BgpdSettings, restored: RouterConfig | undefined) {
		this.#restored = restored;
		this.component = new ThreadComponent(logger, {
			name: 'bgpd',
			// Full tables come in bursts of new objects.
			youngGenerationMb: 16,
			settings,
			prepare: (thread) => this.#prepare(thread, logger),
		});
	}

	/** @throws NODE_COMPONENT while the thread is away, and what the daemon throws */
	async apply(config: RouterConfig): Promise<void> {
		await this.component.running(AbortSignal.timeout(START_WAIT_MS));
		await this.component.call('apply', config);
		this.#latest = config;
	}

	/** Undefined while the thread is away, or has no configuration. */
	async status(signal: AbortSignal): Promise<RouterStatus | undefined> {
		return this.component.current === undefined ? undefined : this.component.call<RouterStatus | undefined>('status', undefined, signal);
	}

	/** Gives a new thread what the daemon had before. */
	async #prepare(thread: ThreadInstance, logger: Logger): Promise<void> {
		if (this.#latest !== undefined) await thread.call('apply', this.#latest);
		else if (this.#restored !== undefined)
			try {
				await thread.call('apply', this.#restored);
			} catch (error) {
				// From another release, maybe; it is not worth waiting for.
				this.#restored = undefined;
				logger.warn(
					{ reason: explainError(error) },
					'the BGP daemon does not take the configuration of its last life; it waits for a new one',
				);
			}
	}
}
