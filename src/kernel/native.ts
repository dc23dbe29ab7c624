import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { kernelError } from './errors.ts';

/**
 * The system-call addon (`native/addon`). Every function returns what the system call returned or `-errno`; none
 * throws. Offsets and lengths are checked there. Descriptors are close-on-exec.
 */
export interface Native {
	socket(domain: number, type: number, protocol: number): number;
	/** A socket that lives in another network namespace. */
	socketInNamespace(namespaceFd: number, domain: number, type: number, protocol: number): number;
	bind(fd: number, address: Uint8Array): number;
	connect(fd: number, address: Uint8Array): number;
	listen(fd: number, backlog: number): number;
	/** The new descriptor, non-blocking. */
	accept(fd: number): number;
	/** Fills `out` with a sockaddr and returns its length. */
	getsockname(fd: number, out: Uint8Array): number;
	getpeername(fd: number, out: Uint8Array): number;
	send(fd: number, buffer: Uint8Array, offset: number, length: number, flags: number): number;
	recv(fd: number, buffer: Uint8Array, offset: number, length: number, flags: number): number;
	/** At most 256 buffers, without the first `skip` bytes of the first; never blocks. */
	sendBuffers(fd: number, buffers: readonly Uint8Array[], skip: number): number;
	sendFds(fd: number, buffer: Uint8Array, fds: Int32Array): number;
	/** `out`: msg_flags, number of descriptors, the descriptors; never blocks. */
	recvFds(fd: number, buffer: Uint8Array, out: Int32Array): number;
	setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
	/** Fills `out` and returns the length. */
	getsockopt(fd: number, level: number, name: number, out: Uint8Array): number;
	shutdown(fd: number, how: number): number;
	close(fd: number): number;
	/** Calls the function inside a network namespace; aborts the process if there is no way back. */
	runInNamespace(namespaceFd: number, run: () => void): number;
	/** Makes a network namespace and binds it to an existing file. */
	createNamespace(path: string): number;
	/** The CLONE_NEW… flag of a namespace descriptor. */
	namespaceType(fd: number): number;
	mount(source: string, target: string, type: string, flags: number): number;
	umount(target: string, flags: number): number;
	/** Watches a descriptor (1 readable, 2 writable) and returns an identifier. A status below 0 ends the watch until pollUpdate. */
	pollStart(fd: number, events: number, callback: (status: number, events: number) => void): number;
	pollUpdate(id: number, events: number): number;
	/** Ends a watch for good; the descriptor may be closed afterwards. */
	pollStop(id: number): number;
}

let loaded: Native | undefined;

/**
 * The addon of this thread, from `native/build` beside the sources or the bundle, or from beside the bundle.
 *
 * @throws KERNEL_NATIVE_MISSING
 */
export function native(): Native {
	loaded ??= load();
	return loaded;
}

function load(): Native {
	const candidates = ['../../native/build', '../native/build', '.'].map((folder) => join(import.meta.dirname, folder, 'tortie.node'));
	const path = candidates.find((candidate) => existsSync(candidate));
	if (path === undefined)
		throw kernelError('KERNEL_NATIVE_MISSING', {
			message: `the system-call addon is in none of ${candidates.join(', ')}`,
			hint: 'build it with: node scripts/build-native.ts',
		});
	const holder: { exports: unknown } = { exports: {} };
	try {
		process.dlopen(holder, path);
	} catch (cause) {
		throw kernelError('KERNEL_NATIVE_MISSING', {
			message: `the system-call addon ${path} cannot be loaded on this machine`,
			cause,
			hint: 'build it again with: rm -r native/build && node scripts/build-native.ts',
		});
	}
	return holder.exports as Native;
}
