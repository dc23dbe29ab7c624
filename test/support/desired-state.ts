/** Desired state put together by hand, and given out as deltas. */
import { type Cidr, cidr, hostCidr } from '#net';
import type {
	CompiledPolicy,
	CompiledRule,
	EndpointId,
	EndpointPolicy,
	EntityMatch,
	IpSetChange,
	IpSetId,
	IpSetType,
	PolicyDelta,
	PolicyId,
	PolicyList,
	PoolSets,
} from '#policy';
import type { Pod } from './pod-bed.ts';

const NO_CRITERIA: EntityMatch = {
	nets: [],
	notNets: [],
	sets: [],
	notSets: [],
	ports: [],
	notPorts: [],
	namedPorts: [],
	notNamedPorts: [],
};

export type RuleSketch = Omit<Partial<CompiledRule>, 'source' | 'destination'> & {
	readonly action: CompiledRule['action'];
	readonly source?: Partial<EntityMatch>;
	readonly destination?: Partial<EntityMatch>;
};

/** A rule with the criteria given and no others. */
export function rule(sketch: RuleSketch): CompiledRule {
	return {
		ipVersion: undefined,
		protocol: undefined,
		notProtocol: undefined,
		icmp: undefined,
		notIcmp: undefined,
		index: 0,
		...sketch,
		source: { ...NO_CRITERIA, ...sketch.source },
		destination: { ...NO_CRITERIA, ...sketch.destination },
	};
}

export const ALLOW = rule({ action: 'Allow' });
export const DENY = rule({ action: 'Deny' });
export const TCP = 6;
export const UDP = 17;

export function setId(name: string): IpSetId {
	return name as IpSetId;
}

/** The profile that allows everything. */
export const OPEN: PolicyList = { tiers: [], profiles: ['Profile//open' as PolicyId] };

/** Policies of one tier that denies in the end. */
export function tier(...names: readonly string[]): PolicyList {
	return { tiers: [{ name: 'default', defaultAction: 'Deny', policies: names.map(policyName) }], profiles: [] };
}

export function policyName(name: string): PolicyId {
	return `GlobalNetworkPolicy//${name}` as PolicyId;
}

export class DesiredState {
	readonly #ipSets = new Map<IpSetId, { readonly type: IpSetType; members: readonly string[] }>();
	#changedSets = new Map<IpSetId, IpSetChange | null>();
	#policies = new Map<PolicyId, CompiledPolicy | null>();
	#endpoints = new Map<EndpointId, EndpointPolicy | null>();
	#pools: PoolSets | undefined;

	constructor() {
		const id = 'Profile//open' as PolicyId;
		this.#policies.set(id, { id, tier: '', ingress: [ALLOW], egress: [ALLOW] });
	}

	ipSet(name: string, type: IpSetType, members: readonly string[]): this {
		const id = setId(name);
		const before = this.#ipSets.get(id)?.members ?? [];
		const added = members.filter((member) => !before.includes(member));
		const removed = before.filter((member) => !members.includes(member));
		this.#changedSets.set(id, { type, isNew: !this.#ipSets.has(id), added, removed });
		this.#ipSets.set(id, { type, members });
		return this;
	}

	policy(name: string, rules: { readonly ingress?: readonly CompiledRule[]; readonly egress?: readonly CompiledRule[] }): this {
		const id = policyName(name);
		this.#policies.set(id, { id, tier: 'default', ingress: rules.ingress ?? [], egress: rules.egress ?? [] });
		return this;
	}

	removePolicy(name: string): this {
		this.#policies.set(policyName(name), null);
		return this;
	}

	/** By default everything is open to and from the pod. */
	endpoint(
		pod: Pod,
		lists: { readonly ingress?: PolicyList; readonly egress?: PolicyList } = {},
		extra: Partial<EndpointPolicy> = {},
	): this {
		const id = endpointIdOf(pod);
		this.#endpoints.set(id, {
			id,
			interfaceName: pod.interfaceName,
			mac: pod.mac,
			nets: pod.addresses.map(hostCidr),
			allowedSources: [],
			ingress: lists.ingress ?? OPEN,
			egress: lists.egress ?? OPEN,
			...extra,
		});
		return this;
	}

	removeEndpoint(pod: Pod): this {
		this.#endpoints.set(endpointIdOf(pod), null);
		return this;
	}

	pools(all: readonly string[], masquerade: readonly string[]): this {
		const prefixes = (texts: readonly string[]): Cidr[] => texts.map((text) => cidr(text));
		this.#pools = { all: prefixes(all), masquerade: prefixes(masquerade) };
		return this;
	}

	/** What was changed since the last call. */
	take(inSync = true): PolicyDelta {
		const pools = this.#pools;
		const delta = {
			ipSets: this.#changedSets,
			policies: this.#policies,
			endpoints: this.#endpoints,
			...(pools === undefined ? {} : { pools }),
			inSync,
		};
		this.#changedSets = new Map();
		this.#policies = new Map();
		this.#endpoints = new Map();
		this.#pools = undefined;
		return delta;
	}
}

export function endpointIdOf(pod: Pod): EndpointId {
	return `test/${pod.interfaceName}` as EndpointId;
}
