import { uniqueId } from '#selector';
import type { EndpointId, IpSetId, PolicyId } from './types.ts';

/** One text for kind, namespace and name; joined, since V8 would keep a template's parts and the links between them. */
export function objectKey(kind: string, namespace: string | undefined, name: string): string {
	return [kind, namespace ?? '', name].join('/');
}

/** The ID of a policy or profile; `namespace` is undefined for cluster-scoped kinds. */
export function policyId(kind: string, namespace: string | undefined, name: string): PolicyId {
	return objectKey(kind, namespace, name) as PolicyId;
}

export function profileId(name: string): PolicyId {
	return policyId('Profile', undefined, name);
}

/** The name of the profile that an ID stands for; undefined if it stands for a policy. */
export function profileName(id: PolicyId): string | undefined {
	return id.startsWith('Profile//') ? id.slice('Profile//'.length) : undefined;
}

/** The ID of a workload endpoint. */
export function endpointId(namespace: string, name: string): EndpointId {
	return [namespace, name].join('/') as EndpointId;
}

/** The set of all addresses that a selector selects; the selector's own ID names it. */
export function selectorSetId(selectorId: string): IpSetId {
	return selectorId as IpSetId;
}

/**
 * The set of the addresses and ports of a named port among what a selector selects, named as Calico names it.
 *
 * @param protocol `any` stands for ports of every protocol
 */
export function namedPortSetId(selectorId: string, protocol: NamedPortProtocol, portName: string): IpSetId {
	return uniqueId('n:', `${selectorId},${protocol},${portName}`) as IpSetId;
}

export type NamedPortProtocol = PortProtocol | 'any';

/** Protocols whose packets carry ports, as members of `ip-port` sets spell them. */
export type PortProtocol = 'tcp' | 'udp' | 'sctp';

const PORT_PROTOCOLS: ReadonlyMap<number, PortProtocol> = new Map([
	[6, 'tcp'],
	[17, 'udp'],
	[132, 'sctp'],
]);

/** The spelling of a protocol number that carries ports; undefined for every other. */
export function portProtocol(protocol: number): PortProtocol | undefined {
	return PORT_PROTOCOLS.get(protocol);
}

/** `Profile kns.default`, `NetworkPolicy shop/allow-web`: an ID as people read it. */
export function describePolicy(id: PolicyId): string {
	const [kind, namespace, name] = id.split('/') as [string, string, string];
	return namespace === '' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
