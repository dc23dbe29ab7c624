import type { PeerTransport } from '#bgp';
import { explainError } from '#errors';
import type { TcpConnection, TcpHandlers } from '#kernel';
import { type Ip, ip } from '#net';

/** Buffers handed over in one system call, well below IOV_MAX. */
const MAX_BUFFERS = 256;
/** How long a closing connection may take to get its last bytes out. */
const LINGER_MS = 1000;

const UNKNOWN = ip('0.0.0.0');

/** What becomes of a connection. */
export interface TransportHandlers {
	readonly onConnected: () => void;
	readonly onData: (bytes: Uint8Array) => void;
	/** The queue has shrunk. */
	readonly onDrained: () => void;
	readonly onClosed: (reason: string) => void;
}

/** A session's transport over a TCP socket. What is sent within one turn of the event loop goes out in one system call. */
export class SocketTransport implements PeerTransport {
	readonly #handlers: TransportHandlers;
	#connection: TcpConnection | undefined;
	#localAddress: Ip | undefined;
	#queue: Uint8Array[] = [];
	/** Bytes of the first buffer that are gone already. */
	#offset = 0;
	#queuedBytes = 0;
	#blocked = false;
	#flushScheduled = false;
	#ending: NodeJS.Timeout | undefined;
	#closed = false;

	constructor(handlers: TransportHandlers) {
		this.#handlers = handlers;
	}

	get queuedBytes(): number {
		return this.#queuedBytes;
	}

	/** Known once connected. */
	get localAddress(): Ip {
		this.#localAddress ??= this.#connection?.local.address;
		return this.#localAddress ?? UNKNOWN;
	}

	/** The connection this transport is for; its events go to {@link SocketTransport.tcpHandlers}. */
	attach(connection: TcpConnection): void {
		this.#connection = connection;
		if (this.#closed) connection.close();
	}

	/** @param receiveBuffer the one given to the connection */
	tcpHandlers(receiveBuffer: Uint8Array): TcpHandlers {
		return {
			onConnected: () => {
				if (!this.#closed) this.#handlers.onConnected();
			},
			onData: (length) => {
				if (!this.#closed && this.#ending === undefined) this.#handlers.onData(receiveBuffer.subarray(0, length));
			},
			onWritable: () => {
				this.#blocked = false;
				this.#flush();
				if (!this.#closed) this.#handlers.onDrained();
			},
			onClosed: (reason) => this.#lost(reason.kind === 'end' ? 'Connection closed' : explainError(reason.error)),
		};
	}

	send(bytes: Uint8Array): void {
		if (this.#closed || this.#ending !== undefined) return;
		this.#queue.push(bytes);
		this.#queuedBytes += bytes.length;
		if (this.#blocked || this.#flushScheduled) return;
		this.#flushScheduled = true;
		queueMicrotask(() => {
			this.#flushScheduled = false;
			this.#flush();
		});
	}

	end(): void {
		if (this.#closed || this.#ending !== undefined) return;
		this.#ending = setTimeout(() => this.abort(), LINGER_MS);
		this.#flush();
	}

	abort(): void {
		if (this.#closed) return;
		this.#closed = true;
		clearTimeout(this.#ending);
		this.#queue = [];
		this.#queuedBytes = 0;
		this.#connection?.close();
	}

	#flush(): void {
		if (this.#closed || this.#blocked || this.#connection === undefined) return;
		while (this.#queue.length > 0) {
			const buffers = this.#queue.slice(0, MAX_BUFFERS);
			const offered = buffers.reduce((sum, buffer) => sum + buffer.length, -this.#offset);
			const taken = this.#connection.send(buffers, this.#offset);
			this.#drop(taken);
			if (taken < offered) {
				this.#blocked = true;
				return;
			}
		}
		if (this.#ending !== undefined) this.abort();
	}

	/** Takes sent bytes off the queue. */
	#drop(taken: number): void {
		this.#queuedBytes -= taken;
		let left = taken + this.#offset;
		let whole = 0;
		while (whole < this.#queue.length && left >= (this.#queue[whole] as Uint8Array).length)
			left -= (this.#queue[whole++] as Uint8Array).length;
		this.#queue.splice(0, whole);
		this.#offset = left;
	}

	#lost(reason: string): void {
		if (this.#closed) return;
		const wasEnding = this.#ending !== undefined;
		this.abort();
		if (!wasEnding) this.#handlers.onClosed(reason);
	}
}
