import type { TortieError } from '#errors';
import { checked, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { type Native, native } from '../native.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const MSG_CTRUNC = 0x08;
const MSG_TRUNC = 0x20;
const READABLE = 1;
const EAGAIN = 11;
const MESSAGES_PER_WAKEUP = 16;
const NO_FDS = new Int32Array();

/** Who is on the other end (SO_PEERCRED). */
export interface PeerCredentials {
	readonly processId: number;
	readonly userId: number;
	readonly groupId: number;
}

/** One message of a client. */
export interface UnixMessage {
	/** Owned by the receiver. */
	readonly data: Uint8Array;
	/** Descriptors passed along, close-on-exec; the receiver closes them. */
	readonly fds: readonly number[];
}

interface ConnectionOptions {
	readonly maxFds: number;
	readonly idleTimeoutMs: number;
	readonly onMessage: (message: UnixMessage, connection: UnixConnection) => void;
	readonly onError: (error: TortieError) => void;
}

/** A client's connection to a {@link UnixServer}. */
export class UnixConnection {
	readonly peer: PeerCredentials;
	/** Aborted when the client is gone or the connection is closed. */
	readonly signal: AbortSignal;
	readonly #native: Native = native();
	readonly #fd: number;
	readonly #buffer: Uint8Array;
	readonly #options: ConnectionOptions;
	readonly #onClosed: () => void;
	readonly #gone = new AbortController();
	readonly #info: Int32Array;
	readonly #poll: number;
	#firstMessageTimer: NodeJS.Timeout | undefined;

	/** @throws KERNEL_SYSTEM_CALL; the descriptor is the caller's then */
	constructor(fd: number, buffer: Uint8Array, options: ConnectionOptions, onClosed: () => void) {
		this.#fd = fd;
		this.#buffer = buffer;
		this.#options = options;
		this.#onClosed = onClosed;
		this.#info = new Int32Array(2 + options.maxFds);
		this.signal = this.#gone.signal;
		this.peer = credentialsOf(this.#native, fd);
		this.#poll = checked(
			this.#native.pollStart(fd, READABLE, () => this.#receive()),
			'watch a UNIX connection',
		);
		this.#firstMessageTimer = setTimeout(() => this.close(), options.idleTimeoutMs);
	}

	/**
	 * Sends one message.
	 *
	 * @throws KERNEL_CLOSED; KERNEL_SYSTEM_CALL with EAGAIN when the client does not read, EMSGSIZE when the message is too long
	 */
	send(data: Uint8Array): void {
		if (this.signal.aborted) throw kernelError('KERNEL_CLOSED', { message: 'the client is gone' });
		checked(this.#native.sendFds(this.#fd, data, NO_FDS), 'answer on a UNIX socket');
	}

	/** Idempotent. */
	close(): void {
		if (this.signal.aborted) return;
		clearTimeout(this.#firstMessageTimer);
		this.#native.pollStop(this.#poll);
		this.#native.close(this.#fd);
		this.#onClosed();
		this.#gone.abort();
	}

	#receive(): void {
		for (let count = 0; count < MESSAGES_PER_WAKEUP && !this.signal.aborted; count++) {
			const length = this.#native.recvFds(this.#fd, this.#buffer, this.#info);
			if (length === -EAGAIN) return;
			// a message without content cannot be told from the end
			if (length <= 0 && this.#fds().length === 0) {
				this.close();
				if (length < 0) this.#options.onError(systemCallError(-length, 'receive on a UNIX socket'));
				return;
			}
			this.#deliver(length);
		}
	}

	#deliver(length: number): void {
		const fds = this.#fds();
		this.#info.fill(0, 1);
		if (((this.#info[0] as number) & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
			for (const fd of fds) this.#native.close(fd);
			this.close();
			this.#options.onError(
				kernelError('KERNEL_BAD_MESSAGE', {
					message: `process ${this.peer.processId} sent a message that is too long or has too many descriptors`,
					allowed: `${this.#buffer.length} bytes, ${this.#options.maxFds} descriptors`,
				}),
			);
			return;
		}
		clearTimeout(this.#firstMessageTimer);
		this.#options.onMessage({ data: this.#buffer.slice(0, length), fds }, this);
	}

	/** Descriptors of the message received last. */
	#fds(): number[] {
		return Array.from(this.#info.subarray(2, 2 + (this.#info[1] as number)));
	}
}

function credentialsOf(addon: Native, fd: number): PeerCredentials {
	const bytes = new Uint8Array(12);
	checked(addon.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, bytes), 'read the credentials of a UNIX peer');
	const view = new DataView(bytes.buffer);
	return { processId: view.getInt32(0, true), userId: view.getUint32(4, true), groupId: view.getUint32(8, true) };
}
