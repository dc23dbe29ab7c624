import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { checked, fileError, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { native } from '../native.ts';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x100000;
const MNT_DETACH = 2;
const EINVAL = 22;

/** Where `ip netns` keeps names. */
const NAMES_FOLDER = '/run/netns';

/** An open network namespace. */
export class NetworkNamespace implements Disposable {
	readonly fd: number;
	/** Inode number: equal in two handles of the same namespace. */
	readonly inode: bigint;
	#closed = false;

	private constructor(fd: number) {
		this.fd = fd;
		this.inode = fstatSync(fd, { bigint: true }).ino;
	}

	/**
	 * Takes over a descriptor, such as one received over a socket. If it is refused it stays the caller's.
	 *
	 * @throws KERNEL_BAD_ARGUMENT if it is not a network namespace
	 */
	static adopt(fd: number): NetworkNamespace {
		if (native().namespaceType(fd) !== CLONE_NEWNET)
			throw kernelError('KERNEL_BAD_ARGUMENT', { message: `descriptor ${fd} is not a network namespace` });
		return new NetworkNamespace(fd);
	}

	[Symbol.dispose](): void {
		if (this.#closed) return;
		this.#closed = true;
		native().close(this.fd);
	}
}

/**
 * Opens a network namespace by path: `/run/netns/NAME`, `/proc/PID/ns/net`.
 *
 * @throws KERNEL_SYSTEM_CALL if it cannot be opened, KERNEL_BAD_ARGUMENT if it is something else
 */
export function openNamespace(path: string): NetworkNamespace {
	let fd: number;
	try {
		fd = openSync(path, 'r');
	} catch (error) {
		throw fileError(error, `open network namespace ${path}`);
	}
	try {
		return NetworkNamespace.adopt(fd);
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}

/** The namespace of the calling thread. */
export function currentNamespace(): NetworkNamespace {
	return openNamespace('/proc/thread-self/ns/net');
}

/**
 * Runs a function with the calling thread inside a network namespace and returns to the former one, even after an
 * exception; if the way back fails the process aborts. The function is synchronous: synchronous `fs` calls and the
 * start of child processes happen inside, asynchronous work would not.
 *
 * @throws KERNEL_SYSTEM_CALL; KERNEL_BAD_ARGUMENT if the function returns a promise; what the function throws
 */
export function inNamespace<T>(namespaceFd: number, run: () => T): T {
	let result: { readonly value: T } | undefined;
	checked(
		native().runInNamespace(namespaceFd, () => {
			result = { value: run() };
		}),
		'enter a network namespace',
	);
	const { value } = result as unknown as { readonly value: T };
	if (value instanceof Promise)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: 'an asynchronous function was run in a network namespace',
			hint: 'open sockets inside and wait outside',
		});
	return value;
}

/**
 * Makes a network namespace with a name under `/run/netns`, as `ip netns add` does. Its loopback device is down.
 *
 * @throws KERNEL_BAD_ARGUMENT for a name that is no file name, KERNEL_SYSTEM_CALL; EEXIST when the name is taken
 */
export function createNamedNamespace(name: string): NetworkNamespace {
	const path = pathOf(name);
	shareNamesFolder();
	try {
		closeSync(openSync(path, 'wx', 0o444));
	} catch (error) {
		throw fileError(error, `make network namespace ${name}`);
	}
	try {
		checked(native().createNamespace(path), `make network namespace ${name}`);
		return openNamespace(path);
	} catch (error) {
		deleteNamedNamespace(name);
		throw error;
	}
}

/**
 * Removes the name; the namespace lives on while a process or descriptor uses it.
 *
 * @returns false if there was none
 * @throws KERNEL_BAD_ARGUMENT, KERNEL_SYSTEM_CALL
 */
export function deleteNamedNamespace(name: string): boolean {
	const path = pathOf(name);
	// EINVAL: the file is left over and nothing is mounted on it
	const unmounted = native().umount(path, MNT_DETACH);
	if (unmounted === -2) return false;
	if (unmounted < 0 && unmounted !== -EINVAL) throw systemCallError(-unmounted, `unmount ${path}`);
	try {
		rmSync(path);
	} catch (error) {
		throw fileError(error, `remove ${path}`);
	}
	return true;
}

/** The names under `/run/netns`. */
export function listNamedNamespaces(): readonly string[] {
	try {
		return readdirSync(NAMES_FOLDER);
	} catch {
		return [];
	}
}

function pathOf(name: string): string {
	if (!/^[A-Za-z0-9_.:@-]{1,255}$/.test(name) || name === '.' || name === '..')
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `${JSON.stringify(name)} is not a name for a network namespace`,
			found: name,
			allowed: 'letters, digits and _ . : @ -',
		});
	return join(NAMES_FOLDER, name);
}

/** Makes the folder a shared mount, so that names made here are seen in other mount namespaces and go away there too. */
function shareNamesFolder(): void {
	mkdirSync(NAMES_FOLDER, { recursive: true, mode: 0o755 });
	const shared = native().mount('', NAMES_FOLDER, 'none', MS_SHARED | MS_REC);
	if (shared === 0) return;
	if (shared !== -EINVAL) throw systemCallError(-shared, `share ${NAMES_FOLDER}`);
	checked(native().mount(NAMES_FOLDER, NAMES_FOLDER, 'none', MS_BIND | MS_REC), `bind ${NAMES_FOLDER}`);
	checked(native().mount('', NAMES_FOLDER, 'none', MS_SHARED | MS_REC), `share ${NAMES_FOLDER}`);
}
