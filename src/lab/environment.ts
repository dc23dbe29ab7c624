import { etcdEndpoint } from './etcd.ts';
import { addressText, type LabPlan, type NodePlan } from './plan.ts';

/** What is passed on from the caller's environment: no secret, no setting of somebody else's cluster. */
const PASSED = ['HOME', 'LANG', 'TERM', 'TORTIE_TEST_RUN'] as const;

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The environment of the lab's processes, before their own settings. */
export function baseEnvironment(): Record<string, string> {
	const passed = PASSED.flatMap((name) => {
		const value = process.env[name];
		return value === undefined ? [] : [[name, value] as const];
	});
	return { ...Object.fromEntries(passed), PATH: SYSTEM_PATH };
}

/** What a node is told, by the names that calico-node's environment has. */
export function nodeEnvironment(plan: LabPlan, node: NodePlan, hostRoot: string): Record<string, string> {
	const { 4: ipv4, 6: ipv6 } = node.addresses;
	return {
		...baseEnvironment(),
		NODENAME: node.name,
		ETCD_ENDPOINTS: etcdEndpoint(plan),
		IP: ipv4 === undefined ? 'none' : addressText(ipv4),
		IP6: ipv6 === undefined ? 'none' : addressText(ipv6),
		...(plan.segments.length > 1 ? { AS: String(node.segment.asNumber) } : {}),
		// a router ID is 32 bits, which an IPv6 address does not give
		...(ipv4 === undefined ? { CALICO_ROUTER_ID: 'hash' } : {}),
		CALICO_NETWORKING_BACKEND: plan.options.backend,
		CLUSTER_TYPE: 'k8s,bgp',
		NO_DEFAULT_POOLS: 'true',
		CALICO_HOST_ROOT: hostRoot,
	};
}
