import type { TortieError } from '#errors';
import { hostCidr, type Ip, ipFamily } from '#net';
import { checked, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { type Native, native } from '../native.ts';
import { AF_INET, AF_INET6, packInetAddress, SOCKADDR_STORAGE_BYTES, type TcpEndpoint, unpackInetAddress } from './sockaddr.ts';
import {
	applyTcpOptions,
	bindToDevice,
	IPPROTO_TCP,
	lingerNot,
	SO_REUSEADDR,
	SOL_SOCKET,
	setIntOption,
	setMd5Key,
	TCP_NODELAY,
	type TcpSocketOptions,
	takeSocketError,
} from './tcp-options.ts';

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0x800;
const SHUT_WR = 1;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;
const EINPROGRESS = 115;
const ETIMEDOUT = 110;
const READABLE = 1;
const WRITABLE = 2;

/** Full buffers read per wake-up, so that one busy peer does not starve others. */
const READS_PER_WAKEUP = 4;
/** What one system call takes (`native/addon/messages.c`). */
const BUFFERS_PER_SEND = 256;

export interface TcpConnectOptions extends TcpSocketOptions {
	readonly remote: TcpEndpoint;
	/** Zone of a link-local IPv6 remote. */
	readonly scopeInterfaceIndex?: number;
	/** Source address; port 0 or absent lets the kernel choose. */
	readonly local?: { readonly address: Ip; readonly port?: number };
	/** TCP MD5 key (RFC 2385), 1 to 80 bytes. */
	readonly md5Key?: Uint8Array;
	readonly device?: string;
	readonly namespaceFd?: number;
	/** Limit of the attempt. */
	readonly connectTimeoutMs: number;
}

/** What happens on a connection. None may throw. After `onClosed` nothing more is called. */
export interface TcpHandlers {
	/** Of outgoing connections. */
	onConnected?(): void;
	/** The first `length` bytes of the receive buffer are new; they are overwritten after the call returns. */
	onData(length: number): void;
	/** After a {@link TcpConnection.send} that took less than it was given: there is room again. */
	onWritable(): void;
	/** The peer ended its direction, or the connection failed or was never made; the descriptor is closed. Not called after {@link TcpConnection.close}. */
	onClosed(reason: TcpClosed): void;
}

export type TcpClosed = { readonly kind: 'end' } | { readonly kind: 'error'; readonly error: TortieError };

/** A TCP connection on a raw descriptor. */
export class TcpConnection implements Disposable {
	/** The other end. */
	readonly remote: TcpEndpoint;
	readonly #native: Native = native();
	readonly #fd: number;
	#state: 'accepted' | 'connecting' | 'open' | 'closed';
	#local: TcpEndpoint | undefined;
	#receiveBuffer: Uint8Array = new Uint8Array();
	#handlers: TcpHandlers | undefined;
	#poll = -1;
	#events = 0;
	#connectTimer: NodeJS.Timeout | undefined;

	private constructor(fd: number, remote: TcpEndpoint, state: 'accepted' | 'connecting') {
		this.#fd = fd;
		this.remote = remote;
		this.#state = state;
	}

	/**
	 * Starts a connection.
	 *
	 * @param receiveBuffer where received bytes are put; connections of one thread may share one
	 * @throws KERNEL_SYSTEM_CALL if the attempt fails at once; later failures go to `onClosed`
	 */
	static connect(options: TcpConnectOptions, receiveBuffer: Uint8Array, handlers: TcpHandlers): TcpConnection {
		const { remote } = options;
		const fd = openTcpSocket(ipFamily(remote.address), options.namespaceFd);
		const connection = new TcpConnection(fd, remote, 'connecting');
		try {
			prepareOutgoing(fd, options);
			const result = native().connect(fd, packInetAddress(remote, options.scopeInterfaceIndex));
			if (result < 0 && result !== -EINPROGRESS) throw systemCallError(-result, `connect to ${remote.address} port ${remote.port}`);
			connection.#watch(receiveBuffer, handlers, WRITABLE);
		} catch (error) {
			native().close(fd);
			throw error;
		}
		connection.#connectTimer = setTimeout(() => connection.#fail(ETIMEDOUT), options.connectTimeoutMs);
		return connection;
	}

	/** For {@link TcpListener}: takes over an accepted descriptor; undefined if the peer is gone already. */
	static accepted(fd: number): TcpConnection | undefined {
		const remote = endpointOf(fd, 'getpeername');
		if (remote === undefined) {
			native().close(fd);
			return undefined;
		}
		return new TcpConnection(fd, remote, 'accepted');
	}

	/** Our end; known once connected. @throws KERNEL_CLOSED after the connection was closed without having been asked before */
	get local(): TcpEndpoint {
		this.#local ??= this.#state === 'closed' ? undefined : endpointOf(this.#fd, 'getsockname');
		if (this.#local === undefined) throw closedError();
		return this.#local;
	}

	/**
	 * Starts delivery on an accepted connection.
	 *
	 * @throws KERNEL_CLOSED, KERNEL_SYSTEM_CALL
	 */
	start(receiveBuffer: Uint8Array, handlers: TcpHandlers): void {
		if (this.#state !== 'accepted') throw closedError();
		setIntOption(this.#fd, IPPROTO_TCP, TCP_NODELAY, 1, 'set TCP_NODELAY');
		this.#watch(receiveBuffer, handlers, READABLE);
		this.#state = 'open';
	}

	/**
	 * Hands buffers to the kernel.
	 *
	 * @param offset bytes of the first buffer to leave out
	 * @returns bytes taken; when fewer than given, `onWritable` or `onClosed` follows
	 * @throws KERNEL_CLOSED before the connection is made or started, and after it was closed
	 */
	send(buffers: readonly Uint8Array[], offset = 0): number {
		if (this.#state !== 'open') throw closedError();
		let taken = 0;
		for (let first = 0; first < buffers.length; first += BUFFERS_PER_SEND) {
			const some = buffers.length <= BUFFERS_PER_SEND ? buffers : buffers.slice(first, first + BUFFERS_PER_SEND);
			const skip = first === 0 ? offset : 0;
			const wanted = some.reduce((sum, buffer) => sum + buffer.length, -skip);
			const result = this.#native.sendBuffers(this.#fd, some, skip);
			if (result > 0) taken += result;
			if (result < 0 && result !== -EAGAIN) {
				// told from the event loop, so that the caller is not called from inside of its own call
				queueMicrotask(() => this.#fail(-result));
				return taken;
			}
			if (result < wanted) {
				this.#setEvents(this.#events | WRITABLE);
				return taken;
			}
		}
		return taken;
	}

	/** Stops reading, so that the peer is held back by TCP's window. */
	pauseReading(): void {
		if (this.#state === 'open') this.#setEvents(this.#events & ~READABLE);
	}

	resumeReading(): void {
		if (this.#state === 'open') this.#setEvents(this.#events | READABLE);
	}

	/** @throws KERNEL_SYSTEM_CALL, KERNEL_CLOSED */
	setOptions(options: TcpSocketOptions): void {
		if (this.#state === 'closed') throw closedError();
		applyTcpOptions(this.#fd, ipFamily(this.remote.address), options);
	}

	/** Ends our direction after what was taken so far. */
	shutdown(): void {
		if (this.#state !== 'closed') this.#native.shutdown(this.#fd, SHUT_WR);
	}

	/** Closes at once; idempotent. `reset` discards what is unsent and sends RST. */
	close(options: { readonly reset?: boolean } = {}): void {
		if (this.#state === 'closed') return;
		this.#state = 'closed';
		clearTimeout(this.#connectTimer);
		if (this.#poll >= 0) this.#native.pollStop(this.#poll);
		if (options.reset === true) lingerNot(this.#native, this.#fd);
		this.#native.close(this.#fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#watch(receiveBuffer: Uint8Array, handlers: TcpHandlers, events: number): void {
		this.#receiveBuffer = receiveBuffer;
		this.#handlers = handlers;
		this.#events = events;
		this.#poll = checked(
			this.#native.pollStart(this.#fd, events, (status, ready) => this.#ready(status, ready)),
			'watch a TCP socket',
		);
	}

	#setEvents(events: number): void {
		if (events === this.#events || this.#poll < 0) return;
		this.#events = events;
		this.#native.pollUpdate(this.#poll, events);
	}

	#ready(status: number, ready: number): void {
		if (this.#state === 'connecting') {
			this.#finishConnect();
			return;
		}
		// an error ends the watch; what the peer sent before it can still be read, such as a last NOTIFICATION
		const isError = status < 0;
		if ((isError || (ready & READABLE) !== 0) && (this.#events & READABLE) !== 0) this.#read();
		if (this.#isClosed()) return;
		if (isError) {
			const errno = takeSocketError(this.#native, this.#fd);
			if (errno !== 0) return this.#fail(errno);
			this.#native.pollUpdate(this.#poll, this.#events);
		}
		if ((ready & WRITABLE) !== 0 && (this.#events & WRITABLE) !== 0) {
			this.#setEvents(this.#events & ~WRITABLE);
			this.#handlers?.onWritable();
		}
	}

	#finishConnect(): void {
		const errno = takeSocketError(this.#native, this.#fd);
		if (errno !== 0) return this.#fail(errno);
		clearTimeout(this.#connectTimer);
		this.#state = 'open';
		this.#setEvents(READABLE);
		this.#handlers?.onConnected?.();
	}

	#read(): void {
		const buffer = this.#receiveBuffer;
		for (let count = 0; count < READS_PER_WAKEUP; count++) {
			const length = this.#native.recv(this.#fd, buffer, 0, buffer.length, MSG_DONTWAIT);
			if (length === -EAGAIN) return;
			if (length < 0) return this.#fail(-length);
			if (length === 0) return this.#end({ kind: 'end' });
			this.#handlers?.onData(length);
			if (length < buffer.length || this.#isClosed() || (this.#events & READABLE) === 0) return;
		}
	}

	/** As a method, since handlers may have closed the connection meanwhile. */
	#isClosed(): boolean {
		return this.#state === 'closed';
	}

	#fail(errno: number): void {
		const what = this.#state === 'connecting' ? 'connect to' : 'connection with';
		const error = systemCallError(errno, `${what} ${this.remote.address} port ${this.remote.port}`);
		this.#end({ kind: 'error', error });
	}

	#end(reason: TcpClosed): void {
		if (this.#state === 'closed') return;
		this.close();
		this.#handlers?.onClosed(reason);
	}
}

/** A non-blocking TCP socket. @throws KERNEL_SYSTEM_CALL */
export function openTcpSocket(family: 4 | 6, namespaceFd: number | undefined): number {
	const domain = family === 4 ? AF_INET : AF_INET6;
	const type = SOCK_STREAM | SOCK_NONBLOCK;
	return checked(
		namespaceFd === undefined ? native().socket(domain, type, 0) : native().socketInNamespace(namespaceFd, domain, type, 0),
		'open a TCP socket',
	);
}

/** An end of a socket's connection; undefined if there is none (any more). */
export function endpointOf(fd: number, call: 'getsockname' | 'getpeername'): TcpEndpoint | undefined {
	const address = new Uint8Array(SOCKADDR_STORAGE_BYTES);
	const length = native()[call](fd, address);
	return length < 0 ? undefined : unpackInetAddress(address.subarray(0, length));
}

function prepareOutgoing(fd: number, options: TcpConnectOptions): void {
	const { remote, local } = options;
	setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1, 'set TCP_NODELAY');
	applyTcpOptions(fd, ipFamily(remote.address), options);
	if (options.device !== undefined) bindToDevice(fd, options.device);
	if (options.md5Key !== undefined) setMd5Key(fd, hostCidr(remote.address), options.md5Key);
	if (local === undefined) return;
	const port = local.port ?? 0;
	if (port !== 0) setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'set SO_REUSEADDR');
	checked(
		native().bind(fd, packInetAddress({ address: local.address, port }, options.scopeInterfaceIndex)),
		`bind ${local.address} port ${port}`,
	);
}

function closedError(): ReturnType<typeof kernelError> {
	return kernelError('KERNEL_CLOSED', { message: 'the connection is not open' });
}
