import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { type Family, type Ip, parseIp, splitCidr } from '#net';
import type { HostInterface } from './address-detection.ts';

/** Any port: nothing is sent to it. */
const DISCARD_PORT = 9;
const RESOLVE_LIMIT_MS = 5000;

/** The interfaces of this host that are up, with their addresses. */
export function hostInterfaces(): HostInterface[] {
	return Object.entries(networkInterfaces()).map(([name, entries]) => ({
		name,
		addresses: (entries ?? []).flatMap((entry) => (entry.cidr === null ? [] : (splitCidr(entry.cidr) ?? []))),
	}));
}

/** The local address that the kernel would use towards a destination: that of a UDP socket connected to it. */
export function sourceTo(destination: string, family: Family): Promise<Ip | undefined> {
	return new Promise((resolve) => {
		const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
		const finish = (address: Ip | undefined): void => {
			clearTimeout(timer);
			socket.close();
			resolve(address);
		};
		const timer = setTimeout(() => finish(undefined), RESOLVE_LIMIT_MS);
		socket.on('error', () => finish(undefined));
		socket.connect(DISCARD_PORT, destination, () => finish(parseIp(socket.address().address)));
	});
}
