import type { TortieError } from '#errors';
import { type Cidr, type Ip, ipFamily } from '#net';
import { checked, systemCallError } from '../errno.ts';
import { type Native, native } from '../native.ts';
import { packInetAddress, type TcpEndpoint } from './sockaddr.ts';
import { endpointOf, openTcpSocket, TcpConnection } from './tcp.ts';
import {
	applyTcpOptions,
	bindToDevice,
	IP_FREEBIND,
	IPPROTO_IP,
	IPPROTO_IPV6,
	IPV6_FREEBIND,
	IPV6_V6ONLY,
	SO_REUSEADDR,
	SOL_SOCKET,
	setIntOption,
	setMd5Key,
	type TcpSocketOptions,
} from './tcp-options.ts';

const READABLE = 1;
const DEFAULT_BACKLOG = 128;
const ACCEPTS_PER_WAKEUP = 16;
/** Without descriptors or memory the socket stays readable: trying again at once would take the whole thread. */
const PAUSE_AFTER_FAILURE_MS = 1000;
const EAGAIN = 11;
const ECONNABORTED = 103;

export interface TcpListenOptions extends TcpSocketOptions {
	/** `0.0.0.0` and `::` listen on all addresses of their family only. */
	readonly address: Ip;
	readonly port: number;
	readonly backlog?: number;
	readonly device?: string;
	readonly namespaceFd?: number;
	/** Listen although the address is not (yet) on this host. */
	readonly freeBind?: boolean;
	/** Takes the connection over: `start` or `close` it. */
	readonly onConnection: (connection: TcpConnection) => void;
	/** Failures to accept, such as EMFILE; the listener goes on after a pause. */
	readonly onError: (error: TortieError) => void;
}

/** A listening TCP socket. Accepted connections inherit its options. */
export class TcpListener implements Disposable {
	/** With the port the kernel chose if 0 was asked for. */
	readonly local: TcpEndpoint;
	readonly #native: Native = native();
	readonly #fd: number;
	readonly #options: TcpListenOptions;
	readonly #poll: number;
	#pause: NodeJS.Timeout | undefined;
	#closed = false;

	/** @throws KERNEL_SYSTEM_CALL */
	constructor(options: TcpListenOptions) {
		this.#options = options;
		this.#fd = openTcpSocket(ipFamily(options.address), options.namespaceFd);
		try {
			prepare(this.#fd, options);
			const asked = { address: options.address, port: options.port };
			checked(this.#native.bind(this.#fd, packInetAddress(asked)), `bind ${options.address} port ${options.port}`);
			checked(this.#native.listen(this.#fd, options.backlog ?? DEFAULT_BACKLOG), `listen on ${options.address} port ${options.port}`);
			this.local = endpointOf(this.#fd, 'getsockname') ?? asked;
			this.#poll = checked(
				this.#native.pollStart(this.#fd, READABLE, () => this.#accept()),
				'watch a TCP listener',
			);
		} catch (error) {
			this.#native.close(this.#fd);
			throw error;
		}
	}

	/**
	 * Sets or replaces the MD5 key of peers in a prefix. Connections of theirs without it are silently dropped.
	 *
	 * @throws KERNEL_SYSTEM_CALL, KERNEL_BAD_ARGUMENT
	 */
	setMd5Key(peers: Cidr, key: Uint8Array): void {
		setMd5Key(this.#fd, peers, key);
	}

	/** @returns false if there was none */
	removeMd5Key(peers: Cidr): boolean {
		return setMd5Key(this.#fd, peers, undefined);
	}

	/** Stops listening; connections live on. */
	[Symbol.dispose](): void {
		if (this.#closed) return;
		this.#closed = true;
		clearTimeout(this.#pause);
		this.#native.pollStop(this.#poll);
		this.#native.close(this.#fd);
	}

	#accept(): void {
		for (let count = 0; count < ACCEPTS_PER_WAKEUP && !this.#closed; count++) {
			const fd = this.#native.accept(this.#fd);
			if (fd === -EAGAIN) return;
			if (fd === -ECONNABORTED) continue;
			if (fd < 0) {
				this.#pauseAfter(-fd);
				return;
			}
			const connection = TcpConnection.accepted(fd);
			if (connection !== undefined) this.#options.onConnection(connection);
		}
	}

	#pauseAfter(errno: number): void {
		this.#native.pollUpdate(this.#poll, 0);
		this.#pause = setTimeout(() => this.#native.pollUpdate(this.#poll, READABLE), PAUSE_AFTER_FAILURE_MS);
		this.#options.onError(systemCallError(errno, `accept on ${this.local.address} port ${this.local.port}`));
	}
}

function prepare(fd: number, options: TcpListenOptions): void {
	const family = ipFamily(options.address);
	setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'set SO_REUSEADDR');
	if (family === 6) setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'set IPV6_V6ONLY');
	if (options.freeBind === true)
		setIntOption(fd, family === 4 ? IPPROTO_IP : IPPROTO_IPV6, family === 4 ? IP_FREEBIND : IPV6_FREEBIND, 1, 'set IP_FREEBIND');
	if (options.device !== undefined) bindToDevice(fd, options.device);
	applyTcpOptions(fd, family, options);
}
