import { createHash } from 'node:crypto';
import type { Family } from '#net';
import type { Direction, IpSetId, PolicyId, PolicyList, TierPolicies } from '#policy';

/** Names of the sets and chains that do not depend on policy. */
export const WORKLOAD_INTERFACES = 'wl_ifs';
/** Of the arp table: interface and address of each workload. */
export const WORKLOAD_ADDRESSES = 'wl_addrs';
export const NAT_CHAIN = 'b_nat_post';

/** Addresses that a workload may send from. */
export function sourcesSet(family: Family): string {
	return `wl_src${family}`;
}

/** Further prefixes that a workload may send from. */
export function sourceNetsSet(family: Family): string {
	return `wl_srcnet${family}`;
}

/** The map from interfaces to policy lists: `egress` for packets from workloads, `ingress` for those to them. */
export function dispatchMap(direction: Direction, family: Family): string {
	return `${direction === 'egress' ? 'wl_from' : 'wl_to'}${family}`;
}

export function poolsSet(family: Family): string {
	return `pools${family}`;
}

export function masqueradeSet(family: Family): string {
	return `masq${family}`;
}

/** The chain of one direction of a policy; it stays the same while the policy is edited. */
export function policyChain(direction: Direction, family: Family, id: PolicyId): string {
	return `p${side(direction, family)}-${digest(id)}`;
}

/** The chain of a tier with these policies, shared by all lists that have it. */
export function tierChain(direction: Direction, family: Family, tier: TierPolicies): string {
	return `t${side(direction, family)}-${digest(JSON.stringify([tier.name, tier.defaultAction, tier.policies]))}`;
}

/** The chain of a policy list, shared by all endpoints that have it. */
export function listChain(direction: Direction, family: Family, list: PolicyList): string {
	const tiers = list.tiers.map((tier) => [tier.name, tier.defaultAction, tier.policies]);
	return `l${side(direction, family)}-${digest(JSON.stringify([tiers, list.profiles]))}`;
}

/** How members of an IP set are held: `host` as a hash of addresses, `prefix` as ranges, `address-port` as a hash of triples. */
export type IpSetForm = 'host' | 'prefix' | 'address-port';

const FORM_LETTERS: Readonly<Record<IpSetForm, string>> = { host: 's', prefix: 'r', 'address-port': 'n' };

/** The set that holds the members of one family and form of an IP set. */
export function ipSetName(form: IpSetForm, family: Family, id: IpSetId): string {
	return `${FORM_LETTERS[form]}${family}-${digest(id)}`;
}

function side(direction: Direction, family: Family): string {
	return `${direction === 'ingress' ? 'i' : 'e'}${family}`;
}

/** 80 bits: too many to find by trial a name whose chain would be another policy's. */
function digest(text: string): string {
	return createHash('sha256').update(text).digest('hex').slice(0, 20);
}
