import { type Family, type Ip, ipFamily, parseIp, splitCidr } from '#net';
import type { BGPConfiguration, Node } from '#resources';
import type { BgpState } from './state.ts';

/** AS number of a cluster that configures none. */
const DEFAULT_AS = 64512;
/** RFC 4271 §8.2.1. */
export const BGP_PORT = 179;

/** What the objects `default` and `node.<name>` of kind BGPConfiguration say, with the defaults filled in. */
export interface ClusterBgp {
	readonly asNumber: number;
	readonly meshEnabled: boolean;
	/** Undefined when nothing is configured, which is 179 but leaves the port out of peer names. */
	readonly listenPort: number | undefined;
	readonly spec: BGPConfiguration['spec'];
}

/** A node as BGP sees it. */
export interface Speaker {
	readonly name: string;
	readonly asNumber: number;
	readonly address: Readonly<Record<Family, Ip | undefined>>;
	readonly listenPort: number | undefined;
	/** Set on route reflectors. */
	readonly clusterId: Ip | undefined;
	readonly labels: ReadonlyMap<string, string>;
}

/** The cluster-wide configuration. */
export function clusterBgp(state: BgpState): ClusterBgp {
	const spec = state.configurations.get('default')?.spec ?? {};
	return {
		asNumber: spec.asNumber ?? DEFAULT_AS,
		meshEnabled: spec.nodeToNodeMeshEnabled ?? true,
		listenPort: spec.listenPort,
		spec,
	};
}

/** A node with its addresses read; an address that does not parse, or is of the other family, counts as absent. */
export function speakerOf(node: Node, cluster: ClusterBgp, state: BgpState): Speaker {
	const name = node.metadata.name;
	const bgp = node.spec.bgp;
	return {
		name,
		asNumber: bgp?.asNumber ?? cluster.asNumber,
		address: { 4: nodeAddress(bgp?.ipv4Address, 4), 6: nodeAddress(bgp?.ipv6Address, 6) },
		listenPort: state.configurations.get(`node.${name}`)?.spec.listenPort ?? cluster.listenPort,
		clusterId: parseIp(bgp?.routeReflectorClusterID ?? ''),
		labels: new Map(Object.entries(node.metadata.labels ?? {})),
	};
}

/** `10.0.0.1/24` or `10.0.0.1`, as Node `spec.bgp` holds it. */
function nodeAddress(text: string | undefined, family: Family): Ip | undefined {
	const address = splitCidr(text ?? '')?.address;
	return address !== undefined && ipFamily(address) === family ? address : undefined;
}
