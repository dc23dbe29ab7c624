import { CniServer } from '#cni';
import { type Client, systemClock } from '#datastore';
import { explainError } from '#errors';
import { Felix, type FelixConfig, FelixMetrics } from '#felix';
import { Ipam } from '#ipam';
import { Rtnetlink } from '#kernel';
import { createLogger } from '../logging.ts';
import type { Component, Instance } from '../supervision/component.ts';
import { dataplaneOptions, openDataplane } from './dataplane.ts';
import { hostMtu, writeMtu } from './mtu.ts';

export interface FelixComponentOptions {
	readonly nodeName: string;
	/** Where the CNI plugin hands its requests in. */
	readonly cniSocket: string;
	readonly mtuFile: string;
}

const LEVELS = { Trace: 'trace', Debug: 'debug', Info: 'info', Warning: 'warn', Error: 'error', Fatal: 'fatal' } as const;

/** Felix with the CNI server, which hands new endpoints to it directly. It ends when its settings change. */
export class FelixComponent implements Component {
	readonly name = 'felix';
	readonly #client: Client;
	readonly #options: FelixComponentOptions;
	#current: Felix | undefined;

	constructor(client: Client, options: FelixComponentOptions) {
		this.#client = client;
		this.#options = options;
	}

	/** The agent, while it runs. */
	get current(): Felix | undefined {
		return this.#current;
	}

	start(): Promise<Instance> {
		const { nodeName, cniSocket, mtuFile } = this.#options;
		const client = this.#client;
		const logger = createLogger('felix', process.env['FELIX_LOGSEVERITYSCREEN']);
		const open = new AsyncDisposableStack();
		const metrics = open.use(new FelixMetrics());
		const felix = new Felix(
			{
				backend: client.backend,
				openDataplane: (config, onEndpointState) => openDataplane(logger, { ...dataplaneOptions(config), onEndpointState }),
				onConfigured: (config) => onConfigured(config),
				observer: metrics,
				logger,
				clock: systemClock,
				random: Math.random,
			},
			{ nodeName, environment: process.env },
		);
		const onConfigured = (config: FelixConfig): void => {
			logger.level = LEVELS[config.logSeverity];
			if (!config.metricsEnabled) return;
			const options = { host: config.metricsHost, port: config.metricsPort, nodeName };
			metrics
				.serve(options, () => felix.status(), logger)
				.catch((error: unknown) => logger.error({ reason: explainError(error) }, 'metrics are not served'));
		};
		const stop = new AbortController();
		const run = async (): Promise<string> => {
			try {
				const netlink = open.use(new Rtnetlink());
				await writeMtu(mtuFile, hostMtu(netlink.listLinks()));
				open.use(
					new CniServer(
						{
							client,
							ipam: new Ipam({ client, clock: systemClock, random: Math.random }),
							agent: felix,
							host: { netlink },
							logger: createLogger('cni', process.env['FELIX_LOGSEVERITYSCREEN']),
							clock: systemClock,
						},
						{ socketPath: cniSocket, nodeName, mtuFile },
					),
				);
				return await felix.run(stop.signal);
			} catch (error) {
				return explainError(error);
			} finally {
				this.#current = undefined;
				await open.disposeAsync();
			}
		};
		this.#current = felix;
		const ended = run();
		return Promise.resolve({
			ended,
			health: () => {
				const readiness = felix.readiness();
				return { live: true, ready: readiness.ready, reason: readiness.ready ? '' : readiness.reason };
			},
			async [Symbol.asyncDispose](): Promise<void> {
				stop.abort();
				await ended;
			},
		});
	}
}
