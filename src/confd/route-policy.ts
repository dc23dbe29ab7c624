import type { FilterRule, OriginatedRoute, RouteFilter } from '#bgp';
import { addressBits, type Cidr, cidrFamily, cidrParts, type Family, parseCidr } from '#net';
import type { IPPool } from '#resources';
import type { ClusterBgp, Speaker } from './speaker.ts';
import type { BgpState } from './state.ts';

/** Tunnels of this node: a route out of one is of no use to others in the same AS. */
const TUNNEL_INTERFACES = ['*.cali', '*.calico', 'tunl0'];

/** The kernel's metric of a route without a priority of its own. */
const NORMAL_PRIORITY = 1024;

/** Label of nodes that announce no service addresses. */
const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

const ACCEPT_ALL: RouteFilter = { rules: [], otherwise: 'accept' };

/** The route policy of one node: what it announces, to whom, and what it writes to its kernel. */
export interface RoutePolicy {
	/** What peers announce is taken as it is: the fabric's routers and reflectors are trusted. */
	readonly importFilter: RouteFilter;
	readonly exportFilter: (family: Family, peer: 'ibgp' | 'ebgp') => RouteFilter;
	readonly kernelFilter: RouteFilter;
	readonly originate: readonly OriginatedRoute[];
	readonly metric: Readonly<Record<Family, number>>;
}

interface Pool {
	readonly cidr: Cidr;
	readonly spec: IPPool['spec'];
}

/** Computes the route policy of a node. */
export function routePolicyOf(state: BgpState, self: Speaker, cluster: ClusterBgp): RoutePolicy {
	const pools = enabledPools(state);
	const blocks = [...state.blocks].toSorted();
	const services = serviceRanges(cluster);
	const metric = {
		4: cluster.spec.ipv4NormalRoutePriority ?? NORMAL_PRIORITY,
		6: cluster.spec.ipv6NormalRoutePriority ?? NORMAL_PRIORITY,
	};
	// A range of one address is announced only by nodes that have such a service, and this node's services are not known here.
	const announced = self.labels.get(EXCLUDE_LABEL) === 'true' ? [] : services.all.filter((range) => !isHostRoute(range));
	const exportFilters = new Map<string, RouteFilter>();
	return {
		importFilter: ACCEPT_ALL,
		exportFilter: (family, peer) => {
			const key = `${family} ${peer}`;
			let filter = exportFilters.get(key);
			if (filter === undefined) {
				const rules = [
					...localPreference(metric[family]),
					...rejectWithin(pools.filter((pool) => pool.spec.disableBGPExport === true).map((pool) => pool.cidr)),
					...(peer === 'ibgp' ? TUNNEL_INTERFACES.map((name): FilterRule => ({ match: { interface: name }, action: 'reject' })) : []),
					{ match: { interface: 'bpf*.cali' }, action: 'reject' } as const,
					...communities(state, self, cluster),
					...blocks.flatMap(aggregate),
					...acceptWithin(announced),
					...(self.clusterId === undefined ? [] : acceptWithin(services.external)),
					...acceptWithin(pools.map((pool) => pool.cidr)),
				];
				filter = { rules: rules.filter((rule) => appliesTo(rule, family)), otherwise: 'reject' };
				exportFilters.set(key, filter);
			}
			return filter;
		},
		kernelFilter: {
			rules: [
				...rejectWithin(services.all),
				// Routes into tunnels belong to the dataplane.
				...rejectWithin(pools.filter((pool) => isTunnelled(pool)).map((pool) => pool.cidr)),
			],
			otherwise: 'accept',
		},
		// A block of one address is its endpoint's route, learned from the kernel.
		originate: [
			...blocks.filter((block) => !isHostRoute(block)).map((prefix) => ({ prefix, kind: 'block' }) as const),
			...announced.map((prefix) => ({ prefix, kind: 'service' }) as const),
		],
		metric,
	};
}

/** Enabled pools that have a readable prefix, in the order of their prefixes, so that equal states give equal filters. */
function enabledPools(state: BgpState): Pool[] {
	return [...state.pools.values()]
		.flatMap((pool) => {
			const cidr = parseCidr(pool.spec.cidr);
			return cidr === undefined || pool.spec.disabled === true ? [] : [{ cidr, spec: pool.spec }];
		})
		.toSorted((a, b) => (a.cidr < b.cidr ? -1 : 1));
}

/** Whether any of a pool's traffic between nodes goes through a tunnel. */
export function isTunnelled({ spec }: Pick<IPPool, 'spec'>): boolean {
	return [spec.ipipMode, spec.vxlanMode].some((mode) => mode !== undefined && mode !== 'Never');
}

function serviceRanges(cluster: ClusterBgp): { readonly all: readonly Cidr[]; readonly external: readonly Cidr[] } {
	const { serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs, serviceLoadBalancerAggregation } = cluster.spec;
	const loadBalancer = serviceLoadBalancerAggregation === 'Disabled' ? [] : ranges(serviceLoadBalancerIPs);
	const external = [...ranges(serviceExternalIPs), ...loadBalancer];
	return { all: unique([...ranges(serviceClusterIPs), ...external]), external: unique(external) };
}

function ranges(list: readonly { readonly cidr?: string | undefined }[] | undefined): Cidr[] {
	return (list ?? []).flatMap((entry) => parseCidr(entry.cidr ?? '') ?? []);
}

function unique(list: readonly Cidr[]): Cidr[] {
	return [...new Set(list)].toSorted();
}

/** How a route's priority, its metric in the kernel, travels inside an AS: the lower the priority, the more it is preferred. */
export function localPreferenceOf(priority: number): number {
	return 2 ** 31 - 1 - priority;
}

/** A route that comes from BGP has its LOCAL_PREF already. */
function localPreference(metric: number): FilterRule[] {
	return (['originated', 'kernel', 'direct', 'static'] as const).map((source) => ({
		match: { source },
		set: { localPreference: localPreferenceOf(metric) },
	}));
}

/** The block stands for everything in it; an address lent to another node is in none of our blocks and goes its own way. */
function aggregate(block: Cidr): FilterRule[] {
	return [
		{ match: { equals: block }, action: 'accept' },
		{ match: { within: block }, action: 'reject' },
	];
}

function communities(state: BgpState, self: Speaker, cluster: ClusterBgp): FilterRule[] {
	const named = new Map((cluster.spec.communities ?? []).map(({ name, value }) => [name, value]));
	const advertisements =
		state.configurations.get(`node.${self.name}`)?.spec.prefixAdvertisements ?? cluster.spec.prefixAdvertisements ?? [];
	return advertisements.flatMap((advertisement) => {
		const prefix = parseCidr(advertisement.cidr ?? '');
		const values = (advertisement.communities ?? []).flatMap((community) =>
			isCommunity(community) ? community : (named.get(community) ?? []),
		);
		if (prefix === undefined || values.length === 0) return [];
		return [{ match: { within: prefix }, set: { addCommunities: [...new Set(values)].toSorted() } }];
	});
}

/** A community as such, not the name of one. */
function isCommunity(text: string): boolean {
	return /^[0-9]+(?::[0-9]+){1,2}$/.test(text);
}

function acceptWithin(prefixes: readonly Cidr[]): FilterRule[] {
	return prefixes.map((within) => ({ match: { within }, action: 'accept' }));
}

function rejectWithin(prefixes: readonly Cidr[]): FilterRule[] {
	return prefixes.map((within) => ({ match: { within }, action: 'reject' }));
}

/** Whether the rule can match a route of the family; the others are left out, which keeps filters short. */
function appliesTo(rule: FilterRule, family: Family): boolean {
	const prefix = rule.match.within ?? rule.match.equals;
	return prefix === undefined || cidrFamily(prefix) === family;
}

function isHostRoute(prefix: Cidr): boolean {
	const { family, length } = cidrParts(prefix);
	return length === addressBits(family);
}
