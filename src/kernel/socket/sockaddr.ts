import { formatIp, type Ip, ipBytes } from '#net';
import { kernelError } from '../errors.ts';
import { badMessage } from '../netlink/reader.ts';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCKADDR_STORAGE_BYTES = 128;

/** One end of a TCP connection. */
export interface TcpEndpoint {
	readonly address: Ip;
	readonly port: number;
}

/**
 * `struct sockaddr_in` or `sockaddr_in6`.
 *
 * @param scopeInterfaceIndex zone of a link-local IPv6 address
 * @throws KERNEL_BAD_ARGUMENT
 */
export function packInetAddress(endpoint: TcpEndpoint, scopeInterfaceIndex = 0): Uint8Array {
	if (!Number.isInteger(endpoint.port) || endpoint.port < 0 || endpoint.port > 65535)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `there is no port ${endpoint.port}`, found: endpoint.port, allowed: '0 to 65535' });
	const address = ipBytes(endpoint.address);
	const bytes = new Uint8Array(address.length === 4 ? 16 : 28);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, address.length === 4 ? AF_INET : AF_INET6, true);
	view.setUint16(2, endpoint.port);
	bytes.set(address, address.length === 4 ? 4 : 8);
	if (address.length === 16) view.setUint32(24, scopeInterfaceIndex, true);
	return bytes;
}

/** @throws KERNEL_BAD_MESSAGE for other families */
export function unpackInetAddress(bytes: Uint8Array): TcpEndpoint {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const family = bytes.length >= 16 ? view.getUint16(0, true) : 0;
	if (family === AF_INET) return { address: formatIp(bytes.subarray(4, 8)), port: view.getUint16(2) };
	if (family === AF_INET6 && bytes.length >= 28) return { address: formatIp(bytes.subarray(8, 24)), port: view.getUint16(2) };
	throw badMessage(`a socket address of family ${family} with ${bytes.length} bytes`);
}

/**
 * `struct sockaddr_un`.
 *
 * @throws KERNEL_BAD_ARGUMENT for a path that does not fit
 */
export function packUnixAddress(path: string): Uint8Array {
	const text = new TextEncoder().encode(path);
	if (text.length === 0 || text.length > 107 || text.includes(0))
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${JSON.stringify(path)} is not a path for a socket`, allowed: '1 to 107 bytes' });
	const bytes = new Uint8Array(2 + text.length + 1);
	bytes[0] = AF_UNIX;
	bytes.set(text, 2);
	return bytes;
}
