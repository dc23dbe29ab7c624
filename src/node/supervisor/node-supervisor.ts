import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RouterConfig, RouterStatus } from '#bgp';
import type { Clock } from '#datastore';
import { explainError } from '#errors';
import type { ComponentStatus, ExplainRequest, NodeProblem, NodeStatus } from '#node-api';
import type { EndpointPolicy, Explanation } from '#policy';
import type { AgentSettings, AgentStatus } from '../agent/agent-service.ts';
import type { HostPaths } from '../host-paths.ts';
import { storedRouter } from '../last-router.ts';
import type { NodeSettings } from '../settings.ts';
import { Supervised } from '../supervision/supervised.ts';
import { type CarriedError, receiveError } from '../threads/channel.ts';
import { ThreadComponent } from '../threads/thread.ts';
import type { NodeApiHandlers } from './api-server.ts';
import { bgpReadiness } from './bgp-readiness.ts';
import { RouterThread } from './router-thread.ts';

/** Parts of a status that do not come by then are left out. */
const STATUS_LIMIT_MS = 3000;

export interface NodeSupervisorOptions {
	readonly settings: NodeSettings;
	readonly paths: HostPaths;
	/** `v3.32.0` */
	readonly version: string;
}

/** The datastore room has one too; this thread does without that room. */
const clock: Clock = {
	now: () => Date.now(),
	sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
};

/**
 * The node's main thread: keeps the agent's thread and the BGP daemon's thread running, and knows how they are. It does none of
 * their work, so that nothing of that can keep it from answering.
 */
export class NodeSupervisor {
	readonly #options: NodeSupervisorOptions;
	readonly #agent: ThreadComponent;
	readonly #router: RouterThread | undefined;
	readonly #supervisedAgent: Supervised;
	readonly #supervisedRouter: Supervised | undefined;
	readonly #startedMs = clock.now();
	readonly #stop = new AbortController();
	#fatal: Error | undefined;

	constructor(logger: Logger, options: NodeSupervisorOptions) {
		this.#options = options;
		const { settings, paths, version } = options;
		if (settings.backend === 'tortie')
			this.#router = new RouterThread(
				logger,
				{
					controlSockets: [
						{ path: paths.birdSocket, family: 4 },
						{ path: paths.bird6Socket, family: 6 },
					],
					logLevel: settings.logLevel,
				},
				storedRouter(paths.lastRouterFile),
			);
		const agentSettings: AgentSettings = { node: settings, paths, version };
		this.#agent = new ThreadComponent(logger, {
			name: 'agent',
			youngGenerationMb: 4,
			settings: agentSettings,
			methods: {
				configureRouter: async (config: RouterConfig) => {
					await this.#router?.apply(config);
					return [];
				},
				giveUp: (error: CarriedError) => {
					this.#fatal = receiveError(error);
					this.#stop.abort();
				},
			},
		});
		const modules = { clock, random: Math.random, logger };
		this.#supervisedAgent = new Supervised(modules, this.#agent);
		if (this.#router !== undefined) this.#supervisedRouter = new Supervised(modules, this.#router.component);
	}

	/**
	 * Runs the node until the signal fires; then everything is stopped in order, with the kernel left as it is.
	 *
	 * @throws what start-up throws: see `startUp`
	 */
	async run(signal: AbortSignal): Promise<void> {
		const ended = AbortSignal.any([signal, this.#stop.signal]);
		await Promise.all([this.#supervisedAgent.run(ended), this.#supervisedRouter?.run(ended)]);
		if (this.#fatal !== undefined) throw this.#fatal;
	}

	/** What the probes need; never waits for another thread. */
	health(): Pick<NodeStatus, 'live' | 'ready' | 'reason'> {
		const threads = [this.#supervisedAgent.status(), ...(this.#supervisedRouter === undefined ? [] : [this.#supervisedRouter.status()])];
		const stuck = threads.find(({ live }) => !live);
		if (stuck !== undefined) return { live: false, ready: false, reason: `${stuck.name}: ${stuck.reason}` };
		const [agent] = threads;
		return { live: true, ready: agent?.ready ?? false, reason: agent?.ready === true ? '' : (agent?.reason ?? '') };
	}

	/** The node API. */
	api(): NodeApiHandlers {
		return {
			'GET /v1/status': () => this.#status(),
			'GET /v1/endpoints': () => this.#agent.call<readonly EndpointPolicy[]>('endpoints', undefined),
			'POST /v1/explain': (request: ExplainRequest) => this.#agent.call<Explanation>('explain', request),
		};
	}

	async #status(): Promise<NodeStatus> {
		const { settings, version } = this.#options;
		const problems: NodeProblem[] = [];
		const [agent, builtIn] = await Promise.all([
			this.#ask<AgentStatus>('agent', problems, (signal) => this.#agent.call('status', undefined, signal)),
			this.#ask<RouterStatus>('bgpd', problems, (signal) => this.#router?.status(signal)),
		]);
		problems.push(...(agent?.problems ?? []));
		const bgp = builtIn ?? agent?.bgp ?? null;
		return {
			...this.health(),
			nodeName: settings.nodeName,
			version,
			components: this.#components(bgp),
			backend: settings.backend,
			bgp,
			policy: agent?.policy ?? null,
			problems,
		};
	}

	/** Every component: those in the agent's thread as it last told, or as away with it. */
	#components(bgp: RouterStatus | null): ComponentStatus[] {
		const { settings } = this.#options;
		const agent = this.#supervisedAgent.status();
		const told = new Map((this.#agent.current?.components ?? []).map((component) => [component.name, component]));
		const names = [
			...(settings.runFelix ? ['felix'] : []),
			...(settings.backend === 'none' ? [] : ['confd']),
			...(settings.backend === 'bird' ? ['bird'] : []),
		];
		const inAgent = names.map((name): ComponentStatus => {
			const component = told.get(name);
			if (component === undefined) return { ...agent, name, running: false, ready: false };
			return { ...component, live: agent.live, restarts: agent.restarts + component.restarts };
		});
		const router = this.#supervisedRouter?.status();
		const bgpHealth = bgpReadiness(bgp, clock.now() - this.#startedMs);
		return [...inAgent, ...(router === undefined ? [] : [router])].map((component) =>
			component.running && (component.name === 'bgpd' || component.name === 'bird') ? { ...component, ...bgpHealth } : component,
		);
	}

	/** Asks a thread for its part of the status; a failure becomes a problem. */
	async #ask<Result>(
		subject: string,
		problems: NodeProblem[],
		ask: (signal: AbortSignal) => Promise<Result | undefined> | undefined,
	): Promise<Result | undefined> {
		try {
			return await ask(AbortSignal.timeout(STATUS_LIMIT_MS));
		} catch (error) {
			problems.push({ subject, message: explainError(error) });
			return undefined;
		}
	}
}
