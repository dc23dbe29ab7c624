import type { Logger } from 'pino';
import { explainError } from '#errors';
import type { PolicyDelta, PolicyGraph, PolicyId } from '#policy';
import type { EndpointStates } from './endpoint-states.ts';
import { felixError } from './errors.ts';
import type { FelixProblem } from './problem.ts';

/** What enforces policy in the kernel. */
export interface EnforcingDataplane extends AsyncDisposable {
	/**
	 * Makes the kernel enforce the delta; resolves when it does. When it rejects, the dataplane keeps the wanted state and tries
	 * again by itself.
	 */
	apply(delta: PolicyDelta): Promise<unknown>;
}

/** Told of each write. */
export interface EnforcerObserver {
	/** Policy reached the kernel in this time. */
	applied(durationMs: number): void;
	/** The kernel refused. */
	applyFailed(): void;
}

export interface EnforcerModules {
	readonly graph: PolicyGraph;
	readonly dataplane: EnforcingDataplane;
	readonly states: EndpointStates;
	readonly logger: Logger;
	readonly observer: EnforcerObserver | undefined;
}

/**
 * Brings what the policy graph gives out into the kernel: at once when idle; what comes up while the kernel is being written goes
 * along the next time.
 */
export class Enforcer {
	readonly #modules: EnforcerModules;
	readonly #mayWrite: () => boolean;
	readonly #policies = new Set<PolicyId>();
	#enforced = false;
	#failure: FelixProblem | undefined;
	#wake = Promise.withResolvers<void>();
	#waiters: PromiseWithResolvers<void>[] = [];

	/** @param mayWrite whether the graph holds all of a datastore that may be used */
	constructor(modules: EnforcerModules, mayWrite: () => boolean) {
		this.#modules = modules;
		this.#mayWrite = mayWrite;
	}

	/** Whether everything stored has reached the kernel once. */
	get enforced(): boolean {
		return this.#enforced;
	}

	/** The number of policies and profiles in force here. */
	get policyCount(): number {
		return this.#policies.size;
	}

	/** What the kernel refused last, until it takes something again. */
	get failure(): FelixProblem | undefined {
		return this.#failure;
	}

	/** Says that the graph may have changed. */
	wake(): void {
		this.#wake.resolve();
	}

	/**
	 * Resolves once everything that the graph holds now is in the kernel.
	 *
	 * @throws FELIX_TIMEOUT when the signal fires first, FELIX_NOT_READY at the end of this enforcer, and what the dataplane throws
	 */
	async flushed(signal: AbortSignal): Promise<void> {
		const waiter = Promise.withResolvers<void>();
		const onAbort = (): void => waiter.reject(felixError('FELIX_TIMEOUT', { message: 'the rules did not reach the kernel in time' }));
		signal.addEventListener('abort', onAbort, { once: true });
		if (signal.aborted) onAbort();
		this.#waiters.push(waiter);
		this.wake();
		try {
			await waiter.promise;
		} finally {
			signal.removeEventListener('abort', onAbort);
		}
	}

	/** Works until the signal fires. */
	async run(signal: AbortSignal): Promise<void> {
		const onAbort = (): void => this.wake();
		signal.addEventListener('abort', onAbort, { once: true });
		while (!signal.aborted) {
			await this.#wake.promise;
			this.#wake = Promise.withResolvers();
			if (!signal.aborted && this.#mayWrite()) await this.#write();
		}
		for (const waiter of this.#waiters.splice(0)) waiter.reject(felixError('FELIX_NOT_READY', { message: 'Felix is stopping' }));
	}

	async #write(): Promise<void> {
		const { graph, dataplane, states, logger, observer } = this.#modules;
		const waiters = this.#waiters.splice(0);
		const started = performance.now();
		try {
			const delta = graph.flush();
			states.take(delta);
			for (const [id, policy] of delta.policies)
				if (policy === null) this.#policies.delete(id);
				else this.#policies.add(id);
			if (!this.#enforced || !isEmpty(delta)) {
				await dataplane.apply(delta);
				const ms = performance.now() - started;
				observer?.applied(ms);
				logger.debug({ ms: Math.round(ms * 10) / 10 }, 'kernel written');
			}
			if (!this.#enforced) logger.info({ endpoints: states.size, policies: this.#policies.size }, 'policy is in force');
			this.#enforced = true;
			this.#failure = undefined;
			for (const waiter of waiters) waiter.resolve();
		} catch (error) {
			observer?.applyFailed();
			const message = explainError(error);
			if (message !== this.#failure?.message) logger.error({ reason: message }, 'policy did not reach the kernel');
			this.#failure = { subject: 'the dataplane', message };
			for (const waiter of waiters) waiter.reject(error);
		}
	}
}

function isEmpty({ ipSets, policies, endpoints, pools }: PolicyDelta): boolean {
	return ipSets.size === 0 && policies.size === 0 && endpoints.size === 0 && pools === undefined;
}
