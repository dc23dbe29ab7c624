import type { EndpointState } from '#dataplane';
import type { EndpointId, PolicyDelta } from '#policy';
import { felixError } from './errors.ts';
import type { FelixProblem } from './problem.ts';

/** The local endpoints, and what the dataplane says of each. */
export class EndpointStates {
	/** Undefined until the dataplane has told. */
	readonly #states = new Map<EndpointId, EndpointState | undefined>();
	readonly #watchers = new Set<() => void>();

	get size(): number {
		return this.#states.size;
	}

	/** Follows what the policy graph gives out. */
	take(delta: PolicyDelta): void {
		for (const [id, endpoint] of delta.endpoints)
			if (endpoint === null) this.#states.delete(id);
			else if (!this.#states.has(id)) this.#states.set(id, undefined);
	}

	/** What the dataplane tells. */
	set(id: EndpointId, state: EndpointState): void {
		if (this.#states.has(id)) this.#states.set(id, state);
		for (const look of this.#watchers) look();
	}

	/** Endpoints that something stands in the way of, with what it is. */
	problems(): FelixProblem[] {
		return [...this.#states].flatMap(([id, state]) =>
			state?.ready === false ? [{ subject: `WorkloadEndpoint/${id}`, message: state.message }] : [],
		);
	}

	/**
	 * Resolves once nothing stands between the endpoint and its traffic.
	 *
	 * @throws FELIX_REFUSED if that will never be; FELIX_TIMEOUT, with what stands there, when the signal fires first
	 */
	async ready(id: EndpointId, signal: AbortSignal): Promise<void> {
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		const look = (): void => {
			const state = this.#states.get(id);
			if (state?.ready === true) resolve();
			else if (state?.reason === 'refused')
				reject(felixError('FELIX_REFUSED', { message: `the endpoint ${id} gets no policy: ${state.message}` }));
		};
		const onAbort = (): void => {
			const state = this.#states.get(id);
			const message = state?.ready === false ? state.message : 'the dataplane says nothing of it';
			reject(felixError('FELIX_TIMEOUT', { message: `the endpoint ${id} did not become ready in time: ${message}` }));
		};
		this.#watchers.add(look);
		signal.addEventListener('abort', onAbort, { once: true });
		look();
		if (signal.aborted) onAbort();
		try {
			await promise;
		} finally {
			signal.removeEventListener('abort', onAbort);
			this.#watchers.delete(look);
		}
	}
}
