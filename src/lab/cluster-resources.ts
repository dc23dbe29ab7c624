import { type AnyResource, API_VERSION, type BGPPeer, type IPPool, type Node, type Profile } from '#resources';
import { entriesByFamily, LAB_NAMESPACES, type LabPlan } from './plan.ts';

/** What is in the datastore before the first node starts: what an operator, and Kubernetes' controllers, would have put there. */
export function clusterResources(plan: LabPlan): readonly AnyResource[] {
	return [...pools(plan), ...nodes(plan), ...bgp(plan), ...LAB_NAMESPACES.map(namespaceProfile)];
}

/** The profile of a Kubernetes namespace, as kube-controllers makes it: everything is allowed, and pods get the namespace's labels. */
export function namespaceProfile(namespace: string): Profile {
	return {
		apiVersion: API_VERSION,
		kind: 'Profile',
		metadata: { name: `kns.${namespace}` },
		spec: {
			ingress: [{ action: 'Allow' }],
			egress: [{ action: 'Allow' }],
			labelsToApply: { 'pcns.projectcalico.org/name': namespace, 'pcns.kubernetes.io/metadata.name': namespace },
		},
	};
}

function pools({ pools }: LabPlan): readonly IPPool[] {
	return entriesByFamily(pools).map(([family, cidr]) => ({
		apiVersion: API_VERSION,
		kind: 'IPPool',
		metadata: { name: `default-ipv${family}-ippool` },
		// Calico's default leaves IPv6 without NAT; the lab's outside has no route to pods of either family
		spec: { cidr, natOutgoing: true },
	}));
}

/** A node completes its own object when it starts; labels are the operator's. */
function nodes({ nodes, segments }: LabPlan): readonly Node[] {
	return nodes.map(({ name, segment }) => ({
		apiVersion: API_VERSION,
		kind: 'Node',
		metadata: { name, labels: { 'kubernetes.io/hostname': name, ...(segments.length > 1 ? { rack: segment.name } : {}) } },
		spec: {},
	}));
}

/** In a routed lab each node has a session to the router of its rack, and none to other nodes. */
function bgp({ segments }: LabPlan): readonly AnyResource[] {
	if (segments.length === 1) return [];
	const peers = segments.flatMap(({ name, gateway, asNumber }) =>
		entriesByFamily(gateway).map(
			([family, { address }]): BGPPeer => ({
				apiVersion: API_VERSION,
				kind: 'BGPPeer',
				metadata: { name: `${name}-ipv${family}` },
				spec: { peerIP: address, asNumber, nodeSelector: `rack == '${name}'` },
			}),
		),
	);
	return [
		{ apiVersion: API_VERSION, kind: 'BGPConfiguration', metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false } },
		...peers,
	];
}
