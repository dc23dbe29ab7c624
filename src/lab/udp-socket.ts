import { createSocket, type Socket } from 'node:dgram';
import { inNamespace } from '#kernel';
import type { Family } from '#net';

/**
 * A UDP socket inside a network namespace, bound to all addresses; one of family 6 takes IPv4, too.
 *
 * @param port 0 lets the kernel choose
 */
export function openUdpSocket(namespaceFd: number, family: Family, port: number): Socket {
	const socket = createSocket({
		type: family === 4 ? 'udp4' : 'udp6',
		// addresses only: answered at once, so that the socket is made and bound before bind returns
		lookup: (host, _options, callback) => callback(null, host, family),
	});
	return inNamespace(namespaceFd, () => socket.bind(port, family === 4 ? '0.0.0.0' : '::'));
}
