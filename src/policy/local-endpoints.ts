import { LabelIndex, type LabelRecord } from '#selector';
import { profileId } from './ids.ts';
import type { EndpointInput, PolicyInput } from './inputs.ts';
import { samePlainData } from './plain-data.ts';
import type { Direction, EndpointId, EndpointPolicy, PolicyId, PolicyList, TierPolicies } from './types.ts';

/** What the graph keeps of a tier. */
export interface TierInput {
	/** Infinite when the tier states none. */
	readonly order: number;
	readonly defaultAction: 'Deny' | 'Pass';
}

/** Which policies the endpoints of this node have, and in which order. */
export class LocalEndpoints {
	readonly #policies = new Map<PolicyId, PolicyInput>();
	readonly #tiers = new Map<string, TierInput>();
	readonly #endpoints = new Map<EndpointId, EndpointInput>();
	/** What was given out. */
	readonly #given = new Map<EndpointId, EndpointPolicy>();
	readonly #profileUsers = new Map<string, Set<EndpointId>>();
	readonly #index: LabelIndex<PolicyId, EndpointId>;
	readonly #dirty = new Set<EndpointId>();
	readonly #onPolicyUse: (id: PolicyId) => void;

	/** @param modules.onPolicyUse told of policies and profiles that an endpoint may have begun or ceased to need */
	constructor(modules: { readonly onPolicyUse: (id: PolicyId) => void }) {
		this.#onPolicyUse = modules.onPolicyUse;
		const matchChanged = (policy: PolicyId, endpoint: EndpointId): void => {
			this.#dirty.add(endpoint);
			this.#onPolicyUse(policy);
		};
		this.#index = new LabelIndex<PolicyId, EndpointId>({ onMatchStarted: matchChanged, onMatchStopped: matchChanged });
	}

	/** An endpoint as it was last given out. */
	get(id: EndpointId): EndpointPolicy | undefined {
		return this.#given.get(id);
	}

	/** All endpoints as they were last given out. */
	[Symbol.iterator](): Iterator<EndpointPolicy> {
		return this.#given.values();
	}

	policy(id: PolicyId): PolicyInput | undefined {
		return this.#policies.get(id);
	}

	/** Whether an endpoint has this policy. */
	isPolicyUsed(id: PolicyId): boolean {
		return this.#index.itemsMatching(id).next().done !== true;
	}

	/** Whether an endpoint lists this profile. */
	isProfileUsed(name: string): boolean {
		return this.#profileUsers.has(name);
	}

	setPolicy(policy: PolicyInput): void {
		const before = this.#policies.get(policy.id);
		this.#policies.set(policy.id, policy);
		if (before !== undefined && !samePlace(before, policy)) for (const id of this.#index.itemsMatching(policy.id)) this.#dirty.add(id);
		if (before?.selector.text !== policy.selector.text) this.#index.setSelector(policy.id, policy.selector);
	}

	removePolicy(id: PolicyId): void {
		this.#policies.delete(id);
		this.#index.removeSelector(id);
	}

	setTier(name: string, tier: TierInput | undefined): void {
		if (samePlainData(this.#tiers.get(name), tier)) return;
		if (tier === undefined) this.#tiers.delete(name);
		else this.#tiers.set(name, tier);
		for (const id of this.#endpoints.keys()) this.#dirty.add(id);
	}

	setProfileLabels(profile: string, labels: LabelRecord): void {
		this.#index.setParentLabels(profile, labels);
	}

	setEndpoint(id: EndpointId, input: EndpointInput): void {
		const before = this.#endpoints.get(id);
		this.#endpoints.set(id, input);
		this.#dirty.add(id);
		const { labels, parents } = input.selectable;
		this.#countProfiles(id, before?.selectable.parents ?? [], parents);
		this.#index.setItem(id, labels, parents);
	}

	removeEndpoint(id: EndpointId): void {
		const before = this.#endpoints.get(id);
		if (before === undefined) return;
		this.#endpoints.delete(id);
		this.#dirty.add(id);
		this.#countProfiles(id, before.selectable.parents, []);
		this.#index.removeItem(id);
	}

	/** What changed since the last call. */
	takeChanges(): Map<EndpointId, EndpointPolicy | null> {
		const changes = new Map<EndpointId, EndpointPolicy | null>();
		for (const id of this.#dirty) {
			const input = this.#endpoints.get(id);
			if (input === undefined) {
				if (this.#given.delete(id)) changes.set(id, null);
				continue;
			}
			const next = this.#resolve(id, input);
			if (samePlainData(this.#given.get(id), next)) continue;
			this.#given.set(id, next);
			changes.set(id, next);
		}
		this.#dirty.clear();
		return changes;
	}

	#resolve(id: EndpointId, input: EndpointInput): EndpointPolicy {
		const byTier = new Map<string, PolicyInput[]>();
		for (const policyName of this.#index.selectorsMatching(id)) {
			const policy = this.#policies.get(policyName);
			if (policy === undefined) continue;
			const inTier = byTier.get(policy.tier);
			if (inTier === undefined) byTier.set(policy.tier, [policy]);
			else inTier.push(policy);
		}
		const tiers = [...byTier].sort(([a], [b]) => this.#compareTiers(a, b));
		for (const [, policies] of tiers) policies.sort(comparePolicies);
		const profiles = input.selectable.parents.map((name) => profileId(name));
		const { interfaceName, mac, allowedSources, selectable } = input;
		const list = (direction: Direction): PolicyList => ({ tiers: this.#tierPolicies(tiers, direction), profiles });
		return { id, interfaceName, mac, nets: selectable.nets, allowedSources, ingress: list('ingress'), egress: list('egress') };
	}

	#tierPolicies(tiers: readonly (readonly [string, readonly PolicyInput[]])[], direction: Direction): TierPolicies[] {
		const result: TierPolicies[] = [];
		for (const [name, all] of tiers) {
			const policies = all.filter((policy) => policy[direction] !== undefined).map(({ id }) => id);
			const defaultAction = this.#tiers.get(name)?.defaultAction ?? 'Deny';
			if (policies.length > 0) result.push({ name, defaultAction, policies });
		}
		return result;
	}

	/** Tiers that exist before those that are missing, then by order, then by name. */
	#compareTiers(a: string, b: string): number {
		const left = this.#tiers.get(a);
		const right = this.#tiers.get(b);
		if ((left === undefined) !== (right === undefined)) return left === undefined ? 1 : -1;
		return compareValues(left?.order ?? 0, right?.order ?? 0) || compareValues(a, b);
	}

	#countProfiles(id: EndpointId, before: readonly string[], after: readonly string[]): void {
		for (const name of before) {
			if (after.includes(name)) continue;
			const users = this.#profileUsers.get(name);
			users?.delete(id);
			if (users?.size === 0) this.#profileUsers.delete(name);
			this.#onPolicyUse(profileId(name));
		}
		for (const name of after) {
			const users = this.#profileUsers.get(name);
			if (users === undefined) this.#profileUsers.set(name, new Set([id]));
			else users.add(id);
			this.#onPolicyUse(profileId(name));
		}
	}
}

/** Whether a policy stands in the same place of the same lists as before. */
function samePlace(a: PolicyInput, b: PolicyInput): boolean {
	return (
		a.tier === b.tier &&
		a.order === b.order &&
		(a.ingress === undefined) === (b.ingress === undefined) &&
		(a.egress === undefined) === (b.egress === undefined)
	);
}

/** By order, then by name, namespace and kind, so that equal orders have one outcome everywhere. */
function comparePolicies(a: PolicyInput, b: PolicyInput): number {
	return (
		compareValues(a.order, b.order) ||
		compareValues(a.name, b.name) ||
		compareValues(a.namespace ?? '', b.namespace ?? '') ||
		compareValues(a.kind, b.kind)
	);
}

function compareValues<T extends number | string>(a: T, b: T): number {
	return a === b ? 0 : a < b ? -1 : 1;
}
