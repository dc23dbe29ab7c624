/**
 * What the calculation graph gives out: the desired policy of the local endpoints, as plain data. The dataplane
 * turns it into the kernel's terms; the verdict engine evaluates it; both must mean the same by it.
 */
import type { Cidr, Ip, Mac } from '#net';

/** `<namespace>/<WorkloadEndpoint name>`. */
export type EndpointId = string & { readonly __endpointId: unique symbol };

/** `<Kind>/<namespace or empty>/<name>`: a policy or a profile. */
export type PolicyId = string & { readonly __policyId: unique symbol };

/** `s:…` for a selector, `n:…` for a named port with its selector (`datamodel` of the IP-set IDs). */
export type IpSetId = string & { readonly __ipSetId: unique symbol };

export type Direction = 'ingress' | 'egress';

/** A change of desired state; everything absent from it is as before. References always resolve once it is applied whole. */
export interface PolicyDelta {
	/** New sets come with all members; known ones with the difference. Null removes the set. */
	readonly ipSets: ReadonlyMap<IpSetId, IpSetChange | null>;
	readonly policies: ReadonlyMap<PolicyId, CompiledPolicy | null>;
	readonly endpoints: ReadonlyMap<EndpointId, EndpointPolicy | null>;
	/** Present when any pool changed. */
	readonly pools?: PoolSets;
	/** True in the first delta after every input has been seen once, and in all later ones. */
	readonly inSync: boolean;
}

export interface IpSetChange {
	readonly type: IpSetType;
	/** True: `added` is the whole of a new set. */
	readonly isNew: boolean;
	readonly added: readonly IpSetMember[];
	readonly removed: readonly IpSetMember[];
}

/** `net`: members are prefixes, none of which covers another. `ip-port`: members are address, protocol and port. */
export type IpSetType = 'net' | 'ip-port';

/** `net` sets: a {@link Cidr}. `ip-port` sets: `<address>,<tcp|udp|sctp>:<port>`. */
export type IpSetMember = string;

/** Every pool of workloads, and those whose traffic to outside is masqueraded; none covers another. Disabled ones still have addresses in use. */
export interface PoolSets {
	readonly all: readonly Cidr[];
	readonly masquerade: readonly Cidr[];
}

/** A local workload endpoint and the ordered policy that applies to it. */
export interface EndpointPolicy {
	readonly id: EndpointId;
	readonly interfaceName: string;
	readonly mac: Mac | undefined;
	/** Addresses of the endpoint, /32 and /128. */
	readonly nets: readonly Cidr[];
	/** Further source prefixes it may use. */
	readonly allowedSources: readonly Cidr[];
	readonly ingress: PolicyList;
	readonly egress: PolicyList;
}

/** Evaluated in order: tiers, then profiles, then deny. */
export interface PolicyList {
	readonly tiers: readonly TierPolicies[];
	/** Their rules follow one another; a Pass has no tier to go to and ends in the deny after them. */
	readonly profiles: readonly PolicyId[];
}

/** A tier that has at least one policy for this endpoint in this direction. */
export interface TierPolicies {
	readonly name: string;
	/** What happens at the end of the tier when nothing decided. */
	readonly defaultAction: 'Deny' | 'Pass';
	readonly policies: readonly PolicyId[];
}

export interface CompiledPolicy {
	readonly id: PolicyId;
	/** Empty for a profile. */
	readonly tier: string;
	readonly ingress: readonly CompiledRule[];
	readonly egress: readonly CompiledRule[];
}

/** One rule; all criteria must hold. */
export interface CompiledRule {
	readonly action: 'Allow' | 'Deny' | 'Pass' | 'Log';
	readonly ipVersion: 4 | 6 | undefined;
	/** IANA protocol number. */
	readonly protocol: number | undefined;
	readonly notProtocol: number | undefined;
	readonly icmp: IcmpMatch | undefined;
	readonly notIcmp: IcmpMatch | undefined;
	readonly source: EntityMatch;
	readonly destination: EntityMatch;
	/** Position in the API object, for explanations: index into `spec.ingress` or `spec.egress`. */
	readonly index: number;
}

export interface IcmpMatch {
	readonly type: number;
	readonly code: number | undefined;
}

/**
 * One side of a packet. Within a list any member may match; the lists are ANDed. `ports` and `namedPorts` together
 * are one criterion. An empty list is no criterion.
 */
export interface EntityMatch {
	readonly nets: readonly Cidr[];
	readonly notNets: readonly Cidr[];
	/** Every one of these sets must hold the address. */
	readonly sets: readonly IpSetId[];
	readonly notSets: readonly IpSetId[];
	readonly ports: readonly PortRange[];
	readonly notPorts: readonly PortRange[];
	readonly namedPorts: readonly IpSetId[];
	readonly notNamedPorts: readonly IpSetId[];
}

/** Inclusive. */
export interface PortRange {
	readonly min: number;
	readonly max: number;
}

/** A packet as policy sees it. */
export interface Packet {
	readonly source: Ip;
	readonly destination: Ip;
	readonly protocol: number;
	readonly sourcePort?: number;
	readonly destinationPort?: number;
	readonly icmpType?: number;
	readonly icmpCode?: number;
}

/** The outcome for one direction at one endpoint. */
export interface Verdict {
	readonly allowed: boolean;
	/** Each rule or default that took part, in order; the last one decided. */
	readonly steps: readonly VerdictStep[];
}

export interface VerdictStep {
	readonly tier: string | undefined;
	readonly policy: PolicyId | undefined;
	/** Index of the rule in the policy; undefined for an end of tier or of profiles. */
	readonly rule: number | undefined;
	readonly action: 'Allow' | 'Deny' | 'Pass' | 'Log';
	/** In words: what matched and what it did. */
	readonly reason: string;
}
