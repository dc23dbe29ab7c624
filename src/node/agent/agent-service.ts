import type { Logger } from 'pino';
import type { RouterStatus } from '#bgp';
import { BirdSink, Confd, type ConfigProblem, type RouterSink, secretFiles } from '#confd';
import { type Client, datastoreConfigFromEnv, openDatastore, systemClock } from '#datastore';
import { explainError } from '#errors';
import type { ExplainRequest, NodeProblem, PolicySummary } from '#node-api';
import type { EndpointPolicy, Explanation } from '#policy';
import { nodeError } from '../errors.ts';
import type { HostPaths } from '../host-paths.ts';
import { storeRouter } from '../last-router.ts';
import { createLogger } from '../logging.ts';
import type { NodeSettings } from '../settings.ts';
import { startUp } from '../startup/start-up.ts';
import { startUpSettings } from '../startup/start-up-settings.ts';
import type { Component } from '../supervision/component.ts';
import { Supervised } from '../supervision/supervised.ts';
import { type CallChannel, carryError } from '../threads/channel.ts';
import type { ThreadService } from '../threads/serve.ts';
import { BirdDaemon } from './bird-daemon.ts';
import { ConfdComponent } from './confd-component.ts';
import { parsePacket } from './explain-request.ts';
import { FelixComponent } from './felix-component.ts';

/** What the agent's thread is told. */
export interface AgentSettings {
	readonly node: NodeSettings;
	readonly paths: HostPaths;
	/** `v3.32.0` */
	readonly version: string;
}

/** What the agent's thread tells of itself. */
export interface AgentStatus {
	readonly policy: PolicySummary | null;
	/** Of BIRD, where the agent runs it. */
	readonly bgp: RouterStatus | null;
	readonly problems: readonly NodeProblem[];
}

/**
 * Everything that works on the datastore, in one thread: start-up, then felix with the CNI server, and confd. They share a connection
 * and the code of data model and transport, which is most of what a thread of their own would cost each. The supervisor's thread has
 * none of it.
 */
export async function agentService(settings: AgentSettings, supervisor: CallChannel): Promise<ThreadService> {
	try {
		return new Agent(settings, supervisor);
	} catch (error) {
		await supervisor.call('giveUp', carryError(error));
		throw error;
	}
}

class Agent implements ThreadService {
	readonly methods = {
		status: (): Promise<AgentStatus> => this.#status(),
		endpoints: (): readonly EndpointPolicy[] => this.#felixOrThrow().endpoints(),
		explain: (request: ExplainRequest): Explanation => this.#felixOrThrow().explain(parsePacket(request)),
	};
	readonly #settings: AgentSettings;
	readonly #supervisor: CallChannel;
	readonly #client: Client;
	readonly #logger: Logger;
	readonly #felix: FelixComponent | undefined;
	readonly #confd: ConfdComponent | undefined;
	readonly #bird: BirdSink | undefined;
	/** What starts when start-up is through. */
	readonly #supervised: readonly Supervised[];
	/** BIRD has its configuration in a file, and needs to wait for nothing else. */
	readonly #supervisedBird: Supervised | undefined;
	#waitsFor = 'starting';

	constructor(settings: AgentSettings, supervisor: CallChannel) {
		const { node, paths } = settings;
		this.#settings = settings;
		this.#supervisor = supervisor;
		this.#client = openDatastore(datastoreConfigFromEnv(process.env));
		const logger = createLogger('node', node.logLevel);
		this.#logger = logger;
		if (node.runFelix)
			this.#felix = new FelixComponent(this.#client, { nodeName: node.nodeName, cniSocket: paths.cniSocket, mtuFile: paths.mtuFile });
		const bird = { program: 'bird', configFile: paths.birdConfigFile, controlSocket: paths.birdSocket };
		if (node.backend === 'bird') this.#bird = new BirdSink(bird);
		if (node.backend !== 'none') this.#confd = new ConfdComponent(() => this.#createConfd());
		const supervise = (component: Component): Supervised => new Supervised({ clock: systemClock, random: Math.random, logger }, component);
		this.#supervised = [this.#felix, this.#confd].filter((component) => component !== undefined).map(supervise);
		if (node.backend === 'bird') this.#supervisedBird = supervise(new BirdDaemon({ clock: systemClock, logger }, bird));
	}

	health(): { readonly ready: boolean; readonly reason: string } {
		if (this.#waitsFor !== '') return { ready: false, reason: this.#waitsFor };
		const felix = this.components().find(({ name }) => name === this.#felix?.name);
		return felix === undefined || felix.ready ? { ready: true, reason: '' } : { ready: false, reason: `felix: ${felix.reason}` };
	}

	components(): ReturnType<Supervised['status']>[] {
		const all = this.#supervisedBird === undefined ? this.#supervised : [...this.#supervised, this.#supervisedBird];
		return all.map((component) => component.status());
	}

	async run(signal: AbortSignal): Promise<string> {
		await using _client = this.#client;
		const [reason] = await Promise.all([this.#runOnDatastore(signal), this.#supervisedBird?.run(signal)]);
		return reason;
	}

	async #runOnDatastore(signal: AbortSignal): Promise<string> {
		const { node, paths, version } = this.#settings;
		try {
			const onWait = (reason: string): void => {
				this.#waitsFor = reason;
			};
			await startUp(
				{ client: this.#client, clock: systemClock, logger: this.#logger, random: Math.random, onWait },
				{ settings: startUpSettings(process.env, node), paths, version },
				signal,
			);
		} catch (error) {
			if (!signal.aborted) await this.#supervisor.call('giveUp', carryError(error));
			return explainError(error);
		}
		this.#waitsFor = '';
		this.#logger.info({ node: node.nodeName, backend: node.backend }, 'Calico node started successfully');
		await Promise.all(this.#supervised.map((component) => component.run(signal)));
		return 'stopped';
	}

	#createConfd(): Confd {
		const { node, paths } = this.#settings;
		return new Confd(
			{
				backend: this.#client.backend,
				sink: this.#bird ?? this.#builtInRouter(),
				secret: secretFiles(paths.secretsDirectory),
				logger: createLogger('confd', node.logLevel),
				clock: systemClock,
				random: Math.random,
			},
			{ nodeName: node.nodeName, routerId: node.routerId },
		);
	}

	/** The built-in BGP daemon, which the supervisor runs in a thread of its own. */
	#builtInRouter(): RouterSink {
		return {
			apply: async (config, signal) => {
				const problems = await this.#supervisor.call('configureRouter', config, signal);
				await storeRouter(this.#settings.paths.lastRouterFile, config);
				return problems as readonly ConfigProblem[];
			},
		};
	}

	async #status(): Promise<AgentStatus> {
		const felix = this.#felix?.current?.status();
		const problems: NodeProblem[] = [...(felix?.problems ?? []), ...(this.#confd?.current?.problems() ?? [])];
		let bgp: RouterStatus | undefined;
		try {
			bgp = await this.#bird?.status(AbortSignal.timeout(BIRD_LIMIT_MS));
		} catch (error) {
			problems.push({ subject: 'bird', message: explainError(error) });
		}
		return {
			policy: felix === undefined ? null : { state: felix.state, localEndpoints: felix.localEndpoints, localPolicies: felix.localPolicies },
			bgp: bgp ?? null,
			problems,
		};
	}

	#felixOrThrow() {
		const felix = this.#felix?.current;
		if (felix !== undefined) return felix;
		throw nodeError('NODE_COMPONENT', {
			message: this.#felix === undefined ? 'felix is turned off by CALICO_DISABLE_FELIX' : 'felix is not running',
		});
	}
}

/** A BIRD that does not answer by then does not hold the rest of the status up. */
const BIRD_LIMIT_MS = 2000;
