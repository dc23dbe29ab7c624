/** What a lab consists of, computed from its options alone: names, addresses, pods. Pure. */
import { type Cidr, cidrNth, cidrParts, type Family, type Ip } from '#net';

export interface LabOptions {
	/** Distinguishes labs on one machine; lower-case letters, digits and `-`. */
	readonly name: string;
	readonly nodes: number;
	readonly podsPerNode: number;
	readonly fabric: 'flat' | 'routed';
	readonly ip: '4' | '6' | 'dual';
	/** Which daemon carries the nodes' routes. */
	readonly backend: 'tortie' | 'bird';
}

export const DEFAULT_LAB_NAME = 'lab';

export const DEFAULT_LAB_OPTIONS: LabOptions = {
	name: DEFAULT_LAB_NAME,
	nodes: 3,
	podsPerNode: 3,
	fabric: 'flat',
	ip: '4',
	backend: 'tortie',
};

/** Each lab address is one of a family; a member has one for every family of the lab. */
export type ByFamily<T> = Readonly<Partial<Record<Family, T>>>;

export interface InterfaceAddress {
	readonly address: Ip;
	readonly prefixLength: number;
}

/** One layer-2 segment: a bridge in the namespace of its router, with the nodes on it. */
export interface SegmentPlan {
	/** `fabric`, or `rack-a`, `rack-b`. */
	readonly name: string;
	/** Name under `/run/netns`. */
	readonly namespace: string;
	readonly asNumber: number;
	/** Address of the router on the segment: the nodes' default gateway. */
	readonly gateway: ByFamily<InterfaceAddress>;
	/** Addresses on the link to the other rack's router; none where there is one segment. */
	readonly interRack: ByFamily<InterfaceAddress>;
}

export interface NodePlan {
	readonly name: string;
	readonly namespace: string;
	readonly segment: SegmentPlan;
	readonly addresses: ByFamily<InterfaceAddress>;
}

/** A pod as its creator wants it; the rest comes from the CNI plugin. */
export interface PodSpec {
	readonly namespace: string;
	readonly name: string;
	readonly node: string;
	readonly labels: Readonly<Record<string, string>>;
}

export interface LabPlan {
	readonly options: LabOptions;
	readonly families: readonly Family[];
	readonly segments: readonly SegmentPlan[];
	readonly nodes: readonly NodePlan[];
	readonly pods: readonly PodSpec[];
	readonly pools: ByFamily<Cidr>;
	/** A host beyond the cluster, behind the first segment's router. */
	readonly outside: ByFamily<Ip>;
}

/** The AS number of a cluster in one segment: Calico's default. */
const CLUSTER_AS = 64_512;
const RACK_AS = 64_601;

const SEGMENT_PREFIXES: ByFamily<readonly Cidr[]> = {
	4: ['172.18.0.0/24', '172.18.1.0/24'] as Cidr[],
	6: ['fd00:18::/64', 'fd00:18:0:1::/64'] as Cidr[],
};
const INTER_RACK: ByFamily<Cidr> = { 4: '172.18.255.0/30' as Cidr, 6: 'fd00:18:0:ff::/64' as Cidr };
const POOLS: ByFamily<Cidr> = { 4: '10.244.0.0/16' as Cidr, 6: 'fd00:10:244::/48' as Cidr };
/** Of the ranges for documentation (RFC 5737, RFC 3849), so that nothing real is meant. */
const OUTSIDE: ByFamily<Ip> = { 4: '203.0.113.1' as Ip, 6: '2001:db8:ffff::1' as Ip };

/** The pods of a node take these parts in turn. */
const PARTS = [
	{ namespace: 'shop', app: 'web' },
	{ namespace: 'shop', app: 'client' },
	{ namespace: 'guest', app: 'visitor' },
] as const;

/** The namespaces that the lab's own pods are in. */
export const LAB_NAMESPACES: readonly string[] = [...new Set(PARTS.map(({ namespace }) => namespace))];

export function planLab(options: LabOptions): LabPlan {
	const families: readonly Family[] = options.ip === 'dual' ? [4, 6] : [options.ip === '4' ? 4 : 6];
	const segmentNames = options.fabric === 'flat' ? ['fabric'] : ['rack-a', 'rack-b'];
	const segments = segmentNames.map((name, index): SegmentPlan => {
		return {
			name,
			namespace: namespaceName(options.name, name),
			asNumber: options.fabric === 'flat' ? CLUSTER_AS : RACK_AS + index,
			gateway: byFamily(families, (family) => nthAddress(SEGMENT_PREFIXES[family]?.[index] as Cidr, 1)),
			interRack: options.fabric === 'flat' ? {} : byFamily(families, (family) => nthAddress(INTER_RACK[family] as Cidr, index + 1)),
		};
	});
	const nodes = Array.from({ length: options.nodes }, (_, index): NodePlan => {
		const which = index % segments.length;
		return {
			name: `node${index + 1}`,
			namespace: namespaceName(options.name, `node${index + 1}`),
			segment: segments[which] as SegmentPlan,
			addresses: byFamily(families, (family) => nthAddress(SEGMENT_PREFIXES[family]?.[which] as Cidr, 11 + index)),
		};
	});
	const pods = nodes.flatMap(({ name: node }, nodeIndex) =>
		Array.from({ length: options.podsPerNode }, (_, index): PodSpec => {
			const { namespace, app } = PARTS[index % PARTS.length] as (typeof PARTS)[number];
			const round = Math.floor(index / PARTS.length);
			return { namespace, name: `${app}-${nodeIndex + 1}${round === 0 ? '' : `-${round + 1}`}`, node, labels: { app } };
		}),
	);
	return {
		options,
		families,
		segments,
		nodes,
		pods,
		pools: byFamily(families, (family) => POOLS[family] as Cidr),
		outside: byFamily(families, (family) => OUTSIDE[family] as Ip),
	};
}

/** The name under `/run/netns`; the default lab's are short, for people to type. */
export function namespaceName(labName: string, member: string): string {
	return labName === DEFAULT_LAB_NAME ? `tortie-${member}` : `tortie-${labName}-${member}`;
}

/** `a.b.c.d/len`, as the environment of calico-node takes it. */
export function addressText({ address, prefixLength }: InterfaceAddress): string {
	return `${address}/${prefixLength}`;
}

/** The families in their order, with what a member has of each. */
export function entriesByFamily<T>(values: ByFamily<T>): readonly (readonly [Family, T])[] {
	return ([4, 6] as const).flatMap((family) => {
		const value = values[family];
		return value === undefined ? [] : [[family, value] as const];
	});
}

function byFamily<T>(families: readonly Family[], make: (family: Family) => T): ByFamily<T> {
	return Object.fromEntries(families.map((family) => [family, make(family)]));
}

function nthAddress(prefix: Cidr, index: number): InterfaceAddress {
	return { address: cidrNth(prefix, index), prefixLength: cidrParts(prefix).length };
}
