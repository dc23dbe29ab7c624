/** Servers and probes inside network namespaces, in this process: does a packet come through, and from whom? */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpConnection, TcpListener } from '#kernel';
import { type Ip, ip, ipFamily } from '#net';
import type { TestNamespace } from './netns.ts';

export type Transport = 'tcp' | 'udp';

/** `refused`: a host answered that nobody listens, so packets came through. `silent`: nothing came back. */
export type Outcome = 'answered' | 'refused' | 'silent';

export interface Target {
	readonly address: string;
	readonly protocol: Transport;
	readonly port: number;
}

export interface ProbeOptions {
	/** How long silence is waited for. */
	readonly timeoutMs?: number;
	/** Source address; the kernel chooses if absent. */
	readonly from?: string;
}

const DEFAULT_TIMEOUT_MS = 300;
const RESEND_MS = 60;
const RECEIVE_BYTES = 4096;

/** Servers in one namespace. Over UDP and TCP they answer with the client's address as they see it. */
export class EchoServer implements Disposable {
	/** Datagrams that arrived, also those whose answer was lost: what one-way tests look at. */
	readonly received: { readonly from: string; readonly port: number; readonly text: string }[] = [];
	readonly #open: Disposable[] = [];

	constructor(namespace: TestNamespace, ports: readonly { readonly protocol: Transport; readonly port: number }[]) {
		for (const { protocol, port } of ports)
			for (const any of ['0.0.0.0', '::']) {
				if (protocol === 'tcp') this.#listen(namespace, ip(any), port);
				else this.#bind(namespace, any, port);
			}
	}

	[Symbol.dispose](): void {
		for (const server of this.#open.splice(0)) server[Symbol.dispose]();
	}

	#listen(namespace: TestNamespace, address: Ip, port: number): void {
		const listener = new TcpListener({
			address,
			port,
			namespaceFd: namespace.fd,
			onError: () => undefined,
			onConnection: (connection) => {
				const buffer = new Uint8Array(RECEIVE_BYTES);
				const close = (): void => connection.close();
				const answer = (): void => {
					connection.send([new TextEncoder().encode(connection.remote.address)]);
				};
				connection.start(buffer, { onData: answer, onWritable: () => undefined, onClosed: close });
			},
		});
		this.#open.push(listener);
	}

	#bind(namespace: TestNamespace, address: string, port: number): void {
		const socket = datagramSocket(namespace, address, port);
		socket.on('message', (message: Buffer, remote: RemoteInfo) => {
			this.received.push({ from: remote.address, port, text: message.toString() });
			// numbered requests get their number back
			const number = /#\d+/.exec(message.toString())?.[0] ?? '';
			socket.send(`${remote.address}${number}`, remote.port, remote.address);
		});
		this.#open.push({ [Symbol.dispose]: () => void socket.close() });
	}
}

/** A UDP socket that lives in a namespace. Errors that come from the network are dropped: probes judge by what arrives. */
export function datagramSocket(namespace: TestNamespace, address: string, port: number): Socket {
	const family = ipFamily(ip(address));
	const socket = createSocket({
		type: family === 4 ? 'udp4' : 'udp6',
		ipv6Only: family === 6,
		// answered at once, so that binding happens while the thread is inside the namespace
		lookup: (host, _options, callback) => callback(null, host, family),
	});
	socket.on('error', () => undefined);
	namespace.run(() => socket.bind({ address, port }));
	return socket;
}

/** Asks a server once, a UDP one several times over, and tells what came back. */
export function ask(
	source: TestNamespace,
	target: Target,
	options: ProbeOptions = {},
): Promise<{ outcome: Outcome; seenAs: string | undefined }> {
	return target.protocol === 'tcp' ? askTcp(source, target, options) : askUdp(source, target, options);
}

/** Whether a server answers. */
export async function probe(source: TestNamespace, target: Target, options: ProbeOptions = {}): Promise<boolean> {
	return (await ask(source, target, options)).outcome === 'answered';
}

/**
 * Whether a server answers, when that is expected or not: what differs from the expectation is asked again with more
 * time, since a busy machine looks like a dropped packet; an answer where none is expected counts at once.
 */
export async function probeExpecting(
	expected: boolean,
	source: TestNamespace,
	target: Target,
	options: ProbeOptions = {},
): Promise<boolean> {
	const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
	for (const factor of expected ? [1, 4, 16] : [1])
		if (await probe(source, target, { ...options, timeoutMs: timeoutMs * factor })) return true;
	return false;
}

/** Looks again until a condition holds; timing decides no test, so the deadline is generous. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 15_000): Promise<void> {
	const end = performance.now() + deadlineMs;
	while (!(await condition())) {
		if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
		await sleep(20);
	}
}

/** What {@link SteadyTraffic} saw. */
export interface TrafficReport {
	readonly sent: number;
	/** Of the allowed flow, and of new allowed ones, what was not answered. */
	readonly lost: number;
	/** Answers to what is denied. */
	readonly leaked: number;
}

const TICK_MS = 5;
const STRAGGLERS_MS = 2000;

/**
 * UDP traffic every 5 ms: on one flow that goes on, on a new allowed flow, and on a new flow that is denied. Servers
 * have to answer on both targets.
 */
export class SteadyTraffic implements Disposable {
	readonly #source: TestNamespace;
	readonly #allowed: Target;
	readonly #denied: Target;
	readonly #flow: Socket;
	readonly #timer: NodeJS.Timeout;
	readonly #waitedFor = new Set<number>();
	readonly #sockets = new Set<Socket>();
	#sent = 0;
	#leaked = 0;

	constructor(source: TestNamespace, allowed: Target, denied: Target) {
		this.#source = source;
		this.#allowed = allowed;
		this.#denied = denied;
		this.#flow = this.#open((answer) => this.#waitedFor.delete(answer));
		this.#timer = setInterval(() => this.#tick(), TICK_MS);
	}

	/** Ends the traffic, after waiting for answers that are on their way. */
	async stop(): Promise<TrafficReport> {
		clearInterval(this.#timer);
		const end = performance.now() + STRAGGLERS_MS;
		while (this.#waitedFor.size > 0 && performance.now() < end) await sleep(20);
		this[Symbol.dispose]();
		return { sent: this.#sent, lost: this.#waitedFor.size, leaked: this.#leaked };
	}

	[Symbol.dispose](): void {
		clearInterval(this.#timer);
		for (const socket of this.#sockets) this.#close(socket);
	}

	#tick(): void {
		this.#send(this.#flow, this.#allowed);
		const fresh = this.#open((answer) => {
			this.#waitedFor.delete(answer);
			this.#close(fresh);
		});
		this.#send(fresh, this.#allowed);
		const denied = this.#open(() => this.#leaked++);
		denied.send('?', this.#denied.port, this.#denied.address);
		setTimeout(() => this.#close(denied), STRAGGLERS_MS / 2).unref();
	}

	#send(socket: Socket, { address, port }: Target): void {
		const number = ++this.#sent;
		this.#waitedFor.add(number);
		socket.send(`#${number}`, port, address);
	}

	#open(onAnswer: (answer: number) => void): Socket {
		const socket = datagramSocket(this.#source, ipFamily(ip(this.#allowed.address)) === 4 ? '0.0.0.0' : '::', 0);
		socket.on('message', (message: Buffer) => onAnswer(Number(message.toString().split('#')[1])));
		this.#sockets.add(socket);
		return socket;
	}

	#close(socket: Socket): void {
		if (this.#sockets.delete(socket)) socket.close();
	}
}

async function askTcp(
	source: TestNamespace,
	{ address, port }: Target,
	{ timeoutMs = DEFAULT_TIMEOUT_MS, from }: ProbeOptions,
): Promise<{ outcome: Outcome; seenAs: string | undefined }> {
	const { promise, resolve } = Promise.withResolvers<{ outcome: Outcome; seenAs: string | undefined }>();
	const buffer = new Uint8Array(RECEIVE_BYTES);
	const timer = setTimeout(() => resolve({ outcome: 'silent', seenAs: undefined }), timeoutMs);
	let connection: TcpConnection | undefined;
	try {
		connection = TcpConnection.connect(
			{
				remote: { address: ip(address), port },
				namespaceFd: source.fd,
				connectTimeoutMs: timeoutMs,
				...(from === undefined ? {} : { local: { address: ip(from) } }),
			},
			buffer,
			{
				onConnected: () => connection?.send([new TextEncoder().encode('?')]),
				onData: (length) => resolve({ outcome: 'answered', seenAs: new TextDecoder().decode(buffer.subarray(0, length)) }),
				onWritable: () => undefined,
				onClosed: (reason) =>
					resolve({ outcome: reason.kind === 'error' && reason.error.found === 'ECONNREFUSED' ? 'refused' : 'silent', seenAs: undefined }),
			},
		);
		return await promise;
	} finally {
		clearTimeout(timer);
		// a reset leaves no connection behind that would be tracked as established for minutes
		connection?.close({ reset: true });
	}
}

async function askUdp(
	source: TestNamespace,
	{ address, port }: Target,
	{ timeoutMs = DEFAULT_TIMEOUT_MS, from }: ProbeOptions,
): Promise<{ outcome: Outcome; seenAs: string | undefined }> {
	const socket = datagramSocket(source, from ?? (ipFamily(ip(address)) === 4 ? '0.0.0.0' : '::'), 0);
	const { promise, resolve } = Promise.withResolvers<string | undefined>();
	socket.once('message', (message: Buffer) => resolve(message.toString()));
	const send = (): void => socket.send('?', port, address);
	const resend = setInterval(send, RESEND_MS);
	const timer = setTimeout(() => resolve(undefined), timeoutMs);
	try {
		send();
		const seenAs = await promise;
		return { outcome: seenAs === undefined ? 'silent' : 'answered', seenAs };
	} finally {
		clearInterval(resend);
		clearTimeout(timer);
		socket.close();
	}
}
