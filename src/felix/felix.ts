import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { EndpointState } from '#dataplane';
import { type Backend, type Clock, keyId, type ListScope, type SyncBatch, Syncer, type SyncUpdate } from '#datastore';
import { explainError } from '#errors';
import { type EndpointId, type EndpointPolicy, type Explanation, endpointId, type Packet, PolicyGraph } from '#policy';
import type { AnyResource, KindName, WorkloadEndpoint } from '#resources';
import { EndpointStates } from './endpoint-states.ts';
import { Enforcer, type EnforcerObserver, type EnforcingDataplane } from './enforcer.ts';
import { felixError } from './errors.ts';
import { HandOver } from './hand-over.ts';
import { LiveConfiguration } from './live-configuration.ts';
import type { FelixConfig } from './parameters.ts';
import type { FelixProblem } from './problem.ts';

const POLICY_KINDS = [
	'WorkloadEndpoint',
	'NetworkPolicy',
	'GlobalNetworkPolicy',
	'NetworkSet',
	'GlobalNetworkSet',
	'Profile',
	'Tier',
	'IPPool',
] as const satisfies readonly KindName[];

/** Kinds that Felix reads beside those that policy is made of. */
const OWN_KINDS = ['Node', 'FelixConfiguration', 'ClusterInformation'] as const satisfies readonly KindName[];

/** How long a slice of work may keep the thread from answering others. */
const SLICE_MS = 5;
const SLICE_UPDATES = 100;
const RELEASE_EVERY_MS = 250;

const LOCKED = 'the datastore is locked (ClusterInformation datastoreReady is not true); what was enforced last stays in force';
const STOPPED = 'the node stops';

export interface FelixModules {
	readonly backend: Backend;
	/**
	 * Opens the dataplane with the settings in force. It tells the state of each endpoint, and each change of it, before {@link
	 * EnforcingDataplane.apply} resolves.
	 */
	readonly openDataplane: (config: FelixConfig, onEndpointState: (id: EndpointId, state: EndpointState) => void) => EnforcingDataplane;
	/** Told of the settings in force, before anything else is done with them. */
	readonly onConfigured: (config: FelixConfig) => void;
	/** Takes note of what happens, for metrics. */
	readonly observer?: FelixObserver | undefined;
	readonly logger: Logger;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

export interface FelixOptions {
	readonly nodeName: string;
	/** Holds the `FELIX_…` settings. */
	readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Told of Felix's work. */
export interface FelixObserver extends EnforcerObserver {
	/** A change of an object of the cluster; `present` is false when it is gone. */
	updated(kind: KindName, id: string, present: boolean): void;
}

/** `waiting`: the datastore does not answer; `resync`: it is being read; `locked`: it says that it must not be used. */
export type FelixState = 'starting' | 'waiting' | 'resync' | 'locked' | 'in-sync';

export interface FelixStatus {
	readonly state: FelixState;
	/** Whether everything stored has reached the kernel once. */
	readonly ready: boolean;
	readonly reason: string;
	readonly localEndpoints: number;
	readonly localPolicies: number;
	readonly problems: readonly FelixProblem[];
}

/** What there is once the settings are known. */
interface Running {
	readonly graph: PolicyGraph;
	readonly enforcer: Enforcer;
}

/**
 * The agent of one node: datastore → policy graph → dataplane. Nothing is written before the whole datastore has been read.
 * When the datastore is lost, or data in it cannot be used, what was enforced last stays in force.
 */
export class Felix {
	readonly #modules: FelixModules;
	readonly #options: FelixOptions;
	readonly #configuration: LiveConfiguration;
	readonly #states = new EndpointStates();
	readonly #handOver = new HandOver();
	/** Stored objects that cannot be used, by key. */
	readonly #invalid = new Map<string, FelixProblem>();
	#running: Running | undefined;
	/** `datastoreReady` of ClusterInformation; undefined while there is none. */
	#unlocked: boolean | undefined;
	#syncStatus: SyncBatch['status'] = 'wait';
	#wasInSync = false;

	constructor(modules: FelixModules, options: FelixOptions) {
		this.#modules = modules;
		this.#options = options;
		this.#configuration = new LiveConfiguration(modules, options);
	}

	/**
	 * Works until the signal fires or the settings change, for which it has to be started again.
	 *
	 * @returns why it ended
	 * @throws FELIX_BAD_SETTING, and what opening the dataplane throws
	 */
	async run(signal: AbortSignal): Promise<string> {
		const { openDataplane, onConfigured, logger, observer } = this.#modules;
		const config = await this.#configuration.read(signal);
		if (config === undefined) return STOPPED;
		onConfigured(config);
		const graph = new PolicyGraph({ nodeName: this.#options.nodeName, workloadSourceSpoofing: config.workloadSourceSpoofing });
		await using dataplane = openDataplane(config, (id, state) => this.#states.set(id, state));
		const enforcer = new Enforcer(
			{ graph, dataplane, states: this.#states, logger, observer },
			() => this.#wasInSync && this.#unlocked === true,
		);
		this.#running = { graph, enforcer };
		const stop = new AbortController();
		const ended = AbortSignal.any([signal, stop.signal]);
		const loops = [this.#follow({ graph, enforcer }, config, ended), enforcer.run(ended), this.#releaseHeld({ graph, enforcer }, ended)];
		try {
			return (await Promise.race(loops)) ?? STOPPED;
		} finally {
			stop.abort();
			await Promise.allSettled(loops);
		}
	}

	/**
	 * Takes an endpoint of this node in ahead of the watch. A later update of the same revision by the watch changes nothing.
	 *
	 * @param endpoint as it was stored
	 * @returns when its rules are in the kernel
	 * @throws FELIX_NOT_READY, FELIX_REFUSED, FELIX_TIMEOUT when the signal fires first
	 */
	async endpointReady(endpoint: WorkloadEndpoint, signal: AbortSignal): Promise<void> {
		const { name, namespace = '', resourceVersion } = endpoint.metadata;
		const readiness = this.readiness();
		if (!readiness.ready || this.#running === undefined)
			throw felixError('FELIX_NOT_READY', { message: readiness.ready ? 'Felix is starting' : readiness.reason, hint: 'try again' });
		const { graph, enforcer } = this.#running;
		const key = { kind: 'WorkloadEndpoint', namespace, name } as const;
		if (resourceVersion !== undefined)
			this.#handOver.expect(keyId({ type: 'resource', ...key }), resourceVersion, this.#modules.clock.now());
		graph.update([{ key, value: endpoint }]);
		await enforcer.flushed(signal);
		const id = endpointId(namespace, name);
		if (graph.endpoint(id) === undefined) {
			const problem = graph.problems().find(({ path }) => path?.includes(id) === true);
			throw felixError('FELIX_REFUSED', {
				message: `the endpoint ${id} gets no policy: ${problem === undefined ? 'it has no address, or is of another node' : explainError(problem)}`,
			});
		}
		await this.#states.ready(id, signal);
	}

	/** Whether endpoints can be taken, and if not why. */
	readiness(): { readonly ready: true } | { readonly ready: false; readonly reason: string } {
		if (this.#running === undefined) return { ready: false, reason: 'Felix is starting' };
		if (!this.#wasInSync) return { ready: false, reason: 'the datastore has not been read yet' };
		if (this.#unlocked !== true) return { ready: false, reason: LOCKED };
		if (!this.#running.enforcer.enforced) return { ready: false, reason: 'policy has not reached the kernel yet' };
		return { ready: true };
	}

	status(): FelixStatus {
		const readiness = this.readiness();
		const { graph, enforcer } = this.#running ?? {};
		return {
			state: this.#state(),
			ready: readiness.ready,
			reason: readiness.ready ? '' : readiness.reason,
			localEndpoints: this.#states.size,
			localPolicies: enforcer?.policyCount ?? 0,
			problems: [
				...this.#configuration.problems,
				...this.#invalid.values(),
				...(graph?.problems() ?? []).map((error) => ({ subject: error.path ?? error.code, message: explainError(error) })),
				...this.#states.problems(),
				...(enforcer?.failure === undefined ? [] : [enforcer.failure]),
			],
		};
	}

	/** The local endpoints with the policy that applies to them. */
	endpoints(): readonly EndpointPolicy[] {
		return [...(this.#running?.graph.endpoints() ?? [])];
	}

	/**
	 * Why a packet passes or not at its ends on this node.
	 *
	 * @throws FELIX_NOT_READY
	 */
	explain(packet: Packet): Explanation {
		if (this.#running === undefined || !this.#wasInSync)
			throw felixError('FELIX_NOT_READY', { message: 'the datastore has not been read yet', hint: 'try again' });
		return this.#running.graph.explain(packet);
	}

	#state(): FelixState {
		if (this.#running === undefined) return 'starting';
		if (this.#syncStatus === 'wait') return 'waiting';
		if (this.#syncStatus === 'resync') return 'resync';
		return this.#unlocked === true ? 'in-sync' : 'locked';
	}

	/** Feeds the graph from the datastore. Ends when the settings are others than those it runs with. */
	async #follow({ graph, enforcer }: Running, config: FelixConfig, signal: AbortSignal): Promise<string> {
		const { backend, clock, random } = this.#modules;
		const scopes = [...POLICY_KINDS, ...OWN_KINDS].map((kind): ListScope => ({ type: 'resource', kind }));
		for await (const batch of new Syncer({ backend, clock, random }, { scopes, signal })) {
			await this.#takeBatch(graph, batch);
			this.#noteStatus(batch);
			if (batch.status === 'in-sync') {
				if (!this.#wasInSync) graph.setInSync();
				this.#wasInSync = true;
				if (!isDeepStrictEqual(this.#configuration.resolve(), config)) return 'its settings changed';
			}
			enforcer.wake();
		}
		return STOPPED;
	}

	#noteStatus({ status, reason }: SyncBatch): void {
		if (status === this.#syncStatus) return;
		this.#syncStatus = status;
		const { logger } = this.#modules;
		if (status === 'wait') logger.warn({ reason: reason?.message }, 'the datastore does not answer; what was enforced last stays in force');
		else logger.info({ state: status }, 'datastore');
	}

	async #takeBatch(graph: PolicyGraph, batch: SyncBatch): Promise<void> {
		let sliceStart = performance.now();
		for (let start = 0; start < batch.updates.length; start += SLICE_UPDATES) {
			this.#take(graph, batch.updates.slice(start, start + SLICE_UPDATES));
			if (performance.now() - sliceStart < SLICE_MS) continue;
			await nextTurn();
			sliceStart = performance.now();
		}
		for (const entry of batch.invalid) {
			const problem = {
				subject: entry.storedName,
				message: `stored data that cannot be used; its last good value stays in force: ${explainError(entry.error)}`,
			};
			this.#invalid.set(entry.key === undefined ? entry.storedName : keyId(entry.key), problem);
			this.#modules.logger.warn(problem, 'invalid object in the datastore');
		}
	}

	#take(graph: PolicyGraph, updates: readonly SyncUpdate[]): void {
		const nowMs = this.#modules.clock.now();
		for (const update of updates) {
			const id = keyId(update.key);
			this.#invalid.delete(id);
			if (update.key.type === 'resource') this.#modules.observer?.updated(update.key.kind, id, update.value !== null);
			const admitted = this.#handOver.admit(id, update, nowMs);
			if (admitted !== undefined) this.#takeAdmitted(graph, admitted);
		}
	}

	#takeAdmitted(graph: PolicyGraph, { key, value }: SyncUpdate): void {
		if (key.type !== 'resource') return;
		const resource = value as AnyResource | null;
		if (key.kind === 'Node') this.#configuration.setNode(key.name, resource?.kind === 'Node' ? resource : null);
		else if (key.kind === 'FelixConfiguration')
			this.#configuration.set(key.name, resource?.kind === 'FelixConfiguration' ? resource : null);
		else if (key.kind === 'ClusterInformation')
			this.#setUnlocked(resource?.kind === 'ClusterInformation' ? (resource.spec.datastoreReady ?? true) : undefined);
		else graph.update([{ key, value: resource }]);
	}

	#setUnlocked(unlocked: boolean | undefined): void {
		if (unlocked === false && this.#unlocked !== false) this.#modules.logger.warn(LOCKED);
		if (unlocked === true && this.#unlocked === false) this.#modules.logger.info('the datastore is unlocked; policy follows it again');
		this.#unlocked = unlocked;
	}

	/** Takes updates in that were held for handed-over endpoints. */
	async #releaseHeld({ graph, enforcer }: Running, signal: AbortSignal): Promise<void> {
		const { clock } = this.#modules;
		while (!signal.aborted) {
			await clock.sleep(RELEASE_EVERY_MS, signal);
			for (const update of this.#handOver.release(clock.now())) {
				this.#takeAdmitted(graph, update);
				enforcer.wake();
			}
		}
	}
}
