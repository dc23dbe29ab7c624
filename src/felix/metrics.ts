import { createServer, type Server } from 'node:http';
import type { Logger } from 'pino';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { explainError } from '#errors';
import type { KindName } from '#resources';
import type { FelixObserver, FelixStatus } from './felix.ts';

export interface MetricsOptions {
	/** Empty: every address. */
	readonly host: string;
	readonly port: number;
	readonly nodeName: string;
}

/** `felix_resync_state`, by Felix's state. */
const RESYNC_STATE = { starting: 1, waiting: 1, locked: 2, resync: 2, 'in-sync': 3 } as const;

/** Gauges that count a kind's objects in the whole cluster. */
const CLUSTER_GAUGES: readonly { readonly name: string; readonly help: string; readonly kinds: readonly KindName[] }[] = [
	{ name: 'felix_cluster_num_hosts', help: 'Nodes in the cluster.', kinds: ['Node'] },
	{ name: 'felix_cluster_num_workload_endpoints', help: 'Workload endpoints in the cluster.', kinds: ['WorkloadEndpoint'] },
	{ name: 'felix_cluster_num_policies', help: 'Policies in the cluster.', kinds: ['NetworkPolicy', 'GlobalNetworkPolicy'] },
	{ name: 'felix_cluster_num_profiles', help: 'Profiles in the cluster.', kinds: ['Profile'] },
	{ name: 'felix_cluster_num_tiers', help: 'Tiers in the cluster.', kinds: ['Tier'] },
];

/** Felix's Prometheus metrics. Nothing is counted, and the library not loaded, before they are served. */
export class FelixMetrics implements FelixObserver, AsyncDisposable {
	/** Names of the cluster's objects by kind; nothing is kept unless somebody may ask. */
	#objects: Map<KindName, Set<string>> | undefined;
	#applyTime: Histogram | undefined;
	#failures: Counter | undefined;
	#server: Server | undefined;

	updated(kind: KindName, id: string, present: boolean): void {
		if (this.#objects === undefined) return;
		let ids = this.#objects.get(kind);
		if (ids === undefined) this.#objects.set(kind, (ids = new Set()));
		if (present) ids.add(id);
		else ids.delete(id);
	}

	applied(durationMs: number): void {
		this.#applyTime?.observe(durationMs / 1000);
	}

	applyFailed(): void {
		this.#failures?.inc();
	}

	/**
	 * Serves `/metrics`. A port that is taken is logged; Felix works without it.
	 *
	 * @returns the port, undefined if there is none
	 */
	async serve(options: MetricsOptions, status: () => FelixStatus, logger: Logger): Promise<number | undefined> {
		const objects = new Map<KindName, Set<string>>();
		this.#objects = objects;
		const { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } = await import('prom-client');
		const registry = new Registry();
		collectDefaultMetrics({ register: registry });
		const gauge = (name: string, help: string, value: () => number): Gauge =>
			new Gauge({
				name,
				help,
				registers: [registry],
				collect(): void {
					this.set(value());
				},
			});
		new Gauge({ name: 'felix_host', help: 'Always 1, with the name of the node.', labelNames: ['host'], registers: [registry] }).set(
			{ host: options.nodeName },
			1,
		);
		gauge('felix_resync_state', '1 waits for the datastore, 2 reads it, 3 in sync.', () => RESYNC_STATE[status().state]);
		gauge('felix_active_local_endpoints', 'Endpoints on this node.', () => status().localEndpoints);
		gauge('felix_active_local_policies', 'Policies and profiles in force on this node.', () => status().localPolicies);
		for (const { name, help, kinds } of CLUSTER_GAUGES)
			gauge(name, help, () => kinds.reduce((sum, kind) => sum + (objects.get(kind)?.size ?? 0), 0));
		this.#applyTime = new Histogram({
			name: 'felix_int_dataplane_apply_time_seconds',
			help: 'Time from a change of policy to the kernel having it.',
			buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
			registers: [registry],
		});
		this.#failures = new Counter({
			name: 'felix_int_dataplane_failures',
			help: 'Times that the kernel refused an update; it is tried again.',
			registers: [registry],
		});
		return this.#listen(registry, options, logger);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const server = this.#server;
		if (server === undefined) return;
		server.closeAllConnections();
		await new Promise((resolve) => server.close(resolve));
	}

	async #listen(registry: Registry, { host, port }: MetricsOptions, logger: Logger): Promise<number | undefined> {
		const server = createServer((request, response) => {
			if (request.url?.split('?')[0] !== '/metrics') return void response.writeHead(404).end();
			registry.metrics().then(
				(text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
				(error: unknown) => response.writeHead(500).end(explainError(error)),
			);
		});
		this.#server = server;
		await new Promise<void>((resolve) => {
			server.on('error', (error) => {
				logger.error({ port, reason: explainError(error) }, 'metrics are not served');
				resolve();
			});
			server.listen({ port, ...(host === '' ? {} : { host }) }, resolve);
		});
		const address = server.address();
		return typeof address === 'object' ? address?.port : undefined;
	}
}
