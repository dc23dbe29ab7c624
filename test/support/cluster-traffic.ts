/** Packets between pods of a lab, each with a number: which of them were lost, and which came through that should not have. */
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainError } from '#errors';
import { inNamespace, TcpConnection, TcpListener } from '#kernel';
import type { Lab, PodRecord } from '#lab';
import { type Family, type Ip, ipFamily } from '#net';

/** From a pod to an address and port of another. */
export interface Way {
	readonly from: PodRecord;
	readonly to: PodRecord;
	readonly address: Ip;
	readonly port: number;
}

/** The ways between two pods, one for each of the families. */
export function ways(from: PodRecord, to: PodRecord, port: number, families: readonly Family[]): readonly Way[] {
	return to.addresses.filter((address) => families.includes(ipFamily(address))).map((address) => ({ from, to, address, port }));
}

export interface TrafficPlan {
	/** A UDP flow and a TCP connection that go on, and new flows of both all the time. All are answered, and not a packet may be lost. */
	readonly allowed: readonly Way[];
	/** New flows all the time, of which nothing may arrive; by TCP only from pods that send nothing allowed, whose SYNs would count as lost. */
	readonly denied: readonly Way[];
	/** New UDP flows all the time, of which {@link ClusterTraffic.arrivals} tells. */
	readonly watched?: readonly Way[];
}

/** A packet or connection, and what became of it. */
export interface Sent {
	readonly kind: 'UDP flow' | 'new UDP flow' | 'new TCP connection';
	readonly expected: 'answer' | 'silence' | 'either';
	readonly way: Way;
	readonly sentMs: number;
	arrived: boolean;
	answered: boolean;
}

/** In words, with times. */
export interface TrafficReport {
	readonly lost: readonly string[];
	readonly leaked: readonly string[];
	/** Packets and connections of allowed ways. */
	readonly allowed: number;
	/** The same of denied ways. */
	readonly denied: number;
	/** The longest time in which nothing was sent, milliseconds. */
	readonly longestGapMs: number;
}

const TICK_MS = 4;
const DENIED_PER_TICK = 2;
const CONNECT_EVERY_TICKS = 5;
/** Less than the second after which TCP would send another SYN. */
const REFUSED_LIMIT_MS = 800;
const ANSWER_LIMIT_MS = 3000;
const FIRST_PORT = 10_000;
const LAST_PORT = 64_000;
/** Those below stay with the flows that go on. */
const FIRST_PORT_AGAIN = 10_100;
const MESSAGE = new Uint8Array(16);

/** Traffic that begins at once and goes on until {@link ClusterTraffic.stop}. */
export class ClusterTraffic implements Disposable {
	readonly #lab: Lab;
	readonly #plan: TrafficPlan;
	readonly #refusedTcp: readonly Way[];
	readonly #open = new DisposableStack();
	readonly #sockets = new Set<Socket>();
	readonly #connections = new Set<TcpConnection>();
	readonly #sourcePorts = new Map<string, number>();
	readonly #flows: readonly { readonly way: Way; readonly socket: Socket; readonly stream: TcpStream }[];
	/** By number. */
	readonly #sent: Sent[] = [];
	readonly #failures: string[] = [];
	readonly #retransmittedBefore: number;
	readonly #startedMs = performance.now();
	readonly #events: { readonly what: string; readonly atMs: number }[] = [];
	readonly #timer: NodeJS.Timeout;
	#ticks = 0;
	#lastTickMs = performance.now();
	#longestGapMs = 0;

	constructor(lab: Lab, plan: TrafficPlan) {
		this.#lab = lab;
		this.#plan = plan;
		const answered = new Set(plan.allowed.flatMap(({ from, to }) => [from.netns, to.netns]));
		this.#refusedTcp = plan.denied.filter(({ from }) => !answered.has(from.netns));
		const servers = new Map([...plan.allowed, ...plan.denied, ...(plan.watched ?? [])].map((way) => [`${way.address} ${way.port}`, way]));
		for (const way of servers.values()) this.#serve(way);
		this.#retransmittedBefore = this.#retransmitted();
		this.#flows = plan.allowed.map((way) => {
			const onBroken = (reason: string): void => void this.#failures.push(`TCP connection ${describeWay(way)} broke: ${reason}`);
			return { way, socket: this.#clientSocket(way), stream: this.#open.use(new TcpStream(this.#namespaceFd(way.from), way, onBroken)) };
		});
		this.#timer = setInterval(() => this.#tick(), TICK_MS);
	}

	/** Notes what happens, for the report. */
	mark(what: string): void {
		this.#events.push({ what, atMs: performance.now() });
	}

	/** What became of the flows of a watched way, in the order of sending. */
	arrivals(way: Way): readonly Sent[] {
		return this.#sent.filter((one) => one.way === way && one.expected === 'either');
	}

	/** Ends the traffic, after waiting for answers that are on their way. */
	async stop(): Promise<TrafficReport> {
		clearInterval(this.#timer);
		const unanswered = (): readonly Sent[] => this.#sent.filter(({ expected, answered }) => expected === 'answer' && !answered);
		const isWaiting = (): boolean => unanswered().length > 0 || this.#flows.some(({ stream }) => !stream.idle);
		for (const end = performance.now() + ANSWER_LIMIT_MS; isWaiting() && performance.now() < end; ) await sleep(20);
		const retransmitted = this.#retransmitted() - this.#retransmittedBefore;
		const streams = this.#flows.map(({ stream }) => stream);
		this[Symbol.dispose]();
		const lost = [
			...this.#failures,
			...(retransmitted > 0 ? [`${retransmitted} TCP segments were sent more than once`] : []),
			...this.#flows.filter(({ stream }) => !stream.idle).map(({ way }) => `TCP connection ${describeWay(way)}: no answer in the end`),
			...this.#describe(unanswered()),
		];
		const leaked = this.#describe(this.#sent.filter(({ expected, arrived }) => expected === 'silence' && arrived));
		const count = (expected: Sent['expected']): number => this.#sent.filter((one) => one.expected === expected).length;
		const allowed = count('answer') + streams.reduce((sum, { sent }) => sum + sent, 0);
		return { lost, leaked, allowed, denied: count('silence'), longestGapMs: this.#longestGapMs };
	}

	[Symbol.dispose](): void {
		clearInterval(this.#timer);
		for (const connection of this.#connections) connection.close({ reset: true });
		this.#connections.clear();
		for (const socket of this.#sockets) this.#close(socket);
		this.#open.dispose();
	}

	#tick(): void {
		const now = performance.now();
		this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastTickMs);
		this.#lastTickMs = now;
		const { allowed, denied, watched = [] } = this.#plan;
		const tick = this.#ticks++;
		for (const { way, socket, stream } of this.#flows) {
			this.#send(socket, { kind: 'UDP flow', expected: 'answer', way });
			stream.ask();
		}
		for (const way of inTurn(allowed, tick, 1)) this.#sendNew(way, 'answer');
		for (const way of inTurn(denied, tick, DENIED_PER_TICK)) this.#sendNew(way, 'silence');
		for (const way of watched) this.#sendNew(way, 'either');
		if (tick % CONNECT_EVERY_TICKS !== 0) return;
		for (const way of inTurn(allowed, tick / CONNECT_EVERY_TICKS, 1)) this.#connect(way, 'answer');
		for (const way of inTurn(this.#refusedTcp, tick / CONNECT_EVERY_TICKS, 1)) this.#connect(way, 'silence');
	}

	#record(one: Pick<Sent, 'kind' | 'expected' | 'way'>): Sent {
		const sent: Sent = { ...one, sentMs: performance.now(), arrived: false, answered: false };
		this.#sent.push(sent);
		return sent;
	}

	#send(socket: Socket, one: Pick<Sent, 'kind' | 'expected' | 'way'>): void {
		this.#record(one);
		socket.send(String(this.#sent.length - 1), one.way.port, one.way.address, () => undefined);
	}

	#sendNew(way: Way, expected: Sent['expected']): void {
		const socket = this.#clientSocket(way);
		socket.on('message', () => this.#close(socket));
		this.#send(socket, { kind: 'new UDP flow', expected, way });
		if (expected === 'answer') setTimeout(() => this.#close(socket), ANSWER_LIMIT_MS).unref();
		else setImmediate(() => this.#close(socket));
	}

	#connect(way: Way, expected: 'answer' | 'silence'): void {
		const sent = this.#record({ kind: 'new TCP connection', expected, way });
		const end = (): void => {
			this.#connections.delete(connection);
			connection.close({ reset: true });
		};
		const connection = TcpConnection.connect(
			{
				namespaceFd: this.#namespaceFd(way.from),
				remote: way,
				connectTimeoutMs: expected === 'answer' ? ANSWER_LIMIT_MS : REFUSED_LIMIT_MS,
			},
			new Uint8Array(MESSAGE.length),
			{
				onConnected: () => {
					sent.arrived = true;
					connection.send([MESSAGE]);
				},
				onData: () => {
					sent.answered = true;
					end();
				},
				onWritable: () => undefined,
				onClosed: () => this.#connections.delete(connection),
			},
		);
		this.#connections.add(connection);
	}

	#serve({ to, address, port }: Way): void {
		const socket = this.#openSocket(this.#namespaceFd(to), address, port);
		socket.on('message', (message, remote) => {
			const sent = this.#sent[Number(message.toString())];
			if (sent === undefined) return;
			sent.arrived = true;
			if (sent.expected === 'answer') socket.send(message, remote.port, remote.address, () => undefined);
		});
		this.#open.use(
			new TcpListener({
				address,
				port,
				namespaceFd: this.#namespaceFd(to),
				onError: (error) => this.#failures.push(`server in ${to.name}: ${explainError(error)}`),
				onConnection: (connection) => {
					const buffer = new Uint8Array(1024);
					this.#connections.add(connection);
					connection.start(buffer, {
						onData: (length) => void connection.send([buffer.slice(0, length)]),
						onWritable: () => undefined,
						onClosed: () => this.#connections.delete(connection),
					});
				},
			}),
		);
	}

	/** On a port that none had before, so that connection tracking does not know the flow. */
	#clientSocket({ from, address }: Way): Socket {
		const port = this.#sourcePorts.get(from.netns) ?? FIRST_PORT;
		this.#sourcePorts.set(from.netns, port === LAST_PORT ? FIRST_PORT_AGAIN : port + 1);
		const socket = this.#openSocket(this.#namespaceFd(from), ipFamily(address) === 4 ? '0.0.0.0' : '::', port);
		socket.on('message', (message) => {
			const sent = this.#sent[Number(message.toString())];
			if (sent !== undefined) sent.answered = true;
		});
		return socket;
	}

	#openSocket(namespaceFd: number, address: string, port: number): Socket {
		const family = address.includes(':') ? 6 : 4;
		const socket = createSocket({
			type: `udp${family}`,
			ipv6Only: family === 6,
			// answered at once, so that the socket is bound while the thread is inside
			lookup: (host, _options, callback) => callback(null, host, family),
		});
		this.#sockets.add(socket);
		socket.on('error', (error) => {
			this.#failures.push(`socket on ${address} port ${port}: ${error.message}`);
			this.#close(socket);
		});
		inNamespace(namespaceFd, () => socket.bind(port, address));
		return socket;
	}

	#close(socket: Socket): void {
		if (this.#sockets.delete(socket)) socket.close();
	}

	#namespaceFd(pod: PodRecord): number {
		return this.#lab.namespaceFd(pod.netns);
	}

	/** TCP segments that the pods of the allowed ways have sent again so far: each stands for one that was lost. */
	#retransmitted(): number {
		const pods = new Map(this.#plan.allowed.flatMap(({ from, to }) => [from, to]).map((pod) => [pod.netns, pod]));
		return [...pods.values()].reduce((sum, pod) => sum + tcpRetransmissions(this.#namespaceFd(pod)), 0);
	}

	/** Per way and kind: how many, and when the first and the last. */
	#describe(packets: readonly Sent[]): readonly string[] {
		const groups = Map.groupBy(packets, ({ kind, way }) => `${kind} ${describeWay(way)}`);
		return [...groups].map(([what, group]) => {
			const of = this.#sent.filter(({ kind, way }) => kind === group[0]?.kind && way === group[0].way).length;
			const [first = '', last = ''] = [group[0], group.at(-1)].map((one) => this.#describeTime(one?.sentMs ?? 0));
			const arrived = group.filter((one) => one.arrived).length;
			return `${what}: ${group.length} of ${of}, of which ${arrived} arrived; first ${first}, last ${last}`;
		});
	}

	#describeTime(atMs: number): string {
		const event = this.#events.findLast((one) => one.atMs <= atMs);
		const after = event === undefined ? '' : `, ${(atMs - event.atMs).toFixed(0)} ms after ${event.what}`;
		return `at ${(atMs - this.#startedMs).toFixed(0)} ms${after}`;
	}
}

/** A TCP connection on which one message at a time goes there and back. */
class TcpStream implements Disposable {
	readonly #connection: TcpConnection;
	#missing = -1;
	#sent = 0;

	constructor(namespaceFd: number, remote: Way, onBroken: (reason: string) => void) {
		this.#connection = TcpConnection.connect({ namespaceFd, remote, connectTimeoutMs: ANSWER_LIMIT_MS }, new Uint8Array(MESSAGE.length), {
			onConnected: () => {
				this.#missing = 0;
			},
			onData: (length) => {
				this.#missing -= length;
			},
			onWritable: () => undefined,
			onClosed: (reason) => {
				this.#missing = -1;
				onBroken(reason.kind === 'end' ? 'the server closed it' : explainError(reason.error));
			},
		});
	}

	get idle(): boolean {
		return this.#missing === 0;
	}

	get sent(): number {
		return this.#sent;
	}

	/** Sends unless an answer is still missing: with one segment under way, a late answer looks like none that was lost. */
	ask(): void {
		if (!this.idle) return;
		this.#missing = MESSAGE.length;
		this.#sent++;
		this.#connection.send([MESSAGE]);
	}

	[Symbol.dispose](): void {
		this.#connection.close({ reset: true });
	}
}

function describeWay({ from, to, address, port }: Way): string {
	return `${from.name} (${from.node}) → ${to.name} (${to.node}, ${address}) port ${port}`;
}

/** Some of a list, so that in successive rounds all have their turn. */
function inTurn<T>(items: readonly T[], round: number, count: number): readonly T[] {
	const some = Math.min(count, items.length);
	return Array.from({ length: some }, (_, index) => items[(round * some + index) % items.length] as T);
}

/** `RetransSegs` of SNMP's TCP group (RFC 4022), of a network namespace. */
function tcpRetransmissions(namespaceFd: number): number {
	const text = inNamespace(namespaceFd, () => readFileSync('/proc/thread-self/net/snmp', 'latin1'));
	const [names = [], values = []] = text
		.split('\n')
		.filter((line) => line.startsWith('Tcp: '))
		.map((line) => line.split(' '));
	return Number(values[names.indexOf('RetransSegs')]);
}
