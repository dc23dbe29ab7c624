import { type Cidr, cidrParts, type Family } from '#net';
import { checked, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { type Native, native } from '../native.ts';
import { packInetAddress, SOCKADDR_STORAGE_BYTES } from './sockaddr.ts';

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SO_BINDTODEVICE = 25;
export const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
export const IP_FREEBIND = 15;
const IP_MINTTL = 21;
export const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
export const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
export const IPV6_FREEBIND = 78;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
const TCP_USER_TIMEOUT = 18;
const TCP_MD5SIG_EXT = 32;
const TCP_MD5SIG_FLAG_PREFIX = 1;
const TCP_MD5SIG_BYTES = 216;
/** TCP_MD5SIG_MAXKEYLEN */
const MAX_MD5_KEY_BYTES = 80;
const MAX_DEVICE_NAME_BYTES = 15;
const ENOENT = 2;
const ENOPROTOOPT = 92;

/** What a BGP session needs of its socket. */
export interface TcpSocketOptions {
	/** Time to live of sent packets, 1 to 255. */
	readonly ttl?: number;
	/** Packets with a lower time to live are dropped (GTSM, RFC 5082). */
	readonly minTtl?: number;
	/** Type of service or traffic class byte; 0xc0 is CS6, for network control. */
	readonly tos?: number;
	/** The connection dies when sent data stay unacknowledged that long. */
	readonly userTimeoutMs?: number;
}

/** @throws KERNEL_SYSTEM_CALL */
export function setIntOption(fd: number, level: number, name: number, value: number, what: string): void {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setInt32(0, value, true);
	checked(native().setsockopt(fd, level, name, bytes), what);
}

/** @throws KERNEL_SYSTEM_CALL */
export function applyTcpOptions(fd: number, family: Family, options: TcpSocketOptions): void {
	const is4 = family === 4;
	const level = is4 ? IPPROTO_IP : IPPROTO_IPV6;
	if (options.ttl !== undefined) setIntOption(fd, level, is4 ? IP_TTL : IPV6_UNICAST_HOPS, options.ttl, `set a TTL of ${options.ttl}`);
	if (options.minTtl !== undefined)
		setIntOption(fd, level, is4 ? IP_MINTTL : IPV6_MINHOPCOUNT, options.minTtl, `set a least TTL of ${options.minTtl}`);
	if (options.tos !== undefined)
		setIntOption(fd, level, is4 ? IP_TOS : IPV6_TCLASS, options.tos, `set a type of service of ${options.tos}`);
	if (options.userTimeoutMs !== undefined)
		setIntOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs, `set TCP_USER_TIMEOUT to ${options.userTimeoutMs}`);
}

/** @throws KERNEL_SYSTEM_CALL, KERNEL_BAD_ARGUMENT */
export function bindToDevice(fd: number, device: string): void {
	const name = new TextEncoder().encode(device);
	if (name.length === 0 || name.length > MAX_DEVICE_NAME_BYTES)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${JSON.stringify(device)} is not an interface name`, found: device });
	checked(native().setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name), `bind to device ${device}`);
}

/**
 * Sets, replaces or (without a key) removes the TCP MD5 key for peers in a prefix (RFC 2385, `struct tcp_md5sig`).
 *
 * @returns false if there was none to remove
 * @throws KERNEL_SYSTEM_CALL, KERNEL_BAD_ARGUMENT for a key of the wrong length
 */
export function setMd5Key(fd: number, peers: Cidr, key: Uint8Array | undefined): boolean {
	if (key !== undefined && (key.length === 0 || key.length > MAX_MD5_KEY_BYTES))
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `the TCP MD5 key for ${peers} has ${key.length} bytes`,
			allowed: `1 to ${MAX_MD5_KEY_BYTES} bytes`,
		});
	const { address, length } = cidrParts(peers);
	const option = new Uint8Array(TCP_MD5SIG_BYTES);
	option.set(packInetAddress({ address, port: 0 }));
	option[SOCKADDR_STORAGE_BYTES] = TCP_MD5SIG_FLAG_PREFIX;
	option[SOCKADDR_STORAGE_BYTES + 1] = length;
	if (key !== undefined) {
		option[SOCKADDR_STORAGE_BYTES + 2] = key.length;
		option.set(key, SOCKADDR_STORAGE_BYTES + 8);
	}
	const result = native().setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, option);
	option.fill(0);
	if (key === undefined && result === -ENOENT) return false;
	if (result < 0)
		throw systemCallError(
			-result,
			`set the TCP MD5 key for ${peers}`,
			result === -ENOPROTOOPT ? 'this kernel is built without TCP_MD5SIG' : undefined,
		);
	return true;
}

/** The error a socket holds, which is cleared by asking; 0 if none. */
export function takeSocketError(addon: Native, fd: number): number {
	const out = new Uint8Array(4);
	const result = addon.getsockopt(fd, SOL_SOCKET, SO_ERROR, out);
	return result < 0 ? -result : new DataView(out.buffer).getInt32(0, true);
}

/** Makes close send RST and drop what is unsent. */
export function lingerNot(addon: Native, fd: number): void {
	addon.setsockopt(fd, SOL_SOCKET, SO_LINGER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
}
