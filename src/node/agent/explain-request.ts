import { ip } from '#net';
import type { ExplainRequest } from '#node-api';
import type { Packet } from '#policy';
import { parseProtocol, protocolNumber } from '#resources';
import { nodeError } from '../errors.ts';

/**
 * Reads a packet as a user names it.
 *
 * @throws NET_BAD_ADDRESS, NODE_BAD_REQUEST
 */
export function parsePacket(request: ExplainRequest): Packet {
	const protocol = parseProtocol(request.protocol);
	if (protocol === undefined)
		throw nodeError('NODE_BAD_REQUEST', {
			message: `${JSON.stringify(request.protocol)} is not a protocol`,
			path: 'protocol',
			allowed: 'tcp, udp, sctp, icmp, icmpv6 or a number from 1 to 255',
		});
	return {
		source: ip(request.source, 'source'),
		destination: ip(request.destination, 'destination'),
		protocol: protocolNumber(protocol),
		...number('sourcePort', request.sourcePort, 65_535),
		...(request.port === undefined ? {} : number('destinationPort', request.port, 65_535)),
		...number('icmpType', request.icmpType, 255),
		...number('icmpCode', request.icmpCode, 255),
	};
}

function number<Name extends string>(name: Name, value: number | undefined, max: number): { readonly [Key in Name]?: number } {
	if (value === undefined) return {};
	if (!Number.isInteger(value) || value < 0 || value > max)
		throw nodeError('NODE_BAD_REQUEST', { message: `${name} is ${JSON.stringify(value)}`, path: name, allowed: `0 to ${max}` });
	return { [name]: value } as { readonly [Key in Name]?: number };
}
