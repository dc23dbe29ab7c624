import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type AgentReadiness, CniServer } from '#cni';
import { Client, MemoryBackend, type MemoryBackendOptions, systemClock } from '#datastore';
import { Ipam } from '#ipam';
import { createNamedNamespace, deleteNamedNamespace, inNamespace, type NetworkNamespace, Rtnetlink } from '#kernel';
import { API_VERSION, type WorkloadEndpoint } from '#resources';

const PLUGIN = join(import.meta.dirname, '../../native/build/calico');
const PLUGIN_LIMIT_MS = 60_000;

export interface PluginCall {
	readonly command: string;
	readonly containerId?: string;
	/** Name under `/run/netns`. */
	readonly netns?: string;
	readonly ifName?: string;
	readonly args?: string;
	readonly conf?: object;
	/** Defaults to `calico`. */
	readonly plugin?: string;
	readonly socketPath?: string;
}

export interface PluginOutcome {
	readonly status: number | null;
	readonly stdout: string;
	/** Stdout as JSON; without properties if it is empty. */
	readonly json: Readonly<Record<string, unknown>>;
	readonly ms: number;
}

export const NETWORK = {
	cniVersion: '1.0.0',
	name: 'k8s-pod-network',
	type: 'calico',
	ipam: { type: 'calico-ipam' },
	policy: { type: 'k8s' },
} as const;

/** The policy agent of a test: ready, unless told otherwise. */
export class TestAgent {
	readonly handedOver: WorkloadEndpoint[] = [];
	state: AgentReadiness = { ready: true };
	/** What `endpointReady` waits for. */
	policy: (endpoint: WorkloadEndpoint, signal: AbortSignal) => Promise<void> = () => Promise.resolve();

	readiness(): AgentReadiness {
		return this.state;
	}

	endpointReady(endpoint: WorkloadEndpoint, signal: AbortSignal): Promise<void> {
		this.handedOver.push(endpoint);
		return this.policy(endpoint, signal);
	}
}

/** A host with a CNI server, a datastore in memory and no other component; containers are namespaces. */
export class CniNode implements AsyncDisposable {
	readonly agent = new TestAgent();
	readonly backend: MemoryBackend;
	readonly client: Client;
	readonly ipam: Ipam;
	readonly namespace: NetworkNamespace;
	readonly namespaceName: string;
	readonly directory = mkdtempSync(join(tmpdir(), 'tortie-cni-'));
	readonly socketPath = join(this.directory, 'cni.sock');
	readonly #mark = `tt-${process.pid}-${randomBytes(3).toString('hex')}`;
	readonly #netns = new Set<string>();
	#server: CniServer | undefined;

	private constructor(options: MemoryBackendOptions) {
		this.backend = new MemoryBackend(options);
		this.client = new Client({ backend: this.backend, clock: systemClock });
		this.ipam = new Ipam({ client: this.client, clock: systemClock, random: Math.random });
		this.namespaceName = `${this.#mark}-node`;
		this.namespace = createNamedNamespace(this.namespaceName);
	}

	static async start(options: MemoryBackendOptions = {}): Promise<CniNode> {
		const node = new CniNode(options);
		const { resources } = node.client;
		await node.client.ensureInitialized({});
		await resources.create({ apiVersion: API_VERSION, kind: 'Node', metadata: { name: 'node1' }, spec: {} });
		for (const [name, cidr] of [
			['ipv4', '10.65.0.0/24'],
			['ipv6', 'fd65::/112'],
		] as const)
			await resources.create({ apiVersion: API_VERSION, kind: 'IPPool', metadata: { name }, spec: { cidr, natOutgoing: true } });
		node.serve();
		return node;
	}

	serve(): void {
		const { client, ipam, agent, namespace } = this;
		const host = { netlink: new Rtnetlink({ namespaceFd: namespace.fd }), namespaceFd: namespace.fd };
		const modules = { client, ipam, agent, host, logger: pino({ level: 'silent' }), clock: systemClock };
		this.#server = new CniServer(modules, { nodeName: 'node1', socketPath: this.socketPath, mtuFile: join(this.directory, 'mtu') });
	}

	async stopServing(): Promise<void> {
		await this.#server?.[Symbol.asyncDispose]();
		this.#server = undefined;
	}

	/** Makes a container's namespace. @returns its name under `/run/netns` */
	makeNetns(): string {
		const name = `${this.#mark}-${this.#netns.size}`;
		createNamedNamespace(name)[Symbol.dispose]();
		this.#netns.add(name);
		return name;
	}

	/** Executes the plugin on the host, as a container runtime does. */
	run(call: PluginCall): Promise<PluginOutcome> {
		const { promise, resolve, reject } = Promise.withResolvers<PluginOutcome>();
		const started = performance.now();
		const child = inNamespace(this.namespace.fd, () =>
			spawn(PLUGIN, {
				argv0: call.plugin ?? 'calico',
				stdio: ['pipe', 'pipe', 'inherit'],
				timeout: PLUGIN_LIMIT_MS,
				env: {
					CNI_COMMAND: call.command,
					CNI_CONTAINERID: call.containerId ?? 'c1',
					...(call.netns === undefined ? {} : { CNI_NETNS: `/run/netns/${call.netns}` }),
					CNI_IFNAME: call.ifName ?? 'eth0',
					CNI_ARGS: call.args ?? '',
					CNI_PATH: '/opt/cni/bin',
					CALICO_CNI_SOCKET: call.socketPath ?? this.socketPath,
				},
			}),
		);
		let stdout = '';
		child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
		child.on('error', reject);
		child.on('close', (status) =>
			resolve({
				status,
				stdout,
				json: stdout.trim() === '' ? {} : (JSON.parse(stdout) as PluginOutcome['json']),
				ms: performance.now() - started,
			}),
		);
		// the plugin may end without reading it all
		child.stdin.on('error', () => undefined);
		child.stdin.end(JSON.stringify(call.conf ?? NETWORK));
		return promise;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stopServing();
		for (const name of this.#netns) deleteNamedNamespace(name);
		this.namespace[Symbol.dispose]();
		deleteNamedNamespace(this.namespaceName);
		rmSync(this.directory, { recursive: true, force: true });
	}
}

/** CNI_ARGS of a Kubernetes pod. */
export function podArgs(namespace: string, name: string): string {
	return `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=x`;
}
