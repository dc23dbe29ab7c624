import type { RouterConfig } from '#bgp';
import { explainError } from '#errors';
import { type TcpConnection, TcpListener } from '#kernel';
import { type Cidr, hostCidr, type Ip, ip, ipFamily } from '#net';
import type { Log } from '../log.ts';

/** CS6, network control (RFC 4271 appendix E). */
export const BGP_TOS = 0xc0;
/** All our packets leave with the highest TTL, so that a peer with TTL security takes even the first answer. */
export const BGP_TTL = 255;

const EVERYWHERE: readonly Ip[] = [ip('0.0.0.0'), ip('::')];
const BACKLOG = 128;
/** A port that is taken, such as by a BIRD that is just ending, is tried again this often. */
const RETRY_MS = 5000;

interface Entry {
	readonly listener: TcpListener;
	/** Keys set in the kernel, by peer. */
	readonly keys: Map<Cidr, string>;
}

export interface ListenersModules {
	readonly log: Log;
	/** Monotonic milliseconds. */
	readonly now: () => number;
	readonly onConnection: (connection: TcpConnection) => void;
}

/** The listening sockets, with the MD5 keys of the peers that may connect. */
export class Listeners implements Disposable {
	readonly #modules: ListenersModules;
	readonly #entries = new Map<string, Entry>();
	/** Failures by address, so that each is logged once. */
	readonly #failures = new Map<string, string>();
	#config: RouterConfig | undefined;
	#retryAtMs = Number.POSITIVE_INFINITY;

	constructor(modules: ListenersModules) {
		this.#modules = modules;
	}

	/** Listens as configured; sockets and keys that stay the same are not touched. What cannot be had is logged and tried again. */
	configure(config: RouterConfig): void {
		this.#config = config;
		this.#retryAtMs = Number.POSITIVE_INFINITY;
		const wanted = new Map((config.listen.addresses ?? EVERYWHERE).map((address) => [`${address} ${config.listen.port}`, address]));
		for (const [key, entry] of this.#entries) {
			if (wanted.has(key)) continue;
			entry.listener[Symbol.dispose]();
			this.#entries.delete(key);
		}
		for (const [key, address] of wanted) this.#try(key, address, config);
	}

	/** Tries again what failed. */
	tick(): void {
		if (this.#config !== undefined && this.#modules.now() >= this.#retryAtMs) this.configure(this.#config);
	}

	[Symbol.dispose](): void {
		for (const { listener } of this.#entries.values()) listener[Symbol.dispose]();
		this.#entries.clear();
	}

	#try(key: string, address: Ip, config: RouterConfig): void {
		try {
			const entry = this.#entries.get(key) ?? this.#open(address, config.listen.port);
			this.#entries.set(key, entry);
			setKeys(entry, address, config);
			if (this.#failures.delete(key)) this.#modules.log.info({ address, port: config.listen.port }, 'listening for BGP at last');
		} catch (error) {
			const reason = explainError(error);
			this.#retryAtMs = this.#modules.now() + RETRY_MS;
			if (this.#failures.get(key) === reason) return;
			this.#failures.set(key, reason);
			this.#modules.log.error({ address, port: config.listen.port, reason }, 'cannot listen for BGP; trying again');
		}
	}

	#open(address: Ip, port: number): Entry {
		const { log, onConnection } = this.#modules;
		const listener = new TcpListener({
			address,
			port,
			backlog: BACKLOG,
			ttl: BGP_TTL,
			tos: BGP_TOS,
			freeBind: true,
			onConnection,
			onError: (error) => log.warn({ address, port, reason: explainError(error) }, 'a connection could not be accepted'),
		});
		return { listener, keys: new Map() };
	}
}

function setKeys({ listener, keys }: Entry, address: Ip, config: RouterConfig): void {
	const wanted = new Map<Cidr, string>();
	for (const peer of config.peers)
		if (peer.password !== undefined && ipFamily(peer.address) === ipFamily(address)) wanted.set(hostCidr(peer.address), peer.password);
	for (const peer of keys.keys()) {
		if (wanted.has(peer)) continue;
		listener.removeMd5Key(peer);
		keys.delete(peer);
	}
	for (const [peer, password] of wanted) {
		if (keys.get(peer) === password) continue;
		listener.setMd5Key(peer, Buffer.from(password));
		keys.set(peer, password);
	}
}
