import type { TortieError } from '#errors';
import {
	type AnyResource,
	DEFAULT_ALLOW_PROFILE,
	type GlobalNetworkPolicy,
	type GlobalNetworkSet,
	type IPPool,
	type NetworkPolicy,
	type NetworkSet,
	type Profile,
	type Tier,
	type WorkloadEndpoint,
} from '#resources';
import type { LabelRecord } from '#selector';
import { ActivePolicies, type RuleSource } from './active-policies.ts';
import type { IpSetView, PolicyState } from './evaluate.ts';
import { type Explanation, explainPacket } from './explain.ts';
import { endpointId, objectKey, policyId, profileId, profileName } from './ids.ts';
import { type PoolInput, type Reading, readEndpoint, readNetworkSet, readPolicy, readPool } from './inputs.ts';
import { widestOf } from './ip-set.ts';
import { IpSets, type Selectable } from './ip-sets.ts';
import { LocalEndpoints } from './local-endpoints.ts';
import { samePlainData } from './plain-data.ts';
import { Sharing } from './sharing.ts';
import type { CompiledPolicy, EndpointId, EndpointPolicy, IpSetId, Packet, PolicyDelta, PolicyId, PoolSets } from './types.ts';

export interface PolicyGraphOptions {
	/** The node whose endpoints get policy; undefined gives it to those of every node, for tools that look at a whole cluster. */
	readonly nodeName: string | undefined;
	/** `Any`: endpoints may ask for further source prefixes; otherwise one that does is absent. */
	readonly workloadSourceSpoofing?: 'Any' | 'Disabled' | undefined;
}

/** An object of the datastore as it is now; null when it is gone. */
export interface ResourceUpdate {
	readonly key: ResourceKey;
	readonly value: AnyResource | null;
}

export interface ResourceKey {
	readonly kind: string;
	/** Undefined for cluster-scoped kinds. */
	readonly namespace?: string | undefined;
	readonly name: string;
}

const ALLOW_ALL: RuleSource = {
	tier: '',
	namespace: undefined,
	ingress: [{ action: 'Allow' }],
	egress: [{ action: 'Allow' }],
	deniesAll: false,
};

/** A profile that an endpoint lists and that is not there denies: nobody knows what it would have allowed. */
const MISSING_PROFILE: RuleSource = { tier: '', namespace: undefined, ingress: [], egress: [], deniesAll: true };

const NO_LABELS: LabelRecord = {};

/**
 * The calculation graph: the datastore's objects in, the policy of the local endpoints out. The work for a change is in
 * proportion to what the change touches. What counts is only what the objects are at a {@link flush}, never how they
 * came to be so; repeated, superfluous and reverted updates do no harm.
 */
export class PolicyGraph implements PolicyState {
	readonly #options: PolicyGraphOptions;
	readonly #ipSets = new IpSets();
	readonly #sharing = new Sharing();
	readonly #endpoints: LocalEndpoints;
	readonly #active: ActivePolicies;
	readonly #profiles = new Map<string, RuleSource>([[DEFAULT_ALLOW_PROFILE, ALLOW_ALL]]);
	readonly #pools = new Map<string, PoolInput>();
	readonly #inputProblems = new Map<string, readonly TortieError[]>();
	readonly #dirtyPolicies = new Set<PolicyId>();
	#givenPools: PoolSets | undefined;
	#arePoolsDirty = true;
	#isInSync = false;

	constructor(options: PolicyGraphOptions) {
		this.#options = options;
		this.#active = new ActivePolicies({ ipSets: this.#ipSets });
		this.#endpoints = new LocalEndpoints({ onPolicyUse: (id) => this.#dirtyPolicies.add(id) });
	}

	/** Takes changes of the datastore in; kinds that policy does not depend on are ignored. */
	update(batch: readonly ResourceUpdate[]): void {
		for (const { key, value } of batch) this.#apply(key, value);
	}

	/** Says that every object has been seen once. Nothing is given out before. */
	setInSync(): void {
		this.#isInSync = true;
	}

	/** The difference between what was given out and what is to be; empty when there is none, or before {@link setInSync}. */
	flush(): PolicyDelta {
		if (!this.#isInSync) return { ipSets: new Map(), policies: new Map(), endpoints: new Map(), inSync: false };
		const endpoints = this.#endpoints.takeChanges();
		for (const id of this.#dirtyPolicies) this.#active.set(id, this.#sourceOf(id));
		this.#dirtyPolicies.clear();
		const pools = this.#takePools();
		return {
			ipSets: this.#ipSets.takeChanges(),
			policies: this.#active.takeChanges(),
			endpoints,
			...(pools !== undefined && { pools }),
			inSync: true,
		};
	}

	/**
	 * What is wrong with objects that count here, each by name, with what is done about it meanwhile. Rules are looked at
	 * only in policies and profiles that a local endpoint has.
	 */
	problems(): readonly TortieError[] {
		return [...[...this.#inputProblems.values()].flat(), ...this.#active.problems()];
	}

	/** The local endpoints as they were last given out. */
	endpoints(): Iterable<EndpointPolicy> {
		return this.#endpoints;
	}

	endpoint(id: EndpointId): EndpointPolicy | undefined {
		return this.#endpoints.get(id);
	}

	policy(id: PolicyId): CompiledPolicy | undefined {
		return this.#active.get(id);
	}

	ipSet(id: IpSetId): IpSetView | undefined {
		return this.#ipSets.get(id);
	}

	/** Why a packet passes or not, at both its ends as far as they are local; to be asked after a {@link flush}. */
	explain(packet: Packet): Explanation {
		return explainPacket(this, this.#endpoints, packet);
	}

	#apply(key: ResourceKey, value: AnyResource | null): void {
		switch (key.kind) {
			case 'WorkloadEndpoint':
				return this.#setEndpoint(key, value as WorkloadEndpoint | null);
			case 'NetworkSet':
			case 'GlobalNetworkSet':
				return this.#setNetworkSet(key, value as NetworkSet | GlobalNetworkSet | null);
			case 'NetworkPolicy':
			case 'GlobalNetworkPolicy':
				return this.#setPolicy(key, value as NetworkPolicy | GlobalNetworkPolicy | null);
			case 'Profile':
				return this.#setProfile(key.name, value as Profile | null);
			case 'Tier':
				return this.#setTier(key.name, value as Tier | null);
			case 'IPPool':
				return this.#setPool(key, value as IPPool | null);
		}
	}

	#setEndpoint(key: ResourceKey, resource: WorkloadEndpoint | null): void {
		const { nodeName, workloadSourceSpoofing } = this.#options;
		const input = this.#read(key, resource, (endpoint) => readEndpoint(endpoint, workloadSourceSpoofing === 'Any'));
		this.#setSelectable(key, input?.selectable);
		const id = endpointId(key.namespace ?? '', key.name);
		if (input !== undefined && (nodeName === undefined || nodeName === input.node)) this.#endpoints.setEndpoint(id, input);
		else this.#endpoints.removeEndpoint(id);
	}

	#setNetworkSet(key: ResourceKey, resource: NetworkSet | GlobalNetworkSet | null): void {
		this.#setSelectable(key, this.#read(key, resource, readNetworkSet));
	}

	#setSelectable(key: ResourceKey, selectable: Selectable | undefined): void {
		if (selectable === undefined) this.#ipSets.removeSelectable(textOf(key));
		else this.#ipSets.setSelectable(textOf(key), this.#sharing.of(selectable));
	}

	#setPolicy(key: ResourceKey, resource: NetworkPolicy | GlobalNetworkPolicy | null): void {
		const id = policyId(key.kind, key.namespace, key.name);
		const input = this.#read(key, resource, (policy) => readPolicy(policy, id, this.#endpoints.policy(id)));
		if (input === undefined) this.#endpoints.removePolicy(id);
		else this.#endpoints.setPolicy(input);
		this.#dirtyPolicies.add(id);
	}

	#setProfile(name: string, resource: Profile | null): void {
		if (name === DEFAULT_ALLOW_PROFILE) return;
		if (resource === null) this.#profiles.delete(name);
		else {
			const { ingress = [], egress = [] } = resource.spec;
			this.#profiles.set(name, { tier: '', namespace: undefined, ingress, egress, deniesAll: false });
		}
		const labels = resource?.spec.labelsToApply ?? NO_LABELS;
		this.#endpoints.setProfileLabels(name, labels);
		this.#ipSets.setProfileLabels(name, labels);
		this.#dirtyPolicies.add(profileId(name));
	}

	#setTier(name: string, resource: Tier | null): void {
		if (resource === null) return this.#endpoints.setTier(name, undefined);
		const { order = Number.POSITIVE_INFINITY, defaultAction } = resource.spec;
		this.#endpoints.setTier(name, { order, defaultAction: defaultAction === 'Pass' ? 'Pass' : 'Deny' });
	}

	#setPool(key: ResourceKey, resource: IPPool | null): void {
		const pool = this.#read(key, resource, readPool);
		if (pool === undefined) this.#pools.delete(key.name);
		else this.#pools.set(key.name, pool);
		this.#arePoolsDirty = true;
	}

	/** Reads an object and keeps what is wrong with it under its key. */
	#read<R extends AnyResource, T>(key: ResourceKey, resource: R | null, read: (resource: R) => Reading<T>): T | undefined {
		const { value, problems } = resource === null ? NOTHING : read(resource);
		if (problems.length > 0) this.#inputProblems.set(textOf(key), problems);
		else if (this.#inputProblems.size > 0) this.#inputProblems.delete(textOf(key));
		return value;
	}

	/** The rules of a policy or profile that a local endpoint needs; undefined if none does. */
	#sourceOf(id: PolicyId): RuleSource | undefined {
		const profile = profileName(id);
		if (profile !== undefined) return this.#endpoints.isProfileUsed(profile) ? (this.#profiles.get(profile) ?? MISSING_PROFILE) : undefined;
		const policy = this.#endpoints.policy(id);
		return policy !== undefined && (policy.everywhere || this.#endpoints.isPolicyUsed(id)) ? policy : undefined;
	}

	#takePools(): PoolSets | undefined {
		if (!this.#arePoolsDirty) return undefined;
		this.#arePoolsDirty = false;
		const pools = [...this.#pools.values()];
		const next = {
			all: widestOf(pools.map(({ prefix }) => prefix)),
			masquerade: widestOf(pools.filter(({ masquerade }) => masquerade).map(({ prefix }) => prefix)),
		};
		if (samePlainData(this.#givenPools, next)) return undefined;
		this.#givenPools = next;
		return next;
	}
}

const NOTHING: Reading<never> = { value: undefined, problems: [] };

function textOf({ kind, namespace, name }: ResourceKey): string {
	return objectKey(kind, namespace, name);
}
