import assert from 'node:assert/strict';
import { type Cidr, cidrContains } from '#net';
import type {
	CompiledPolicy,
	CompiledRule,
	EndpointId,
	EndpointPolicy,
	IpSetId,
	IpSetMember,
	IpSetType,
	PolicyDelta,
	PolicyId,
	PoolSets,
} from '../types.ts';

/** What someone has who applies every delta, and insists that each one keeps its promises. */
export class PolicyModel {
	readonly ipSets = new Map<IpSetId, { readonly type: IpSetType; readonly members: Set<IpSetMember> }>();
	readonly policies = new Map<PolicyId, CompiledPolicy>();
	readonly endpoints = new Map<EndpointId, EndpointPolicy>();
	pools: PoolSets | undefined;

	apply(delta: PolicyDelta): void {
		for (const [id, change] of delta.ipSets) {
			if (change === null) {
				assert.ok(this.ipSets.delete(id), `${id} is removed, but was not there`);
				continue;
			}
			assert.equal(change.isNew, !this.ipSets.has(id), `${id} is new or not`);
			const set = this.ipSets.get(id) ?? { type: change.type, members: new Set() };
			assert.equal(set.type, change.type);
			this.ipSets.set(id, set);
			for (const member of change.removed) assert.ok(set.members.delete(member), `${member} was not in ${id}`);
			for (const member of change.added) {
				assert.ok(!set.members.has(member), `${member} is in ${id} already`);
				set.members.add(member);
			}
		}
		applyAll(this.policies, delta.policies);
		applyAll(this.endpoints, delta.endpoints);
		this.pools = delta.pools ?? this.pools;
		this.#checkReferences();
	}

	/** The whole as plain data that can be compared. */
	snapshot(): unknown {
		const ipSets = [...this.ipSets].map(([id, { type, members }]) => ({ id, type, members: [...members].sort() }));
		return {
			ipSets: ipSets.sort((a, b) => (a.id < b.id ? -1 : 1)),
			policies: new Map([...this.policies].sort(([a], [b]) => (a < b ? -1 : 1))),
			endpoints: new Map([...this.endpoints].sort(([a], [b]) => (a < b ? -1 : 1))),
			pools: this.pools,
		};
	}

	/** Whatever is referred to is there, whatever is there is referred to, and prefixes do not overlap. */
	#checkReferences(): void {
		const policies = new Set<PolicyId>();
		for (const { ingress, egress } of this.endpoints.values())
			for (const { tiers, profiles } of [ingress, egress])
				for (const id of [...tiers.flatMap((tier) => tier.policies), ...profiles]) policies.add(id);
		assert.deepEqual(policies, new Set(this.policies.keys()));

		const sets = new Map<IpSetId, IpSetType>();
		for (const { ingress, egress } of this.policies.values())
			for (const rule of [...ingress, ...egress]) for (const [id, type] of setsOf(rule)) sets.set(id, type);
		assert.deepEqual(new Set(sets.keys()), new Set(this.ipSets.keys()));
		for (const [id, { type, members }] of this.ipSets) {
			assert.equal(type, sets.get(id));
			if (type !== 'net') continue;
			for (const outer of members)
				for (const inner of members)
					assert.ok(outer === inner || !cidrContains(outer as Cidr, inner as Cidr), `${outer} covers ${inner} in ${id}`);
		}
	}
}

function applyAll<Id, T>(kept: Map<Id, T>, changes: ReadonlyMap<Id, T | null>): void {
	for (const [id, value] of changes) {
		if (value === null) assert.ok(kept.delete(id), `${String(id)} is removed, but was not there`);
		else {
			assert.notDeepEqual(kept.get(id), value, `${String(id)} is given out again without a change`);
			kept.set(id, value);
		}
	}
}

function* setsOf({ source, destination }: CompiledRule): Generator<readonly [IpSetId, IpSetType]> {
	for (const side of [source, destination]) {
		for (const id of [...side.sets, ...side.notSets]) yield [id, 'net'];
		for (const id of [...side.namedPorts, ...side.notNamedPorts]) yield [id, 'ip-port'];
	}
}
