import { type PeerConfig, type RouterConfig, type RouterStatus, Speaker, type SpeakerEvent, validateRouterConfig } from '#bgp';
import { explainError } from '#errors';
import { TcpConnection } from '#kernel';
import { type Family } from '#net';
import { ControlSocket } from './control/control-socket.ts';
import { KernelRouting } from './kernel/kernel-routing.ts';
import type { Log } from './log.ts';
import { BGP_TOS, BGP_TTL, Listeners } from './socket/listeners.ts';
import { SocketTransport } from './socket/socket-transport.ts';

/** Timers of sessions are looked at this often. */
const TICK_MS = 200;
const CONNECT_TIMEOUT_MS = 8000;
/** All connections read into one buffer, one after the other. */
const RECEIVE_BUFFER_BYTES = 262_144;

export interface BgpdModules {
	readonly log: Log;
	/** Monotonic milliseconds. */
	readonly now: () => number;
	/** Milliseconds since the epoch. */
	readonly wallClock: () => number;
	/** In [0, 1). */
	readonly random: () => number;
}

export interface BgpdOptions {
	/** UNIX sockets that speak BIRD's control protocol, each of one family or, if undefined, of both. */
	readonly controlSockets: readonly { readonly path: string; readonly family: Family | undefined }[];
	/** Whether routes are exchanged with the kernel's routing table. */
	readonly kernelRoutes: boolean;
}

/** What there is from the first configuration on. */
interface Running {
	readonly speaker: Speaker;
	readonly routing: KernelRouting;
	readonly listeners: Listeners;
	readonly timer: NodeJS.Timeout;
}

/**
 * The BGP daemon of a node. It lives in the network namespace of the thread that makes it. Stopping it, in whatever way, leaves the
 * kernel's routes as they are and lets peers keep theirs by graceful restart.
 */
export class Bgpd implements AsyncDisposable {
	readonly #modules: BgpdModules;
	readonly #options: BgpdOptions;
	readonly #receiveBuffer = new Uint8Array(RECEIVE_BUFFER_BYTES);
	readonly #controlSockets: readonly ControlSocket[];
	readonly #startedMs: number;
	readonly #connecting = new Map<string, SocketTransport>();
	/** What was last said about a peer or stranger. */
	readonly #lastReason = new Map<string, string>();
	#configuredMs: number;
	#running: Running | undefined;
	#workScheduled = false;
	#stopped = false;

	constructor(modules: BgpdModules, options: BgpdOptions) {
		this.#modules = modules;
		this.#options = options;
		this.#startedMs = this.#configuredMs = modules.wallClock();
		this.#controlSockets = options.controlSockets.map((socket) => this.#openControlSocket(socket));
	}

	/**
	 * Runs with this configuration from now on. Sessions whose own settings did not change stay as they are.
	 *
	 * @throws BGP_BAD_CONFIG, BGPD_TABLE_CHANGED; nothing is changed then. The first call also what rtnetlink throws.
	 */
	applyConfig(config: RouterConfig): void {
		if (this.#stopped) return;
		validateRouterConfig(config);
		this.#running ??= this.#start(config);
		const { speaker, routing, listeners } = this.#running;
		if (speaker.config !== undefined) routing.configure(config);
		listeners.configure(config);
		speaker.applyConfig(config);
		this.#lastReason.clear();
		this.#configuredMs = this.#modules.wallClock();
		this.#modules.log.info({ routerId: config.routerId, asNumber: config.asNumber, peers: config.peers.length }, 'configuration applied');
	}

	/** Undefined before the first configuration. */
	status(): RouterStatus | undefined {
		return this.#running?.speaker.status();
	}

	/** Ends without telling peers and without touching the kernel's routes, as a kill would. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.#stopped = true;
		if (this.#running !== undefined) {
			clearInterval(this.#running.timer);
			this.#running.listeners[Symbol.dispose]();
			for (const transport of this.#connecting.values()) transport.abort();
			this.#running.speaker.abandon();
			this.#running.routing[Symbol.dispose]();
		}
		await Promise.all(this.#controlSockets.map((socket) => socket[Symbol.asyncDispose]()));
	}

	#start(config: RouterConfig): Running {
		const { log, now, wallClock, random } = this.#modules;
		const wake = (): void => this.#wake();
		const routing = new KernelRouting(
			{
				log,
				now,
				wake,
				addLocalRoute: (route) => speaker.addLocalRoute(route),
				removeLocalRoute: (kind, prefix) => speaker.removeLocalRoute(kind, prefix),
				nextHopsChanged: () => speaker.nextHopsChanged(),
				recovering: () => speaker.recovering,
			},
			config,
			this.#options.kernelRoutes,
		);
		const leftovers = routing.leftovers();
		const speaker = new Speaker(
			{
				now,
				wallClock,
				random,
				wake,
				connect: (peer) => this.#connect(speaker, peer),
				cancelConnect: ({ name }) => this.#cancelConnect(name),
				resolveNextHop: (address) => routing.resolve(address),
				addressBeside: (address, family) => routing.addressBeside(address, family),
				onEvent: (event) => this.#report(event),
			},
			{ restarting: leftovers.length > 0, keepsForwarding: this.#options.kernelRoutes },
		);
		const follower = routing.attach(speaker.ribs, config, leftovers);
		if (follower !== undefined) speaker.follow(follower);
		if (leftovers.length > 0) log.info({ routes: leftovers.length }, 'took over routes of an earlier run');
		const listeners = new Listeners({
			log,
			now,
			onConnection: (connection) => {
				try {
					this.#accept(speaker, connection);
				} catch (error) {
					connection.close();
					log.warn({ remote: connection.remote.address, reason: explainError(error) }, 'a connection could not be taken over');
				}
			},
		});
		const timer = setInterval(() => {
			speaker.tick();
			routing.tick();
			listeners.tick();
		}, TICK_MS);
		return { speaker, routing, listeners, timer };
	}

	#connect(speaker: Speaker, peer: PeerConfig): void {
		const { name } = peer;
		const transport = new SocketTransport({
			onConnected: () => {
				this.#connecting.delete(name);
				speaker.connected(name, transport);
			},
			onData: (bytes) => this.#receive(speaker, name, transport, bytes),
			onDrained: () => this.#wake(),
			onClosed: (reason) => {
				if (this.#connecting.get(name) !== transport) speaker.closed(name, transport, reason);
				else {
					this.#connecting.delete(name);
					speaker.connectFailed(name, reason);
				}
			},
		});
		this.#connecting.set(name, transport);
		try {
			transport.attach(
				TcpConnection.connect(
					{
						remote: { address: peer.address, port: peer.port },
						...(peer.sourceAddress === undefined ? {} : { local: { address: peer.sourceAddress } }),
						...(peer.password === undefined ? {} : { md5Key: Buffer.from(peer.password) }),
						...(peer.ttlSecurityHops === undefined ? {} : { minTtl: minTtl(peer.ttlSecurityHops) }),
						ttl: BGP_TTL,
						tos: BGP_TOS,
						connectTimeoutMs: CONNECT_TIMEOUT_MS,
					},
					this.#receiveBuffer,
					transport.tcpHandlers(this.#receiveBuffer),
				),
			);
		} catch (error) {
			this.#connecting.delete(name);
			speaker.connectFailed(name, explainError(error));
		}
	}

	#cancelConnect(name: string): void {
		this.#connecting.get(name)?.abort();
		this.#connecting.delete(name);
	}

	#accept(speaker: Speaker, connection: TcpConnection): void {
		const { remote, local } = connection;
		const peer = speaker.peerFor(remote.address, local.address);
		if (peer === undefined) {
			if (this.#isNews('stranger', remote.address))
				this.#modules.log.info({ remote: remote.address }, 'refused a connection from an address that is no peer');
			connection.close();
			return;
		}
		const { name } = peer;
		const transport = new SocketTransport({
			onConnected: () => undefined,
			onData: (bytes) => this.#receive(speaker, name, transport, bytes),
			onDrained: () => this.#wake(),
			onClosed: (reason) => speaker.closed(name, transport, reason),
		});
		transport.attach(connection);
		if (peer.ttlSecurityHops !== undefined) connection.setOptions({ minTtl: minTtl(peer.ttlSecurityHops) });
		connection.start(this.#receiveBuffer, transport.tcpHandlers(this.#receiveBuffer));
		speaker.accepted(name, transport);
	}

	/** Whatever goes wrong with a peer's bytes costs that session at most. */
	#receive(speaker: Speaker, name: string, transport: SocketTransport, bytes: Uint8Array): void {
		try {
			speaker.received(name, transport, bytes);
		} catch (error) {
			this.#modules.log.error({ peer: name, err: error }, 'a message could not be handled; the session is ended');
			transport.abort();
			speaker.closed(name, transport, 'Internal error');
		}
	}

	#wake(): void {
		if (this.#workScheduled || this.#stopped) return;
		this.#workScheduled = true;
		setImmediate(() => this.#work());
	}

	#work(): void {
		this.#workScheduled = false;
		if (this.#stopped || this.#running === undefined) return;
		const more = this.#running.speaker.work();
		if (this.#running.routing.write() || more) this.#wake();
	}

	#report(event: SpeakerEvent): void {
		const { log } = this.#modules;
		switch (event.kind) {
			case 'state':
				if (event.state === 'Established') log.info({ peer: event.peer }, 'session established');
				else if (event.state !== 'Idle' && event.state !== 'Active') return;
				else if (this.#isNews(event.peer, event.reason)) log.info({ peer: event.peer, reason: event.reason }, 'session is down');
				if (event.state === 'Established') this.#lastReason.delete(event.peer);
				return;
			case 'bad-update':
				if (this.#isNews(`${event.peer} update`, event.reason))
					log.warn({ peer: event.peer, reason: event.reason }, 'malformed UPDATE: its routes are treated as withdrawn');
				return;
			case 'recovered':
				log.info({}, 'restart recovery ended');
				return;
		}
	}

	/** Whether something is said for the first time, or differs from what was said last: retries are not worth a line each. */
	#isNews(about: string, reason: string): boolean {
		if (this.#lastReason.get(about) === reason) return false;
		this.#lastReason.set(about, reason);
		return reason !== '';
	}

	#openControlSocket(options: { readonly path: string; readonly family: Family | undefined }): ControlSocket {
		const { log, wallClock } = this.#modules;
		return new ControlSocket(
			{
				log,
				view: (family) => ({
					status: this.status(),
					nowMs: wallClock(),
					startedMs: this.#startedMs,
					configuredMs: this.#configuredMs,
					family,
				}),
				ribs: () => this.#running?.speaker.ribs,
				interfaceName: (index) => this.#running?.routing.interfaceName(index),
			},
			options,
		);
	}
}

/** RFC 5082 §3: a packet from at most that many hops away. */
function minTtl(hops: number): number {
	return 256 - hops;
}
