/** Random desired state over a small universe, so that everything meets everything. */

import fc from 'fast-check';
import { cidr, type Ip, ip } from '#net';
import type {
	CompiledPolicy,
	CompiledRule,
	EndpointId,
	EndpointPolicy,
	EntityMatch,
	IpSetChange,
	IpSetId,
	Packet,
	PolicyDelta,
	PolicyId,
	PolicyList,
	PoolSets,
	PortRange,
} from '#policy';
import { widestNets } from '../render/match.ts';

/** Everything that deltas carry. */
export interface State {
	readonly ipSets: ReadonlyMap<IpSetId, { readonly type: 'net' | 'ip-port'; readonly members: ReadonlySet<string> }>;
	readonly policies: ReadonlyMap<PolicyId, CompiledPolicy>;
	readonly endpoints: ReadonlyMap<EndpointId, EndpointPolicy>;
	readonly pools: PoolSets;
}

const V4 = [0, 1, 2, 3, 4, 5].map((last) => ip(`10.0.0.${last}`));
const V6 = [0, 1, 2, 3, 4, 5].map((last) => ip(`fd00::${last}`));
const NETS = [
	'10.0.0.0/30',
	'10.0.0.4/31',
	'10.0.0.1/32',
	'10.0.0.0/24',
	'0.0.0.0/0',
	'fd00::/126',
	'fd00::4/127',
	'fd00::1/128',
	'fd00::/16',
	'::/0',
].map((text) => cidr(text));
const HOSTS = [...V4, ...V6].map((address) => cidr(address));
const PORTS = [1, 2, 3, 80];
const NET_SETS = ['s:a', 's:b', 's:c'] as IpSetId[];
const PORT_SETS = ['n:a', 'n:b'] as IpSetId[];
const POLICIES = ['NetworkPolicy/x/a', 'NetworkPolicy/x/b', 'GlobalNetworkPolicy//c', 'NetworkPolicy/y/d'] as PolicyId[];
const PROFILES = ['Profile//kns.x', 'Profile//kns.y'] as PolicyId[];

const some = <T>(values: readonly T[], maxLength: number): fc.Arbitrary<T[]> => fc.uniqueArray(fc.constantFrom(...values), { maxLength });
/** Usually nothing: rules with every criterion match nothing. */
const rarely = <T>(values: readonly T[], maxLength: number): fc.Arbitrary<T[]> =>
	fc.oneof({ weight: 14, arbitrary: fc.constant<T[]>([]) }, { weight: 2, arbitrary: some(values, maxLength) });

const anyRange: fc.Arbitrary<PortRange> = fc
	.tuple(fc.constantFrom(...PORTS), fc.constantFrom(...PORTS))
	.map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));
const rarelyRanges = fc.oneof(
	{ weight: 10, arbitrary: fc.constant<PortRange[]>([]) },
	{ weight: 2, arbitrary: fc.array(anyRange, { maxLength: 3 }) },
);

const anyEntity: fc.Arbitrary<EntityMatch> = fc.record({
	nets: rarely(NETS, 3),
	notNets: rarely(NETS, 2),
	sets: rarely(NET_SETS, 2),
	notSets: rarely(NET_SETS, 2),
	ports: rarelyRanges,
	notPorts: rarelyRanges,
	namedPorts: rarely(PORT_SETS, 2),
	notNamedPorts: rarely(PORT_SETS, 2),
});

const anyIcmp = fc.oneof(
	{ weight: 8, arbitrary: fc.constant(undefined) },
	{ weight: 1, arbitrary: fc.record({ type: fc.constantFrom(0, 8), code: fc.constantFrom(undefined, 0, 1) }) },
);

const anyRule: fc.Arbitrary<CompiledRule> = fc.record({
	action: fc.constantFrom('Allow' as const, 'Deny' as const, 'Pass' as const, 'Log' as const),
	ipVersion: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, undefined, 4 as const, 6 as const),
	protocol: fc.constantFrom(undefined, undefined, undefined, undefined, 6, 6, 17, 1, 58, 132, 59),
	notProtocol: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, undefined, 6, 1),
	icmp: anyIcmp,
	notIcmp: anyIcmp,
	source: anyEntity,
	destination: anyEntity,
	index: fc.constant(0),
});

const anyRules = fc.array(anyRule, { maxLength: 4 });

function anyPolicy(id: PolicyId): fc.Arbitrary<CompiledPolicy> {
	return fc.record({ id: fc.constant(id), tier: fc.constant('default'), ingress: anyRules, egress: anyRules });
}

export const anyList: fc.Arbitrary<PolicyList> = fc.record({
	tiers: fc.array(
		fc.record({
			name: fc.constantFrom('admin', 'default'),
			defaultAction: fc.constantFrom('Deny' as const, 'Pass' as const),
			policies: fc.uniqueArray(fc.constantFrom(...POLICIES), { minLength: 1, maxLength: 3 }),
		}),
		{ maxLength: 2 },
	),
	profiles: some(PROFILES, 2),
});

const INTERFACES = ['cali1', 'cali2', 'cali3'];

function anyEndpoint(id: EndpointId): fc.Arbitrary<EndpointPolicy> {
	return fc.record({
		id: fc.constant(id),
		interfaceName: fc.constantFrom(...INTERFACES, 'eth0'),
		mac: fc.constant(undefined),
		nets: some(HOSTS, 3),
		allowedSources: rarely(NETS, 3),
		ingress: anyList,
		egress: anyList,
	});
}

const ENDPOINTS = ['x/a', 'x/b', 'y/a', 'y/b'] as EndpointId[];

const anyPools: fc.Arbitrary<PoolSets> = some(NETS, 3).chain((all) =>
	fc.subarray(all).map((masquerade) => ({ all: widestNets(all), masquerade: widestNets(masquerade) })),
);

/** Members for all sets; those that no policy uses are left out of the state, as the calculation graph does. */
const anyMembers = fc.record({
	nets: fc.tuple(...NET_SETS.map(() => fc.oneof(some(HOSTS, 6), some([...HOSTS, ...NETS], 6)).map(widestNets))),
	ports: fc.tuple(
		...PORT_SETS.map(() =>
			some(
				[...V4, ...V6].flatMap((address) => ['tcp:80', 'udp:80', 'tcp:1'].map((port) => `${address},${port}`)),
				8,
			),
		),
	),
});

export const anyState: fc.Arbitrary<State> = fc
	.record({
		members: anyMembers,
		policies: fc.tuple(...[...POLICIES, ...PROFILES].map(anyPolicy)),
		endpoints: fc.tuple(...ENDPOINTS.map((id) => fc.option(anyEndpoint(id), { nil: undefined }))),
		pools: anyPools,
	})
	.map(({ members, policies, endpoints, pools }) => {
		const there = endpoints.filter((endpoint) => endpoint !== undefined);
		const lists = there.flatMap(({ ingress, egress }) => [ingress, egress]);
		const usedPolicies = new Set(lists.flatMap(({ tiers, profiles }) => [...tiers.flatMap((tier) => tier.policies), ...profiles]));
		const active = policies.filter(({ id }) => usedPolicies.has(id));
		const usedSets = new Set(active.flatMap(setsOf));
		const sets: [IpSetId, { type: 'net' | 'ip-port'; members: Set<string> }][] = [
			...NET_SETS.map((id, index): [IpSetId, { type: 'net'; members: Set<string> }] => [
				id,
				{ type: 'net', members: new Set<string>(members.nets[index]) },
			]),
			...PORT_SETS.map((id, index): [IpSetId, { type: 'ip-port'; members: Set<string> }] => [
				id,
				{ type: 'ip-port', members: new Set(members.ports[index]) },
			]),
		];
		return {
			ipSets: new Map(sets.filter(([id]) => usedSets.has(id))),
			policies: new Map(active.map((policy) => [policy.id, policy])),
			endpoints: new Map(there.map((endpoint) => [endpoint.id, endpoint])),
			pools,
		};
	});

function setsOf({ ingress, egress }: CompiledPolicy): IpSetId[] {
	return [...ingress, ...egress].flatMap(({ source, destination }) =>
		[source, destination].flatMap((side) => [...side.sets, ...side.notSets, ...side.namedPorts, ...side.notNamedPorts]),
	);
}

export const EMPTY_STATE: State = { ipSets: new Map(), policies: new Map(), endpoints: new Map(), pools: { all: [], masquerade: [] } };

/** The delta that leads from one state to another. */
export function deltaBetween(before: State, after: State): PolicyDelta {
	const ipSets = new Map<IpSetId, IpSetChange | null>();
	for (const id of before.ipSets.keys()) if (!after.ipSets.has(id)) ipSets.set(id, null);
	for (const [id, { type, members }] of after.ipSets) {
		const old = before.ipSets.get(id)?.members;
		const added = [...members].filter((member) => old?.has(member) !== true);
		const removed = [...(old ?? [])].filter((member) => !members.has(member));
		if (old === undefined || added.length + removed.length > 0) ipSets.set(id, { type, isNew: old === undefined, added, removed });
	}
	return {
		ipSets,
		policies: changes(before.policies, after.policies),
		endpoints: changes(before.endpoints, after.endpoints),
		pools: after.pools,
		inSync: true,
	};
}

function changes<K, V>(before: ReadonlyMap<K, V>, after: ReadonlyMap<K, V>): Map<K, V | null> {
	const result = new Map<K, V | null>();
	for (const key of before.keys()) if (!after.has(key)) result.set(key, null);
	for (const [key, value] of after) if (before.get(key) !== value) result.set(key, value);
	return result;
}

/** A packet between addresses of the universe; ports and ICMP types where its protocol has them. */
export const anyPacket: fc.Arbitrary<Packet> = fc.constantFrom(4, 6).chain((family) => {
	const addresses: readonly Ip[] = family === 4 ? V4 : V6;
	const icmp = family === 4 ? 1 : 58;
	return fc
		.record({
			source: fc.constantFrom(...addresses),
			destination: fc.constantFrom(...addresses),
			protocol: fc.constantFrom(6, 6, 17, 132, icmp, 47, 59),
			port: fc.tuple(fc.constantFrom(...PORTS, 79, 81), fc.constantFrom(...PORTS, 79, 81)),
			icmpType: fc.constantFrom(0, 8, 3),
			icmpCode: fc.constantFrom(0, 1, 2),
		})
		.map(({ source, destination, protocol, port, icmpType, icmpCode }): Packet => {
			if (protocol === icmp) return { source, destination, protocol, icmpType, icmpCode };
			if (![6, 17, 132].includes(protocol)) return { source, destination, protocol };
			return { source, destination, protocol, sourcePort: port[0], destinationPort: port[1] };
		});
});
