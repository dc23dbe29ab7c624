import { bgpConfiguration } from './kinds/bgp-configuration.ts';
import { bgpFilter } from './kinds/bgp-filter.ts';
import { bgpPeer } from './kinds/bgp-peer.ts';
import { clusterInformation } from './kinds/cluster-information.ts';
import { felixConfiguration } from './kinds/felix-configuration.ts';
import { ipPool } from './kinds/ip-pool.ts';
import { ipReservation } from './kinds/ip-reservation.ts';
import { ipamConfiguration } from './kinds/ipam-configuration.ts';
import { globalNetworkPolicy, networkPolicy } from './kinds/network-policy.ts';
import { globalNetworkSet, networkSet } from './kinds/network-set.ts';
import { node } from './kinds/node.ts';
import { profile } from './kinds/profile.ts';
import { tier } from './kinds/tier.ts';
import { workloadEndpoint } from './kinds/workload-endpoint.ts';
import type { Kind } from './schema/kind.ts';

const TABLE = {
	BGPConfiguration: bgpConfiguration,
	BGPFilter: bgpFilter,
	BGPPeer: bgpPeer,
	ClusterInformation: clusterInformation,
	FelixConfiguration: felixConfiguration,
	GlobalNetworkPolicy: globalNetworkPolicy,
	GlobalNetworkSet: globalNetworkSet,
	IPAMConfiguration: ipamConfiguration,
	IPPool: ipPool,
	IPReservation: ipReservation,
	NetworkPolicy: networkPolicy,
	NetworkSet: networkSet,
	Node: node,
	Profile: profile,
	Tier: tier,
	WorkloadEndpoint: workloadEndpoint,
} as const;

export type KindName = keyof typeof TABLE;
export type ResourceOf<Name extends KindName> = (typeof TABLE)[Name] extends Kind<infer R> ? R : never;
export type AnyResource = { [Name in KindName]: ResourceOf<Name> }[KindName];

/** Every kind, by its name. What the project knows of a kind, it knows from here. */
export const KINDS: { readonly [Name in KindName]: Kind<ResourceOf<Name>> } = TABLE;

export type BGPConfiguration = ResourceOf<'BGPConfiguration'>;
export type BGPFilter = ResourceOf<'BGPFilter'>;
export type BGPPeer = ResourceOf<'BGPPeer'>;
export type ClusterInformation = ResourceOf<'ClusterInformation'>;
export type FelixConfiguration = ResourceOf<'FelixConfiguration'>;
export type GlobalNetworkPolicy = ResourceOf<'GlobalNetworkPolicy'>;
export type GlobalNetworkSet = ResourceOf<'GlobalNetworkSet'>;
export type IPAMConfiguration = ResourceOf<'IPAMConfiguration'>;
export type IPPool = ResourceOf<'IPPool'>;
export type IPReservation = ResourceOf<'IPReservation'>;
export type NetworkPolicy = ResourceOf<'NetworkPolicy'>;
export type NetworkSet = ResourceOf<'NetworkSet'>;
export type Node = ResourceOf<'Node'>;
export type Profile = ResourceOf<'Profile'>;
export type Tier = ResourceOf<'Tier'>;
export type WorkloadEndpoint = ResourceOf<'WorkloadEndpoint'>;

/** The kind of a name, for code that treats all kinds alike. */
export function kindOf(name: KindName): Kind<AnyResource> {
	return KINDS[name];
}

export const KIND_NAMES = Object.keys(TABLE) as readonly KindName[];

export function isKindName(name: string): name is KindName {
	return Object.hasOwn(TABLE, name);
}

const BY_ALIAS = new Map(KIND_NAMES.flatMap((name) => KINDS[name].aliases.map((alias) => [alias, name] as const)));

/** The kind that a word on the command line means, in any case: its name, plural or one of its short forms. */
export function kindByAlias(word: string): KindName | undefined {
	return BY_ALIAS.get(word.toLowerCase());
}

/** Every word that {@link kindByAlias} understands. */
export function kindAliases(): readonly string[] {
	return [...BY_ALIAS.keys()];
}
