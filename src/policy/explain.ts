import { cidrContainsIp, type Ip } from '#net';
import { evaluate, type PolicyState } from './evaluate.ts';
import type { Direction, EndpointId, EndpointPolicy, Packet, Verdict } from './types.ts';

/** What happens to the first packet of a flow at the endpoints it comes from and goes to. */
export interface Explanation {
	/** Whether every endpoint that is known here lets it pass. */
	readonly allowed: boolean;
	/** Egress at the source; undefined where no endpoint that is known here has the address. */
	readonly source: EndpointVerdict | undefined;
	/** Ingress at the destination, which has no say if the source denied. */
	readonly destination: EndpointVerdict | undefined;
}

export interface EndpointVerdict {
	readonly endpoint: EndpointId;
	readonly direction: Direction;
	readonly verdict: Verdict;
}

/** The verdicts of both ends of a packet's way. */
export function explainPacket(state: PolicyState, endpoints: Iterable<EndpointPolicy>, packet: Packet): Explanation {
	let from: EndpointPolicy | undefined;
	let to: EndpointPolicy | undefined;
	for (const endpoint of endpoints) {
		if (hasAddress(endpoint, packet.source)) from ??= endpoint;
		if (hasAddress(endpoint, packet.destination)) to ??= endpoint;
	}
	const verdictAt = (endpoint: EndpointPolicy | undefined, direction: Direction): EndpointVerdict | undefined =>
		endpoint === undefined ? undefined : { endpoint: endpoint.id, direction, verdict: evaluate(state, endpoint, direction, packet) };
	const source = verdictAt(from, 'egress');
	const destination = verdictAt(to, 'ingress');
	return { allowed: (source?.verdict.allowed ?? true) && (destination?.verdict.allowed ?? true), source, destination };
}

function hasAddress({ nets }: EndpointPolicy, address: Ip): boolean {
	return nets.some((net) => cidrContainsIp(net, address));
}
