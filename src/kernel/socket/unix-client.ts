import { checked, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { native } from '../native.ts';
import { AF_UNIX, packUnixAddress } from './sockaddr.ts';

const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0x800;
const READABLE = 1;
const LARGEST_MESSAGE_BYTES = 1 << 20;

/**
 * Sends one message with descriptors to a {@link UnixServer} and waits for one answer.
 *
 * @throws KERNEL_SYSTEM_CALL (ENOENT and ECONNREFUSED when nobody serves the path), KERNEL_TIMEOUT, KERNEL_CLOSED when
 *   the server ends the connection without an answer
 */
export async function unixRequest(
	path: string,
	message: { readonly data: Uint8Array; readonly fds?: readonly number[] },
	options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<Uint8Array> {
	const addon = native();
	const fd = checked(addon.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), 'open a UNIX socket');
	const limit = AbortSignal.timeout(options.timeoutMs);
	const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
	let poll = -1;
	try {
		checked(addon.connect(fd, packUnixAddress(path)), `connect to ${path}`);
		checked(addon.sendFds(fd, message.data, Int32Array.from(message.fds ?? [])), `send to ${path}`);
		await new Promise<void>((resolve, reject) => {
			poll = checked(
				addon.pollStart(fd, READABLE, () => resolve()),
				`watch ${path}`,
			);
			signal.addEventListener('abort', () => reject(kernelError('KERNEL_TIMEOUT', { message: `no answer from ${path} in time` })), {
				once: true,
			});
		});
		const answer = new Uint8Array(LARGEST_MESSAGE_BYTES);
		const length = addon.recv(fd, answer, 0, answer.length, 0);
		if (length < 0) throw systemCallError(-length, `receive from ${path}`);
		if (length === 0) throw kernelError('KERNEL_CLOSED', { message: `${path} gave no answer` });
		return answer.slice(0, length);
	} finally {
		if (poll >= 0) addon.pollStop(poll);
		addon.close(fd);
	}
}
