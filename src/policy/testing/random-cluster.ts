/** Arbitrary clusters and what happens to them, from few names and addresses, so that things meet. */
import fc from 'fast-check';
import { type Ip, ip } from '#net';
import type {
	AnyResource,
	EntityRule,
	GlobalNetworkPolicy,
	KubernetesNetworkPolicy,
	LabelSelector,
	NetworkPolicy,
	Profile,
	Rule,
	WorkloadEndpoint,
} from '#resources';
import type { Packet } from '../types.ts';

/** An object that appears or changes, or the key of one that goes. */
export type Change =
	| { readonly type: 'set'; readonly resource: AnyResource | KubernetesNetworkPolicy }
	| { readonly type: 'delete'; readonly kind: string; readonly namespace: string | undefined; readonly name: string };

const API_VERSION = 'projectcalico.org/v3';
const NAMESPACES = ['n1', 'n2'];
const NODES = ['node-a', 'node-b'];
const ACCOUNTS = ['sa1', 'sa2'];
const TIERS = ['default', 't1', 't2'];
const ADDRESSES_4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.1.4'];
const ADDRESSES_6 = ['fd00::1', 'fd00::2'];
const OUTSIDE = ['192.0.2.1', '2001:db8::1'];
const NETS_4 = ['10.0.0.0/30', '10.0.0.2/32', '10.0.0.0/8', '0.0.0.0/0', '192.0.2.0/24', '10.0.0.2/31'];
const NETS_6 = ['fd00::/126', '::/0', 'fd00::2/128', '2001:db8::/32'];
const PORTS = [80, 81, 443];

const namespace = fc.constantFrom(...NAMESPACES);
const net = fc.constantFrom(...NETS_4, ...NETS_6);
const some = <T>(values: readonly T[], maxLength = 2): fc.Arbitrary<T[]> => fc.uniqueArray(fc.constantFrom(...values), { maxLength });
/** Nothing, `rarity` times as often as the value; nothing when shrunk. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>, rarity = 3): fc.Arbitrary<T | undefined> =>
	fc.oneof({ arbitrary: fc.constant(undefined), weight: rarity }, { arbitrary, weight: 1 });

const labels = fc
	.tuple(maybe(fc.constantFrom('a', 'b'), 1), maybe(fc.constantFrom('x', 'y')), maybe(fc.constant('evil'), 9))
	.map(([role, env, pcns]) => defined({ role, env, 'pcns.env': pcns }));

const selector = fc.constantFrom(
	'all()',
	"role == 'a'",
	"role != 'a'",
	"env == 'x'",
	'has(role)',
	"role in {'a', 'b'} && env == 'y'",
	"!has(env) || role == 'b'",
	"env not in {'x'}",
	"pcns.env == 'x'",
	"role contains 'a'",
);
const namespaceSelector = fc.constantFrom('all()', 'global()', "env == 'x'", "projectcalico.org/name == 'n1'", '!has(env)');
const accountSelector = fc.constantFrom("role == 'a'", 'has(env)', 'all()');

const port = fc.constantFrom<number | string>(80, 443, '80:81', 'http', 'dns', 'http');
const protocol = fc.constantFrom<string | number>('TCP', 'TCP', 'TCP', 'UDP', 17, 'SCTP', 'ICMP', 'ICMPv6', 47);

const entity: fc.Arbitrary<EntityRule> = fc
	.record({
		nets: maybe(fc.uniqueArray(net, { minLength: 1, maxLength: 2 }), 5),
		notNets: maybe(fc.uniqueArray(net, { minLength: 1, maxLength: 1 }), 5),
		selector: maybe(selector, 1),
		notSelector: maybe(selector, 5),
		namespaceSelector: maybe(namespaceSelector, 3),
		ports: maybe(fc.uniqueArray(port, { minLength: 1, maxLength: 2 }), 2),
		notPorts: maybe(fc.uniqueArray(port, { minLength: 1, maxLength: 1 }), 5),
		serviceAccounts: maybe(fc.record({ names: some(ACCOUNTS, 1), selector: maybe(accountSelector) }).map(defined), 6),
		services: maybe(fc.constant({ name: 'web' }), 40),
	})
	.map(defined);

const icmp = fc.record({ type: fc.constantFrom(8, 128), code: maybe(fc.constantFrom(0, 1), 1) });

const rule: fc.Arbitrary<Rule> = fc
	.record({
		action: fc.constantFrom('Allow', 'Deny', 'Pass', 'Log'),
		ipVersion: maybe(fc.constantFrom<4 | 6>(4, 6), 6),
		protocol: maybe(protocol, 1),
		notProtocol: maybe(protocol, 6),
		icmp: maybe(icmp, 1),
		notICMP: maybe(icmp, 1),
		source: maybe(entity, 1),
		destination: maybe(entity, 1),
		isCareless: fc.nat(19).map((chance) => chance === 19),
	})
	.map(({ icmp: match, notICMP, isCareless, ...rest }) => {
		const isIcmp = rest.protocol === 'ICMP' || rest.protocol === 'ICMPv6';
		const hasPorts = [rest.source, rest.destination].some((side) => side?.ports !== undefined || side?.notPorts !== undefined);
		// careful authors write ports with a protocol that has some, and types with one that has those
		const needsPorts = hasPorts && !isCareless && !['TCP', 'UDP', 'SCTP'].includes(String(rest.protocol));
		const typed = isCareless || (isIcmp && !needsPorts) ? { icmp: match, notICMP } : {};
		return defined({ ...rest, ...(needsPorts && { protocol: 'TCP' }), ...typed }) as Rule;
	});

const rules = fc.array(rule, { minLength: 1, maxLength: 4 });
const types = fc.constantFrom<readonly ('Ingress' | 'Egress')[] | undefined>(['Ingress', 'Egress'], ['Ingress'], ['Egress'], undefined);
const policySpec = {
	tier: maybe(fc.constantFrom(...TIERS), 1),
	order: maybe(fc.constantFrom(1, 2, 1000), 1),
	selector: maybe(selector, 1),
	serviceAccountSelector: maybe(accountSelector, 6),
	types,
	ingress: rules,
	egress: rules,
};

const networkPolicy: fc.Arbitrary<NetworkPolicy> = fc
	.tuple(fc.constantFrom('p1', 'p2', 'p3'), namespace, fc.record(policySpec))
	.map(([name, ns, spec]) => ({ apiVersion: API_VERSION, kind: 'NetworkPolicy', metadata: { name, namespace: ns }, spec: defined(spec) }));

const globalNetworkPolicy: fc.Arbitrary<GlobalNetworkPolicy> = fc
	.tuple(
		fc.constantFrom('p1', 'p2', 'g1'),
		fc.record({
			...policySpec,
			namespaceSelector: maybe(fc.constantFrom('all()', "env == 'x'", '!has(env)')),
			applyOnForward: maybe(fc.boolean(), 6),
			doNotTrack: maybe(fc.boolean(), 12),
			preDNAT: maybe(fc.boolean(), 12),
		}),
	)
	.map(([name, spec]) => ({ apiVersion: API_VERSION, kind: 'GlobalNetworkPolicy', metadata: { name }, spec: defined(spec) }));

const labelSelector: fc.Arbitrary<LabelSelector> = fc.constantFrom<LabelSelector>(
	{},
	{ matchLabels: { role: 'a' } },
	{ matchLabels: { env: 'x' } },
	{ matchExpressions: [{ key: 'role', operator: 'NotIn', values: ['b'] }] },
	{ matchExpressions: [{ key: 'env', operator: 'Exists' }], matchLabels: { role: 'a' } },
	{ matchExpressions: [{ key: 'env', operator: 'DoesNotExist' }] },
	{ matchExpressions: [{ key: 'role', operator: 'In', values: ['a', 'b'] }] },
);
const peer = fc.oneof(
	fc.record({ podSelector: maybe(labelSelector, 1), namespaceSelector: maybe(labelSelector, 1) }).map(defined),
	fc.constantFrom({ ipBlock: { cidr: '10.0.0.0/24', except: ['10.0.0.2/31'] } }, { ipBlock: { cidr: '::/0' } }),
);
const kubernetesPort = fc.constantFrom(
	{},
	{ port: 80 },
	{ port: 80, endPort: 81 },
	{ port: 81 },
	{ protocol: 'UDP' as const, port: 443 },
	{ protocol: 'SCTP' as const },
	{ port: 'http' },
	{ protocol: 'UDP' as const, port: 'dns' },
);
const kubernetesPolicy: fc.Arbitrary<KubernetesNetworkPolicy> = fc
	.tuple(
		fc.constantFrom('k1', 'k2'),
		namespace,
		labelSelector,
		fc.constantFrom<readonly ('Ingress' | 'Egress')[]>(['Ingress'], ['Egress'], ['Ingress', 'Egress']),
		fc.array(fc.tuple(fc.array(peer, { maxLength: 2 }), fc.array(kubernetesPort, { maxLength: 3 })), { maxLength: 2 }),
		fc.array(fc.tuple(fc.array(peer, { maxLength: 2 }), fc.array(kubernetesPort, { maxLength: 3 })), { maxLength: 2 }),
	)
	.map(([name, ns, podSelector, policyTypes, ingress, egress]) => ({
		apiVersion: 'networking.k8s.io/v1',
		kind: 'NetworkPolicy',
		metadata: { name, namespace: ns },
		spec: {
			podSelector,
			policyTypes,
			ingress: ingress.map(([from, ports]) => ({ from, ports })),
			egress: egress.map(([to, ports]) => ({ to, ports })),
		},
	}));

const endpointPort = fc.oneof(
	fc.constantFrom<readonly [string, string, number]>(['http', 'TCP', 80], ['dns', 'UDP', 443]),
	fc.tuple(fc.constantFrom('http', 'dns', ''), fc.constantFrom('TCP', 'udp', 'SCTP'), fc.constantFrom(...PORTS)),
);
const endpoint: fc.Arbitrary<WorkloadEndpoint> = fc
	.record({
		name: fc.constantFrom('w1', 'w2', 'w3'),
		namespace,
		node: fc.constantFrom(...NODES),
		labels,
		account: maybe(fc.constantFrom(...ACCOUNTS), 1),
		orchestrator: fc.constantFrom('k8s', 'k8s', 'k8s', 'cni'),
		v4: fc.constantFrom<readonly string[]>(...ADDRESSES_4.map((address) => [address]), [], ADDRESSES_4.slice(0, 2)),
		v6: maybe(fc.constantFrom(...ADDRESSES_6), 1),
		ports: fc.array(endpointPort, { maxLength: 3 }),
		profiles: fc.constantFrom<'own' | 'none' | 'default-allow' | 'reversed'>('own', 'own', 'own', 'none', 'default-allow', 'reversed'),
		hasInterface: fc.constantFrom(true, true, true, true, true, true, true, false),
	})
	.map((pod) => {
		const own = [`kns.${pod.namespace}`, ...(pod.account === undefined ? [] : [`ksa.${pod.namespace}.${pod.account}`])];
		const profiles = { own, none: [], 'default-allow': ['projectcalico-default-allow'], reversed: own.toReversed() }[pod.profiles];
		return {
			apiVersion: API_VERSION,
			kind: 'WorkloadEndpoint',
			metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels },
			spec: defined({
				node: pod.node,
				orchestrator: pod.orchestrator,
				serviceAccountName: pod.account,
				interfaceName: pod.hasInterface ? `cali${pod.namespace}${pod.name}` : undefined,
				ipNetworks: [...pod.v4.map((address) => `${address}/32`), ...(pod.v6 === undefined ? [] : [`${pod.v6}/128`])],
				profiles,
				ports: pod.ports.map(([name, portProtocol, number]) => ({ name, protocol: portProtocol, port: number })),
			}),
		};
	});

const namespaceProfile: fc.Arbitrary<Profile> = fc
	.tuple(namespace, maybe(fc.constantFrom('x', 'y'), 1), fc.constantFrom('allow', 'allow', 'allow', 'rules'), rules)
	.map(([ns, env, how, ownRules]) => {
		const list = how === 'allow' ? [{ action: 'Allow' as const }] : ownRules;
		const labelsToApply = defined({ 'pcns.projectcalico.org/name': ns, 'pcns.env': env });
		return profile(`kns.${ns}`, { ingress: list, egress: list, labelsToApply });
	});
const accountProfile: fc.Arbitrary<Profile> = fc
	.tuple(namespace, fc.constantFrom(...ACCOUNTS), maybe(fc.constantFrom('a', 'b'), 1), maybe(fc.constant('z')), maybe(rules, 2))
	.map(([ns, account, role, env, ingress]) =>
		profile(`ksa.${ns}.${account}`, defined({ ingress, labelsToApply: defined({ 'pcsa.role': role, 'pcsa.env': env, 'pcns.env': env }) })),
	);

const networkSet: fc.Arbitrary<AnyResource> = fc
	.tuple(fc.constantFrom('s1', 's2'), maybe(namespace, 1), labels, fc.uniqueArray(net, { maxLength: 3 }))
	.map(([name, ns, setLabels, nets]) =>
		ns === undefined
			? { apiVersion: API_VERSION, kind: 'GlobalNetworkSet', metadata: { name, labels: setLabels }, spec: { nets } }
			: { apiVersion: API_VERSION, kind: 'NetworkSet', metadata: { name, namespace: ns, labels: setLabels }, spec: { nets } },
	);
const tier: fc.Arbitrary<AnyResource> = fc
	.tuple(fc.constantFrom(...TIERS), maybe(fc.constantFrom(1, 2), 1), maybe(fc.constantFrom<'Deny' | 'Pass'>('Deny', 'Pass'), 1))
	.map(([name, order, defaultAction]) => ({
		apiVersion: API_VERSION,
		kind: 'Tier',
		metadata: { name },
		spec: defined({ order, defaultAction }),
	}));
const pool: fc.Arbitrary<AnyResource> = fc
	.tuple(fc.constantFrom('pool1', 'pool2'), net, fc.boolean())
	.map(([name, cidr, natOutgoing]) => ({ apiVersion: API_VERSION, kind: 'IPPool', metadata: { name }, spec: { cidr, natOutgoing } }));

const resource = fc.oneof(
	{ arbitrary: endpoint, weight: 6 },
	{ arbitrary: networkPolicy, weight: 4 },
	{ arbitrary: globalNetworkPolicy, weight: 3 },
	{ arbitrary: kubernetesPolicy, weight: 2 },
	{ arbitrary: namespaceProfile, weight: 3 },
	{ arbitrary: accountProfile, weight: 1 },
	{ arbitrary: networkSet, weight: 2 },
	{ arbitrary: tier, weight: 2 },
	{ arbitrary: pool, weight: 1 },
);

const change: fc.Arbitrary<Change> = fc
	.tuple(resource, fc.nat(3))
	.map(([value, chance]) =>
		chance === 3
			? { type: 'delete', kind: kindName(value), namespace: value.metadata.namespace, name: value.metadata.name }
			: { type: 'set', resource: value },
	);

/** Batches of changes: the first makes the cluster, the others happen to it. */
export const history: fc.Arbitrary<readonly (readonly Change[])[]> = fc
	.tuple(
		fc.array(namespaceProfile, { minLength: 2, maxLength: 4 }),
		fc.array(endpoint, { minLength: 2, maxLength: 5 }),
		fc.array(fc.oneof(networkPolicy, globalNetworkPolicy, kubernetesPolicy), { minLength: 1, maxLength: 5 }),
		fc.array(fc.oneof(accountProfile, networkSet, tier, pool), { maxLength: 5 }),
		fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
	)
	.map(([profiles, endpoints, policies, others, later]) => [
		[...profiles, ...endpoints, ...policies, ...others].map((value) => ({ type: 'set', resource: value })),
		...later,
	]);

const packetPort = fc.constantFrom(...PORTS);

/** A packet between addresses that the clusters use. */
export const packet: fc.Arbitrary<Packet> = fc
	.tuple(
		fc.boolean(),
		fc.nat(ADDRESSES_4.length),
		fc.nat(ADDRESSES_4.length),
		fc.constantFrom(6, 6, 6, 17, 17, 132, 1, 58, 47),
		packetPort,
		packetPort,
		fc.constantFrom(8, 128, 3),
		fc.constantFrom(0, 1),
	)
	.map(([isIpv6, from, to, number, sourcePort, destinationPort, icmpType, icmpCode]) => {
		const addresses: readonly Ip[] = (isIpv6 ? [...ADDRESSES_6, OUTSIDE[1]] : [...ADDRESSES_4, OUTSIDE[0]]).map((address) =>
			ip(address as string),
		);
		const base = {
			source: addresses[from % addresses.length] as Ip,
			destination: addresses[to % addresses.length] as Ip,
			protocol: number,
		};
		if (number === 1 || number === 58) return { ...base, icmpType, icmpCode };
		return number === 47 ? base : { ...base, sourcePort, destinationPort };
	});

/** The kind by which a change names an object: that of Kubernetes has the same name as Calico's. */
export function kindName(value: AnyResource | KubernetesNetworkPolicy): string {
	return value.apiVersion === 'networking.k8s.io/v1' ? 'KubernetesNetworkPolicy' : value.kind;
}

function profile(name: string, spec: Profile['spec']): Profile {
	return { apiVersion: API_VERSION, kind: 'Profile', metadata: { name }, spec };
}

/** Without the fields that are undefined. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
	return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
		[K in keyof T]: Exclude<T[K], undefined>;
	};
}
