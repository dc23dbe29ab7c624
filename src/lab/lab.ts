import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, datastoreConfigFromEnv, openDatastore, systemClock } from '#datastore';
import { explainError } from '#errors';
import { Ipam } from '#ipam';
import { createNamedNamespace, deleteNamedNamespace, type NetworkNamespace, Rtnetlink } from '#kernel';

import { askNode, type NodeStatus } from '#node-api';
import { clusterResources } from './cluster-resources.ts';
import { baseEnvironment, nodeEnvironment } from './environment.ts';
import { labError } from './errors.ts';
import { EtcdRelay, etcdArguments, etcdEndpoint } from './etcd.ts';
import { buildFabric, fabricNamespaces, labNamespace } from './fabric.ts';
import { type LabOptions, type LabPlan, type NodePlan, namespaceName, type PodSpec, planLab, type SegmentPlan } from './plan.ts';
import { tellPodServer } from './pod-server.ts';
import { type ProbeResult, type ProbeTarget, probeFrom } from './probe.ts';
import { isRunning, type ProcessId, signalProcess, spawnDetached, startTimeOf } from './process.ts';
import { Progress } from './progress.ts';
import { findPrograms, type LabPrograms } from './project.ts';
import { renderRouter } from './router.ts';
import { missingRoutes } from './routes.ts';
import { ContainerRuntime } from './runtime.ts';
import { createState, type LabPaths, type LabState, labPaths, type PodRecord, readState, writeState } from './state.ts';
import { isLiving, takeDown } from './take-down.ts';

const ETCD_LIMIT_MS = 30_000;
const NODES_LIMIT_MS = 60_000;
const ROUTES_LIMIT_MS = 60_000;
const STOP_GRACE_MS = 3000;
/** The key of the server beyond the cluster; no pod has this name. */
const OUTSIDE = 'outside';

export interface LabModules {
	readonly progress: Progress;
	/** Ends a start that is under way. */
	readonly signal?: AbortSignal;
}

/** A cluster of network namespaces on this machine. The object is a handle: the cluster stays when it is disposed of, until {@link down}. */
export class Lab implements AsyncDisposable {
	readonly plan: LabPlan;
	readonly paths: LabPaths;
	readonly client: Client;
	/** The datastore for programs on this machine, as long as this object lives. */
	readonly etcdEndpoint: string;
	readonly #programs: LabPrograms;
	readonly #progress: Progress;
	readonly #relay: EtcdRelay;
	readonly #namespaces = new Map<string, NetworkNamespace>();
	#state: LabState;

	private constructor(state: LabState, programs: LabPrograms, relay: EtcdRelay, progress: Progress) {
		this.#state = state;
		this.plan = planLab(state.options);
		this.paths = labPaths(state.options.name);
		this.#programs = programs;
		this.#relay = relay;
		this.#progress = progress;
		this.etcdEndpoint = relay.endpoint;
		this.client = openDatastore(datastoreConfigFromEnv({ ETCD_ENDPOINTS: relay.endpoint }), {
			addresses: (client) => new Ipam({ client, clock: systemClock, random: Math.random }),
		});
	}

	/**
	 * Builds the fabric, starts etcd, routers and nodes, and makes the pods. When it fails, all is taken down again.
	 *
	 * @throws LAB_ALREADY_UP, LAB_PROCESS_FAILED, LAB_TIMEOUT, LAB_CNI_FAILED
	 */
	static async start(options: LabOptions, { progress, signal }: LabModules): Promise<Lab> {
		const programs = findPrograms();
		const plan = planLab(options);
		if (!isLiving(options.name) && (await takeDown(options.name))) progress.note('remains of an earlier lab are cleared away');
		const state: LabState = {
			format: 1,
			phase: 'starting',
			starter: { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' },
			options,
			namespaces: fabricNamespaces(plan),
			processes: {},
			pods: [],
		};
		createState(state);
		let lab: Lab | undefined;
		try {
			await progress.step(`fabric: ${plan.nodes.length} nodes, ${plan.segments.length === 1 ? 'one segment' : 'two racks'}`, async () =>
				buildFabric(plan),
			);
			lab = new Lab(state, programs, await EtcdRelay.open(labPaths(options.name).etcdSocket), progress);
			await lab.#bringUp(signal);
			return lab;
		} catch (error) {
			const failure = withLogs(error, options.name);
			await lab?.[Symbol.asyncDispose]();
			await takeDown(options.name);
			throw failure;
		}
	}

	/**
	 * Takes hold of a lab that is up.
	 *
	 * @throws LAB_NOT_UP
	 */
	static async attach(name: string, { progress }: Pick<LabModules, 'progress'>): Promise<Lab> {
		const state = readState(name);
		if (state === undefined || state === 'unreadable')
			throw labError('LAB_NOT_UP', { message: `there is no lab "${name}"`, hint: 'start one with "npm run lab"' });
		return new Lab(state, findPrograms(), await EtcdRelay.open(labPaths(name).etcdSocket), progress);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const namespace of this.#namespaces.values()) namespace[Symbol.dispose]();
		this.#namespaces.clear();
		await this.client[Symbol.asyncDispose]();
		await this.#relay[Symbol.asyncDispose]();
	}

	/** Takes the cluster down. */
	async down(): Promise<void> {
		await this[Symbol.asyncDispose]();
		await takeDown(this.plan.options.name);
	}

	/** In the order of their names. */
	get pods(): readonly PodRecord[] {
		const fullName = ({ namespace, name }: PodRecord): string => `${namespace}/${name}`;
		return this.#state.pods.toSorted((a, b) => fullName(a).localeCompare(fullName(b), 'en', { numeric: true }));
	}

	/** The processes of the lab, by role, and whether they run. */
	processes(): ReadonlyMap<string, { readonly pid: number; readonly running: boolean }> {
		return new Map(Object.entries(this.#state.processes).map(([role, id]) => [role, { pid: id.pid, running: isRunning(id) }]));
	}

	/** The descriptor of a member's network namespace, by its name under `/run/netns`. */
	namespaceFd(netns: string): number {
		const open = this.#namespaces.get(netns) ?? labNamespace(netns);
		this.#namespaces.set(netns, open);
		return open.fd;
	}

	/** @throws LAB_UNKNOWN_MEMBER */
	node(name: string): NodePlan {
		return this.plan.nodes.find((node) => node.name === name) ?? this.#unknown(name);
	}

	/** @param name of the pod, or namespace/name @throws LAB_UNKNOWN_MEMBER */
	pod(name: string): PodRecord {
		return this.pods.find((pod) => pod.name === name || `${pod.namespace}/${pod.name}` === name) ?? this.#unknown(name);
	}

	/** The name under `/run/netns` of a node, router or pod. @throws LAB_UNKNOWN_MEMBER */
	netnsOf(member: string): string {
		const machine = [...this.plan.nodes, ...this.plan.segments].find(({ name }) => name === member);
		return machine?.namespace ?? this.pod(member).netns;
	}

	/** The environment in which programs find the lab's cluster, run on one of its members. */
	environment(member: string): Readonly<Record<string, string>> {
		const base = baseEnvironment();
		return {
			...base,
			PATH: `${this.#programs.binDirectory}:${base['PATH']}`,
			ETCD_ENDPOINTS: etcdEndpoint(this.plan),
			CALICO_HOST_ROOT: this.paths.hostRoot(this.plan.nodes.find(({ name }) => name === member)?.name ?? 'none'),
		};
	}

	/** Makes a pod as the container runtime of its node would, and has it served. */
	async addPod(pod: PodSpec): Promise<PodRecord> {
		const netns = namespaceName(this.plan.options.name, `${pod.namespace}.${pod.name}`);
		const containerId = randomBytes(32).toString('hex');
		// before it exists, so that it cannot be forgotten
		this.#update({ namespaces: [...this.#state.namespaces, netns] });
		createNamedNamespace(netns)[Symbol.dispose]();
		bringLoopbackUp(this.namespaceFd(netns));
		const addresses = await this.#runtime(pod.node).add({ pod, containerId, netnsPath: `/run/netns/${netns}` });
		await tellPodServer(this.paths.podsSocket, { operation: 'open', key: netns }, this.namespaceFd(netns));
		const record: PodRecord = { ...pod, containerId, netns, addresses };
		this.#update({ pods: [...this.#state.pods, record] });
		return record;
	}

	/** Ends a pod as the container runtime of its node would. */
	async removePod(pod: PodRecord): Promise<void> {
		await this.#runtime(pod.node).delete({ pod, containerId: pod.containerId, netnsPath: `/run/netns/${pod.netns}` });
		await tellPodServer(this.paths.podsSocket, { operation: 'close', key: pod.netns });
		this.#namespaces.get(pod.netns)?.[Symbol.dispose]();
		this.#namespaces.delete(pod.netns);
		deleteNamedNamespace(pod.netns);
		this.#update({
			namespaces: this.#state.namespaces.filter((name) => name !== pod.netns),
			pods: this.#state.pods.filter(({ netns }) => netns !== pod.netns),
		});
	}

	/** Tries to reach an address from inside a pod. */
	probe(from: Pick<PodRecord, 'netns'>, target: ProbeTarget, limitMs: number): Promise<ProbeResult> {
		return probeFrom(this.namespaceFd(from.netns), target, limitMs);
	}

	/** What a node says of itself. @throws NODE_API_UNAVAILABLE */
	nodeStatus(name: string): Promise<NodeStatus> {
		return askNode(join(this.paths.hostRoot(name), 'var/run/calico/node.sock'), 'GET /v1/status', undefined);
	}

	/** Kills a node's main process alone, by SIGKILL; what it started is left to itself. */
	async killNode(name: string): Promise<void> {
		await this.#kill(this.node(name).name);
	}

	/** Starts a node that is not running. */
	async startNode(name: string): Promise<void> {
		const node = this.node(name);
		const [command, launcher] = this.#programs.tortie;
		const hostRoot = this.paths.hostRoot(name);
		mkdirSync(join(hostRoot, 'var/run/calico'), { recursive: true });
		await this.#spawn(name, node.namespace, command, [launcher, 'node'], nodeEnvironment(this.plan, node, hostRoot));
	}

	/** Waits until nodes say that they are ready and take pods. @throws LAB_TIMEOUT, LAB_PROCESS_FAILED */
	async waitForNodes(names: readonly string[], signal?: AbortSignal): Promise<void> {
		await this.#progress.until(
			async () => {
				if (this.#state.phase === 'starting') for (const role of Object.keys(this.#state.processes)) this.#requireRunning(role);
				const missing = await Promise.all(names.map((name) => this.#whyNotReady(name)));
				const reasons = missing.filter((reason) => reason !== undefined);
				return reasons.length === 0 ? undefined : reasons.join('; ');
			},
			NODES_LIMIT_MS,
			signal,
		);
	}

	/** Waits until BGP has brought every block everywhere. @throws LAB_TIMEOUT */
	async waitForRoutes(signal?: AbortSignal): Promise<void> {
		await this.#progress.until(
			async () => {
				const missing = await missingRoutes(this.client, this.plan);
				return missing.length === 0
					? undefined
					: `the route to ${missing[0]}${missing.length === 1 ? '' : `, and ${missing.length - 1} more`}`;
			},
			ROUTES_LIMIT_MS,
			signal,
		);
	}

	/** Kills etcd by SIGKILL. */
	async killEtcd(): Promise<void> {
		await this.#kill('etcd');
	}

	/** Starts etcd, with the data it had. */
	async startEtcd(signal?: AbortSignal): Promise<void> {
		const first = this.plan.segments[0] as SegmentPlan;
		rmSync(this.paths.etcdSocket, { force: true });
		await this.#spawn('etcd', first.namespace, this.#programs.etcd, etcdArguments(this.plan, this.paths), baseEnvironment());
		await this.#progress.until(
			async () => {
				this.#requireRunning('etcd');
				try {
					await this.client.backend.ping({ signal: AbortSignal.timeout(1000) });
					return undefined;
				} catch {
					return 'etcd to answer';
				}
			},
			ETCD_LIMIT_MS,
			signal,
		);
	}

	async #bringUp(signal: AbortSignal | undefined): Promise<void> {
		const { plan } = this;
		for (const name of fabricNamespaces(plan)) bringLoopbackUp(this.namespaceFd(name));
		await this.#progress.step('etcd', () => this.startEtcd(signal));
		await this.#progress.step('cluster: pools, nodes, peers, profiles', async () => {
			await this.client.ensureInitialized({ clusterType: 'k8s,bgp' });
			for (const resource of clusterResources(plan)) await this.client.resources.apply(resource);
		});
		await this.#progress.step(`nodes${plan.segments.length > 1 ? ' and routers' : ''}`, async () => {
			await this.#startPodServer();
			if (plan.segments.length > 1) for (const segment of plan.segments) await this.#startRouter(segment);
			for (const { name } of plan.nodes) await this.startNode(name);
			await this.waitForNodes(
				plan.nodes.map(({ name }) => name),
				signal,
			);
		});
		await this.#progress.step(`${plan.pods.length} pods by CNI`, async () => {
			await Promise.all(plan.pods.map((pod) => this.addPod(pod)));
		});
		await this.#progress.step('routes by BGP', () => this.waitForRoutes(signal));
		this.#update({ phase: 'up' });
	}

	async #startPodServer(): Promise<void> {
		const [command, launcher] = this.#programs.tortie;
		const { namespace } = this.plan.segments[0] as SegmentPlan;
		await this.#spawn('pods', namespace, command, [launcher, 'lab', 'serve-pods', this.paths.podsSocket], baseEnvironment());
		await this.#progress.until(async () => {
			this.#requireRunning('pods');
			try {
				await tellPodServer(this.paths.podsSocket, { operation: 'open', key: OUTSIDE }, this.namespaceFd(namespace));
				return undefined;
			} catch (error) {
				return `the servers in the pods: ${explainError(error)}`;
			}
		}, NODES_LIMIT_MS);
	}

	async #startRouter(segment: SegmentPlan): Promise<void> {
		const config = join(this.paths.directory, `${segment.name}.conf`);
		writeFileSync(config, renderRouter(this.plan, segment), { mode: 0o600 });
		const args = ['-f', '-c', config, '-s', join(this.paths.directory, `${segment.name}.ctl`)];
		await this.#spawn(segment.name, segment.namespace, this.#programs.bird, args, baseEnvironment());
	}

	async #whyNotReady(name: string): Promise<string | undefined> {
		this.#requireRunning(name);
		try {
			const { ready, reason } = await this.nodeStatus(name);
			if (!ready) return `${name}: ${reason}`;
		} catch {
			return `${name} to answer`;
		}
		return (await this.#runtime(name).isReady()) ? undefined : `${name} to take pods`;
	}

	#runtime(node: string): ContainerRuntime {
		const cniSocket = join(this.paths.hostRoot(node), 'var/run/calico/cni.sock');
		const host = this.namespaceFd(this.node(node).namespace);
		return new ContainerRuntime(host, { plugin: this.#programs.plugin, cniSocket, plan: this.plan });
	}

	async #spawn(role: string, netns: string, command: string, args: readonly string[], env: Record<string, string>): Promise<void> {
		const logFile = join(this.paths.logsDirectory, `${role}.log`);
		const id = await spawnDetached(command, args, { namespaceFd: this.namespaceFd(netns), env, logFile, directory: this.paths.directory });
		this.#update({ processes: { ...this.#state.processes, [role]: id } });
	}

	async #kill(role: string): Promise<void> {
		const id = this.#processOf(role);
		signalProcess(id, 'SIGKILL');
		await this.#progress.until(() => (isRunning(id) ? `${role} to end` : undefined), STOP_GRACE_MS);
	}

	#processOf(role: string): ProcessId {
		return this.#state.processes[role] ?? this.#unknown(role);
	}

	#requireRunning(role: string): void {
		if (isRunning(this.#processOf(role))) return;
		throw labError('LAB_PROCESS_FAILED', { message: `${role} ended by itself`, path: join(this.paths.logsDirectory, `${role}.log`) });
	}

	#update(change: Partial<LabState>): void {
		this.#state = { ...this.#state, ...change };
		writeState(this.#state);
	}

	#unknown(name: string): never {
		const members = [...this.plan.nodes, ...(this.plan.segments.length > 1 ? this.plan.segments : []), ...this.pods].map(
			(member) => member.name,
		);
		throw labError('LAB_UNKNOWN_MEMBER', { message: `the lab has no ${JSON.stringify(name)}`, found: name, allowed: members.join(', ') });
	}
}

function bringLoopbackUp(namespaceFd: number): void {
	using netlink = new Rtnetlink({ namespaceFd });
	netlink.changeLink(1, { up: true });
}

/** The log goes with the lab: its end has to be in the error. */
function withLogs(error: unknown, name: string): unknown {
	const file = labError.is(error) ? error.path : undefined;
	if (file === undefined || !file.startsWith(labPaths(name).logsDirectory)) return error;
	const end = readFileSync(file, 'utf8').trim().split('\n').slice(-5).join('\n');
	return labError('LAB_PROCESS_FAILED', { message: `${(error as Error).message}; the end of its log:\n${end}`, cause: error });
}
