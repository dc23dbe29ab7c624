/** What tests of a whole cluster share: a lab with policies, traffic that policies allow and deny, and watching a node's kernel. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '#datastore';
import { explainError } from '#errors';
import { Ipam } from '#ipam';
import { inNamespace, type NftEvent, NftMonitor, type RtEvent, RtnetlinkMonitor } from '#kernel';
import { DEFAULT_LAB_OPTIONS, Lab, type LabOptions, Progress } from '#lab';
import { API_VERSION, type GlobalNetworkPolicy, type NetworkPolicy } from '#resources';
import { ClusterTraffic, type TrafficPlan, type Way, ways } from './cluster-traffic.ts';

const PLUGIN = join(import.meta.dirname, '../../native/build/calico');

/** Web servers serve clients on this port, and on {@link CLOSED_PORT} nobody. */
const OPEN_PORT = 7000;
const CLOSED_PORT = 7001;
/** The port of the connectivity matrix, which the policies let clients use, too. */
const MATRIX_PORT = 80;
/** BIRD and bgpd, static, Felix: the protocols of routes that are ours. */
const OUR_PROTOCOLS = [12, 3, 80];
const LIMIT_MS = 60_000;
/** Enough to tell whether a way is open, at one every few milliseconds. */
const SOME_PROBES = 20;
const BEFORE_MS = 300;
const AFTERWARDS_MS = 1000;
const LEAST_PACKETS = 100;
const MAX_DEAD_MS = 2000;
const MAX_PAUSE_MS = 3000;

/** What web servers take from clients. */
export function webPolicy(ports: readonly number[] = []): NetworkPolicy {
	return {
		apiVersion: API_VERSION,
		kind: 'NetworkPolicy',
		metadata: { name: 'web-for-clients', namespace: 'shop' },
		spec: {
			selector: "app == 'web'",
			types: ['Ingress'],
			ingress: (['TCP', 'UDP'] as const).map((protocol) => ({
				action: 'Allow',
				protocol,
				source: { selector: "app == 'client'" },
				destination: { ports: [MATRIX_PORT, OPEN_PORT, ...ports] },
			})),
		},
	};
}

/** Visitors send nothing to clients. */
const VISITOR_POLICY: GlobalNetworkPolicy = {
	apiVersion: API_VERSION,
	kind: 'GlobalNetworkPolicy',
	metadata: { name: 'visitors-keep-off' },
	spec: {
		selector: "app == 'visitor'",
		types: ['Egress'],
		egress: [{ action: 'Deny', destination: { selector: "app == 'client'" } }, { action: 'Allow' }],
	},
};

/** A lab whose pods `web-N`, `client-N` and `visitor-N` on `nodeN` are under policies, with the means to look at it. */
export class Cluster implements AsyncDisposable {
	readonly lab: Lab;
	readonly progress: Progress;

	private constructor(lab: Lab, progress: Progress) {
		this.lab = lab;
		this.progress = progress;
	}

	static async start(options: Partial<LabOptions>): Promise<Cluster> {
		const progress = new Progress(() => undefined);
		const lab = await Lab.start({ ...DEFAULT_LAB_OPTIONS, name: `t${process.pid}`, ...options }, { progress });
		const cluster = new Cluster(lab, progress);
		try {
			await cluster.#applyPolicies();
			await cluster.settle();
			return cluster;
		} catch (error) {
			await lab.down();
			throw error;
		}
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.lab.down();
	}

	/** Pods by their names. */
	ways(from: string, to: string, port: number): readonly Way[] {
		return ways(this.lab.pod(from), this.lab.pod(to), port, this.lab.plan.families);
	}

	/**
	 * Does something under traffic to and from `node1` and inside of it, and goes on for a while. Not one packet may be
	 * lost and none of what is denied, on either side, may get through.
	 *
	 * @returns how much traffic there was, in words
	 */
	async undisturbed(work: (traffic: ClusterTraffic) => Promise<void>, watched: readonly Way[] = []): Promise<string> {
		using traffic = new ClusterTraffic(this.lab, { ...this.#plan(), watched });
		await sleep(BEFORE_MS);
		await work(traffic);
		traffic.mark('the end');
		await sleep(AFTERWARDS_MS);
		const { lost, leaked, allowed, denied, longestGapMs } = await traffic.stop();
		assert.deepEqual({ lost, leaked }, { lost: [], leaked: [] });
		assert.ok(allowed > LEAST_PACKETS && denied > LEAST_PACKETS, `only ${allowed} and ${denied} packets were sent`);
		return `${allowed} packets of allowed flows, ${denied} of denied ones, at most ${longestGapMs.toFixed(0)} ms apart`;
	}

	/**
	 * As {@link undisturbed}, and nothing may change in the kernel of any node. BIRD, when it starts, writes IPv6 routes that
	 * are there over themselves, and blackholes anew; that much is left to it.
	 */
	async untouched(work: (traffic: ClusterTraffic) => Promise<void>): Promise<string> {
		using stack = new DisposableStack();
		const ignores = this.lab.plan.options.backend === 'bird' ? isWrittenAnew : () => false;
		const watches = this.lab.plan.nodes.map(({ name }) => stack.use(new KernelWatch(this, name, ignores)));
		const traffic = await this.undisturbed(work);
		assert.deepEqual(
			watches.flatMap((watch) => watch.changes()),
			[],
		);
		return traffic;
	}

	/** Waits until all nodes are ready, with every component and every BGP session up and recovery over. */
	async settle(): Promise<void> {
		await this.progress.until(() => this.#whyUnsettled(), LIMIT_MS);
	}

	/** Whether all nodes are as {@link settle} wants them. */
	async isSettled(): Promise<boolean> {
		return (await this.#whyUnsettled()) === undefined;
	}

	/** Ends a node's main process alone, and waits until it is gone. */
	async endNode(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
		process.kill(this.lab.processes().get(name)?.pid as number, signal);
		await this.until(`${name} to end`, () => this.lab.processes().get(name)?.running === false);
	}

	/** Polls until a condition holds. */
	until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
		return this.progress.until(async () => ((await condition()) ? undefined : what), LIMIT_MS);
	}

	/** Runs a program in the network namespace of a member of the lab. */
	exec(member: string, program: string, ...args: readonly string[]): string {
		return inNamespace(this.lab.namespaceFd(this.lab.netnsOf(member)), () => execFileSync(program, args, { encoding: 'utf8' }));
	}

	/**
	 * Executes the CNI plugin on a node for a container without a pod.
	 *
	 * @param netns name of the container's network namespace; it is the container's ID, too
	 * @returns 0, or the code of the error
	 */
	async callPlugin(node: string, command: 'ADD' | 'DEL', netns: string): Promise<number> {
		const { namespace } = this.lab.node(node);
		const env = {
			CNI_COMMAND: command,
			CNI_CONTAINERID: netns,
			CNI_NETNS: `/run/netns/${netns}`,
			CNI_IFNAME: 'eth0',
			CNI_PATH: dirname(PLUGIN),
			CALICO_CNI_SOCKET: join(this.lab.paths.hostRoot(node), 'var/run/calico/cni.sock'),
		};
		const child = inNamespace(this.lab.namespaceFd(namespace), () => spawn(PLUGIN, { env, stdio: ['pipe', 'pipe', 'ignore'] }));
		child.stdin.end(
			JSON.stringify({ cniVersion: '1.1.0', name: 'any', type: 'calico', ipam: { type: 'calico-ipam', assign_ipv6: 'true' } }),
		);
		const answer = await text(child.stdout);
		return answer === '' ? 0 : ((JSON.parse(answer) as { readonly code?: number }).code ?? 0);
	}

	/** How many addresses are assigned in the cluster. */
	async assignedAddresses(): Promise<bigint> {
		const usage = await new Ipam({ client: this.lab.client, clock: systemClock, random: Math.random }).usage();
		return usage.reduce((sum, { inUse }) => sum + inUse, 0n);
	}

	/** Everything a node wrote on its log so far. */
	log(node: string): string {
		return readFileSync(join(this.lab.paths.logsDirectory, `${node}.log`), 'utf8');
	}

	/** The processes of a program in the network namespace of a node. */
	processes(node: string, program: string): readonly number[] {
		const { ino } = statSync(`/run/netns/${this.lab.netnsOf(node)}`);
		return readdirSync('/proc')
			.filter((entry) => /^\d+$/.test(entry) && isIn(entry, ino, program))
			.map(Number);
	}

	/** Probes have to show that they arrive while nothing denies them, or they would prove nothing later. */
	async #applyPolicies(): Promise<void> {
		const { denied } = this.#plan();
		using traffic = new ClusterTraffic(this.lab, { allowed: [], denied: [], watched: denied });
		await this.until('probes to arrive where there is no policy', () => denied.every((way) => isOpen(traffic, way)));
		await this.lab.client.resources.apply(webPolicy());
		await this.lab.client.resources.apply(VISITOR_POLICY);
		await this.until('policies to be enforced', () => denied.every((way) => isClosed(traffic, way)));
	}

	#plan(): TrafficPlan {
		return {
			allowed: [
				...this.ways('client-1', 'web-2', OPEN_PORT),
				...this.ways('client-2', 'web-1', OPEN_PORT),
				...this.ways('client-1', 'web-1', OPEN_PORT),
			],
			denied: [
				...this.ways('visitor-1', 'web-1', OPEN_PORT),
				...this.ways('visitor-1', 'web-2', OPEN_PORT),
				...this.ways('visitor-2', 'web-1', OPEN_PORT),
				...this.ways('client-2', 'web-1', CLOSED_PORT),
				...this.ways('visitor-1', 'client-1', OPEN_PORT),
				...this.ways('visitor-1', 'client-2', OPEN_PORT),
			],
		};
	}

	async #whyUnsettled(): Promise<string | undefined> {
		const reasons = await Promise.all(this.lab.plan.nodes.map(({ name }) => this.#whyNodeUnsettled(name)));
		return reasons.find((reason) => reason !== undefined);
	}

	async #whyNodeUnsettled(name: string): Promise<string | undefined> {
		const status = await this.lab.nodeStatus(name).catch(explainError);
		if (typeof status === 'string') return `${name}: ${status}`;
		const { ready, reason, components, bgp } = status;
		if (!ready) return `${name}: ${reason}`;
		const unready = components.find((component) => !component.running || !component.ready);
		if (unready !== undefined) return `${name}: ${unready.name}: ${unready.reason}`;
		const down = bgp?.peers.find(({ state }) => state !== 'Established');
		if (down !== undefined) return `${name}: the session to ${down.address} (${down.state})`;
		return bgp === null || bgp.recovering ? `${name}: BGP to recover` : undefined;
	}
}

/** What {@link killAtRandom} kills. */
export interface Victim {
	readonly name: string;
	/** Whether it may be killed now; always, if absent. */
	isFit?(): Promise<boolean>;
	kill(): Promise<void>;
	/** Absent for what comes back by itself. */
	revive?(): Promise<void>;
}

/**
 * Kills at random, also while others are dead or just come up.
 *
 * @returns what was done, when everything was started again
 */
export async function killAtRandom(victims: readonly Victim[], kills: number, traffic: ClusterTraffic): Promise<string> {
	const startMs = performance.now();
	const story: string[] = [];
	const revivals = new Map<Victim, Promise<void>>();
	const tell = (what: string): void => {
		traffic.mark(what);
		story.push(`${(performance.now() - startMs).toFixed(0)} ms: ${what}`);
	};
	const reviveAfter = async (victim: Victim, pauseMs: number): Promise<void> => {
		await sleep(pauseMs);
		tell(`${victim.name} was started`);
		await victim.revive?.();
		revivals.delete(victim);
	};
	for (let count = 0; count < kills; ) {
		const victim = victims[Math.floor(Math.random() * victims.length)];
		if (victim !== undefined && !revivals.has(victim) && (await victim.isFit?.()) !== false) {
			count++;
			tell(`${victim.name} was killed`);
			await victim.kill();
			if (victim.revive !== undefined) revivals.set(victim, reviveAfter(victim, Math.random() * MAX_DEAD_MS));
		}
		await sleep(Math.random() * MAX_PAUSE_MS);
	}
	await Promise.all(revivals.values());
	return story.join('; ');
}

/** Sees every change of routes and nftables in a node's network namespace, and compares the whole in the end. */
class KernelWatch implements Disposable {
	readonly #cluster: Cluster;
	readonly #node: string;
	readonly #open = new DisposableStack();
	readonly #changes: string[] = [];
	readonly #before: string;

	constructor(cluster: Cluster, node: string, ignores: (event: RouteEvent) => boolean) {
		this.#cluster = cluster;
		this.#node = node;
		const namespaceFd = cluster.lab.namespaceFd(cluster.lab.node(node).namespace);
		this.#open.use(
			new RtnetlinkMonitor({
				namespaceFd,
				groups: ['route'],
				onEvents: (events) =>
					this.#changes.push(...events.flatMap((event) => (event.kind === 'route' && ignores(event) ? [] : describeRoute(event)))),
			}),
		);
		this.#open.use(new NftMonitor({ namespaceFd, onEvents: (events) => this.#changes.push(...events.flatMap(describeNft)) }));
		this.#before = this.#state();
	}

	/** What changed so far, in words: events, and whether the whole is the same, handles of rules included. */
	changes(): readonly string[] {
		return [...this.#changes.map((change) => `${this.#node}: ${change}`), ...this.#differences()];
	}

	[Symbol.dispose](): void {
		this.#open.dispose();
	}

	#state(): string {
		const routes = [4, 6].map((family) => this.#cluster.exec(this.#node, 'ip', `-${family}`, 'route', 'show', 'table', 'main'));
		return [this.#cluster.exec(this.#node, 'nft', '-a', 'list', 'ruleset'), ...routes].join('\n');
	}

	#differences(): readonly string[] {
		const [before, after] = [this.#before, this.#state()].map((state) => state.split('\n'));
		return [
			...(before ?? []).filter((line) => after?.includes(line) !== true).map((line) => `${this.#node} no longer has: ${line.trim()}`),
			...(after ?? []).filter((line) => before?.includes(line) !== true).map((line) => `${this.#node} has now: ${line.trim()}`),
		];
	}
}

/** Whether what was sent lately on a watched way arrived. */
export function isOpen(traffic: ClusterTraffic, way: Way): boolean {
	const lately = traffic.arrivals(way).slice(-SOME_PROBES);
	return lately.length === SOME_PROBES && lately.every(({ arrived }) => arrived);
}

/** Whether nothing of what was sent lately on a watched way arrived. */
export function isClosed(traffic: ClusterTraffic, way: Way): boolean {
	const lately = traffic.arrivals(way).slice(-SOME_PROBES);
	return lately.length === SOME_PROBES && !lately.some(({ arrived }) => arrived);
}

type RouteEvent = Extract<RtEvent, { readonly kind: 'route' }>;

function isWrittenAnew({ route, replaced }: RouteEvent): boolean {
	return route.destination.includes(':') && (replaced || route.type === 'blackhole');
}

function describeRoute(event: RtEvent): readonly string[] {
	if (event.kind !== 'route') return event.kind === 'resync' ? ['events were lost'] : [];
	const { change, replaced, route } = event;
	if (!OUR_PROTOCOLS.includes(route.protocol)) return [];
	const hops = route.nextHops.map(({ gateway, interfaceIndex }) => `via ${gateway ?? '-'} dev ${interfaceIndex ?? '-'}`);
	return [`route ${replaced ? 'replaced' : change}: ${route.destination} ${hops.join(', ')} protocol ${route.protocol}`];
}

function describeNft(event: NftEvent): readonly string[] {
	if (event.kind === 'resync') return ['events were lost'];
	return event.kind === 'generation' ? [] : [`nftables ${event.kind} ${event.change}: ${event.table} ${event.name ?? ''}`];
}

function isIn(pid: string, namespaceInode: number, program: string): boolean {
	try {
		return (
			readlinkSync(`/proc/${pid}/ns/net`) === `net:[${namespaceInode}]` && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === program
		);
	} catch {
		// it ended meanwhile
		return false;
	}
}
