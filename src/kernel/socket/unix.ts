import { chmodSync, rmSync } from 'node:fs';
import type { TortieError } from '#errors';
import { checked, fileError, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { type Native, native } from '../native.ts';
import { AF_UNIX, packUnixAddress } from './sockaddr.ts';
import { UnixConnection, type UnixMessage } from './unix-connection.ts';

const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0x800;
const READABLE = 1;
const LARGEST_MESSAGE_BYTES = 1 << 20;
/** What the addon can receive at once (`native/addon/messages.c`). */
const LARGEST_FD_COUNT = 16;
const PAUSE_AFTER_FAILURE_MS = 1000;
const BACKLOG = 128;
const EAGAIN = 11;
const EADDRINUSE = 98;
const ECONNREFUSED = 111;

export interface UnixServerOptions {
	/** Where the socket file is made, in place of one left behind; removed on dispose. */
	readonly path: string;
	/** Permission bits of the file. */
	readonly mode: number;
	/** Longer messages close the connection; at most 1 MiB. */
	readonly maxMessageBytes: number;
	/** More descriptors close the connection, and the descriptors; at most 16. */
	readonly maxFds: number;
	/** More clients at once wait in the backlog. */
	readonly maxConnections: number;
	/** A client that sends nothing for so long after it connected is closed. */
	readonly idleTimeoutMs: number;
	/** Answers with {@link UnixConnection.send}, at once or later. Must not throw. */
	readonly onMessage: (message: UnixMessage, connection: UnixConnection) => void;
	/** What clients did wrong, and failures to accept; the server goes on. */
	readonly onError: (error: TortieError) => void;
}

/**
 * A SOCK_SEQPACKET server on a UNIX socket: messages keep their boundaries, and descriptors come with the message
 * they were sent with (SCM_RIGHTS).
 */
export class UnixServer implements Disposable {
	readonly #native: Native = native();
	readonly #options: UnixServerOptions;
	readonly #buffer: Uint8Array;
	readonly #fd: number;
	readonly #poll: number;
	readonly #connections = new Set<UnixConnection>();
	#pause: NodeJS.Timeout | undefined;
	#closed = false;

	/** @throws KERNEL_SYSTEM_CALL; EADDRINUSE when a living server holds the path */
	constructor(options: UnixServerOptions) {
		if (options.maxMessageBytes > LARGEST_MESSAGE_BYTES || options.maxFds > LARGEST_FD_COUNT)
			throw kernelError('KERNEL_BAD_ARGUMENT', {
				message: `messages of ${options.maxMessageBytes} bytes with ${options.maxFds} descriptors are too large`,
				allowed: `${LARGEST_MESSAGE_BYTES} bytes, ${LARGEST_FD_COUNT} descriptors`,
			});
		this.#options = options;
		this.#buffer = new Uint8Array(options.maxMessageBytes);
		this.#fd = listenOn(this.#native, options.path, options.mode);
		try {
			this.#poll = checked(
				this.#native.pollStart(this.#fd, READABLE, () => this.#accept()),
				`watch ${options.path}`,
			);
		} catch (error) {
			this.#native.close(this.#fd);
			throw error;
		}
	}

	/** Stops serving and closes all connections. */
	[Symbol.dispose](): void {
		if (this.#closed) return;
		this.#closed = true;
		clearTimeout(this.#pause);
		this.#native.pollStop(this.#poll);
		// while the socket still listens, so that it cannot be a successor's file
		rmSync(this.#options.path, { force: true });
		this.#native.close(this.#fd);
		for (const connection of this.#connections) connection.close();
	}

	#accept(): void {
		while (!this.#closed && this.#connections.size < this.#options.maxConnections) {
			const fd = this.#native.accept(this.#fd);
			if (fd === -EAGAIN) return;
			if (fd < 0) {
				this.#native.pollUpdate(this.#poll, 0);
				this.#pause = setTimeout(() => this.#native.pollUpdate(this.#poll, READABLE), PAUSE_AFTER_FAILURE_MS);
				this.#options.onError(systemCallError(-fd, `accept on ${this.#options.path}`));
				return;
			}
			this.#take(fd);
		}
		// full: wait for a connection to end rather than be told again and again
		if (!this.#closed) this.#native.pollUpdate(this.#poll, 0);
	}

	#take(fd: number): void {
		try {
			const connection = new UnixConnection(fd, this.#buffer, this.#options, () => this.#forget(connection));
			this.#connections.add(connection);
		} catch (error) {
			this.#native.close(fd);
			if (kernelError.is(error)) this.#options.onError(error);
			else throw error;
		}
	}

	#forget(connection: UnixConnection): void {
		this.#connections.delete(connection);
		if (!this.#closed && this.#connections.size === this.#options.maxConnections - 1) this.#native.pollUpdate(this.#poll, READABLE);
	}
}

/** A listening socket at a path, in place of a socket nobody listens on. @throws KERNEL_SYSTEM_CALL */
function listenOn(addon: Native, path: string, mode: number): number {
	const address = packUnixAddress(path);
	removeDeadSocket(addon, path, address);
	const fd = checked(addon.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), 'open a UNIX socket');
	try {
		checked(addon.bind(fd, address), `bind ${path}`);
		// before listen, so that nobody connects while the permissions are wider
		chmodSync(path, mode);
		checked(addon.listen(fd, BACKLOG), `listen on ${path}`);
		return fd;
	} catch (error) {
		addon.close(fd);
		throw kernelError.is(error) ? error : fileError(error, `set permissions of ${path}`);
	}
}

function removeDeadSocket(addon: Native, path: string, address: Uint8Array): void {
	const probe = checked(addon.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), 'open a UNIX socket');
	const result = addon.connect(probe, address);
	addon.close(probe);
	if (result === 0 || result === -EAGAIN)
		throw systemCallError(EADDRINUSE, `bind ${path}`, 'another process serves this socket: stop it first');
	if (result === -ECONNREFUSED) rmSync(path, { force: true });
}
