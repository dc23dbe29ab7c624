import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { RouterConfig } from '#bgp';
import { type Backend, type Clock, keyId, type ListScope, Syncer, type SyncUpdate } from '#datastore';
import { explainError } from '#errors';
import type { Cidr } from '#net';
import type { KindName, ResourceOf } from '#resources';
import type { ConfigProblem } from './problem.ts';
import { computeRouterConfig, type SecretRef } from './router-config.ts';
import type { RouterSink } from './sink.ts';
import type { BgpState } from './state.ts';

const BGP_KINDS = ['Node', 'BGPConfiguration', 'BGPPeer', 'BGPFilter', 'IPPool'] as const satisfies readonly KindName[];
type BgpKind = (typeof BGP_KINDS)[number];

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5000;
/** How soon a changed secret is noticed; it lies in no watched place. */
const SECRET_POLL_MS = 10_000;

export interface ConfdModules {
	readonly backend: Backend;
	readonly sink: RouterSink;
	/** The value of a session's password; undefined when there is none. */
	readonly secret: (ref: SecretRef) => string | undefined;
	readonly logger: Logger;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

export interface ConfdOptions {
	readonly nodeName: string;
	/** `CALICO_ROUTER_ID`. */
	readonly routerId?: string | undefined;
}

/**
 * Keeps a node's BGP daemon configured as the datastore says. Nothing is computed before everything has been read once; changes that
 * come together are taken together; a configuration that cannot be computed or applied leaves the daemon with its last.
 */
export class Confd {
	readonly #modules: ConfdModules;
	readonly #options: ConfdOptions;
	/** What is stored, by kind and name. */
	readonly #objects: { readonly [Kind in BgpKind]: Map<string, ResourceOf<Kind>> } = {
		Node: new Map(),
		BGPConfiguration: new Map(),
		BGPPeer: new Map(),
		BGPFilter: new Map(),
		IPPool: new Map(),
	};
	readonly #blocks = new Set<Cidr>();
	readonly #invalid = new Map<string, ConfigProblem>();
	#problems: readonly ConfigProblem[] = [];
	/** What of the configuration in force the daemon cannot do. */
	#leftOut: readonly ConfigProblem[] = [];
	#applyFailure: ConfigProblem | undefined;
	#applied: RouterConfig | undefined;
	#inSync = false;
	#usesSecrets = false;
	#dirty = Promise.withResolvers<void>();

	constructor(modules: ConfdModules, options: ConfdOptions) {
		this.#modules = modules;
		this.#options = options;
	}

	/** Whether the daemon has been given a configuration. */
	get ready(): boolean {
		return this.#applied !== undefined;
	}

	/** What is wrong at the moment, by name. */
	problems(): readonly ConfigProblem[] {
		const failure = this.#applyFailure === undefined ? [] : [this.#applyFailure];
		return [...this.#invalid.values(), ...this.#problems, ...failure];
	}

	/** Works until the signal fires. */
	async run(signal: AbortSignal): Promise<void> {
		const stop = new AbortController();
		const ended = AbortSignal.any([signal, stop.signal]);
		const loops = [this.#follow(ended), this.#applyChanges(ended)];
		try {
			await Promise.race(loops);
		} finally {
			stop.abort();
			this.#dirty.resolve();
			await Promise.all(loops);
		}
	}

	async #follow(signal: AbortSignal): Promise<void> {
		const { backend, clock, random, logger } = this.#modules;
		let isLost = false;
		for await (const batch of new Syncer({ backend, clock, random }, { scopes: this.#scopes(), signal })) {
			for (const update of batch.updates) this.#take(update);
			for (const entry of batch.invalid) {
				const problem = {
					subject: entry.storedName,
					message: `stored data that cannot be used; its last good value stays: ${explainError(entry.error)}`,
				};
				this.#invalid.set(entry.key === undefined ? entry.storedName : keyId(entry.key), problem);
				logger.warn(problem, 'invalid object in the datastore');
			}
			if (isLost !== (batch.status === 'wait')) {
				isLost = !isLost;
				if (isLost) logger.warn({ reason: batch.reason?.message }, 'the datastore does not answer; BGP goes on with what it has');
				else logger.info('the datastore answers again');
			}
			if (batch.status === 'in-sync') this.#inSync = true;
			if (this.#inSync && batch.status === 'in-sync') this.#dirty.resolve();
		}
	}

	#scopes(): ListScope[] {
		return [...BGP_KINDS.map((kind) => ({ type: 'resource', kind }) as const), { type: 'affinity', host: this.#options.nodeName }];
	}

	#take({ key, value }: SyncUpdate): void {
		this.#invalid.delete(keyId(key));
		if (key.type === 'affinity') {
			if (value !== null && 'state' in value && value.state === 'confirmed') this.#blocks.add(key.cidr);
			else this.#blocks.delete(key.cidr);
			return;
		}
		if (key.type !== 'resource' || !isBgpKind(key.kind)) return;
		const objects: Map<string, unknown> = this.#objects[key.kind];
		if (value === null) objects.delete(key.name);
		else objects.set(key.name, value);
	}

	/** Computes and applies after each change, one at a time, and again after a failure. */
	async #applyChanges(signal: AbortSignal): Promise<void> {
		const { clock, random, logger } = this.#modules;
		let failures = 0;
		while (!signal.aborted) {
			if (failures > 0) {
				const limit = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
				await clock.sleep(limit * (0.5 + random() / 2), signal);
			} else await this.#changed(signal);
			if (signal.aborted || !this.#inSync) continue;
			this.#dirty = Promise.withResolvers();
			try {
				await this.#apply(signal);
				failures = 0;
				this.#applyFailure = undefined;
			} catch (error) {
				if (signal.aborted) return;
				failures++;
				const message = explainError(error);
				if (message !== this.#applyFailure?.message) logger.error({ reason: message }, 'the BGP daemon did not take its configuration');
				this.#applyFailure = { subject: 'the BGP daemon', message };
			}
		}
	}

	/** Resolves on a change, or when it is time to look at the secrets again. */
	async #changed(signal: AbortSignal): Promise<void> {
		if (!this.#usesSecrets) return this.#dirty.promise;
		const changed = new AbortController();
		const pause = this.#modules.clock.sleep(SECRET_POLL_MS, AbortSignal.any([signal, changed.signal]));
		await Promise.race([this.#dirty.promise, pause]);
		changed.abort();
	}

	async #apply(signal: AbortSignal): Promise<void> {
		const { sink, logger, secret } = this.#modules;
		this.#usesSecrets = false;
		const { config, problems } = computeRouterConfig(this.#bgpState(), this.#options.nodeName, {
			routerId: this.#options.routerId,
			secret: (ref) => {
				this.#usesSecrets = true;
				return secret(ref);
			},
		});
		this.#report([...problems, ...this.#leftOut]);
		if (config === undefined || isDeepStrictEqual(config, this.#applied)) return;
		this.#leftOut = await sink.apply(config, signal);
		this.#applied = config;
		this.#report([...problems, ...this.#leftOut]);
		logger.info({ peers: config.peers.length, originated: config.originate.length }, 'BGP configuration applied');
	}

	#bgpState(): BgpState {
		const { Node: nodes, BGPConfiguration: configurations, BGPPeer: peers, BGPFilter: filters, IPPool: pools } = this.#objects;
		return { nodes, configurations, peers, filters, pools, blocks: this.#blocks };
	}

	#report(problems: readonly ConfigProblem[]): void {
		for (const problem of problems)
			if (!this.#problems.some((known) => isDeepStrictEqual(known, problem)))
				this.#modules.logger.warn(problem, 'BGP configuration problem');
		this.#problems = problems;
	}
}

function isBgpKind(kind: KindName): kind is BgpKind {
	return (BGP_KINDS as readonly KindName[]).includes(kind);
}
