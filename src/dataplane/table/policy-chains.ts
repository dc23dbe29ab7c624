import { FAMILIES, type Family } from '#net';
import type { CompiledPolicy, Direction, IpSetChange, IpSetId, IpSetType, PolicyId, PolicyList, TierPolicies } from '#policy';
import { type IpSetForm, ipSetName, listChain, policyChain, tierChain } from '../render/names.ts';
import type { RenderOptions } from '../render/options.ts';
import { commentText, type Position, renderList, renderPolicy, renderTier } from '../render/policy-chains.ts';
import { canPass } from '../render/rule.ts';
import type { DesiredTable } from './desired-table.ts';
import { setSpec } from './element.ts';
import { IpSetState } from './ip-set.ts';
import type { ChainModel } from './model.ts';

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
const FORMS: readonly IpSetForm[] = ['host', 'prefix', 'address-port'];

/** What a chain is made from. */
type ChainSource = Position &
	(
		| { readonly kind: 'list'; readonly list: PolicyList }
		| { readonly kind: 'tier'; readonly tier: TierPolicies }
		| { readonly kind: 'policy'; readonly id: PolicyId }
	);

interface ChainNode {
	readonly source: ChainSource;
	/** Who refers to it: names of chains, and of the roots given to {@link PolicyChains.retainList}. */
	readonly parents: Set<string>;
	/** Names of the sets its rules look up. */
	sets: ReadonlySet<string>;
}

interface SetNode {
	readonly parents: Set<string>;
}

/**
 * Keeps in a table the chains and sets of the policy lists in use, and nothing else: a chain appears with the first
 * that refers to it and goes with the last, and so do the sets. An edit re-renders the chains it touches only.
 */
export class PolicyChains {
	readonly #table: DesiredTable;
	readonly #options: RenderOptions;
	readonly #policies = new Map<PolicyId, CompiledPolicy>();
	readonly #ipSets = new Map<IpSetId, IpSetState>();
	readonly #chains = new Map<string, ChainNode>();
	readonly #sets = new Map<string, SetNode>();
	readonly #dirtyChains = new Set<string>();
	readonly #orphans = new Set<string>();
	readonly #orphanSets = new Set<string>();

	constructor(table: DesiredTable, options: RenderOptions) {
		this.#table = table;
		this.#options = options;
	}

	updateIpSet(id: IpSetId, change: IpSetChange | null): void {
		const before = this.#ipSets.get(id);
		const state = change === null ? undefined : before?.type === change.type ? before : new IpSetState(change.type);
		if (state !== before)
			// the sets that are there hold the members of the former state
			for (const family of FAMILIES) this.#detachSets(id, family);
		if (change === null || state === undefined) {
			this.#ipSets.delete(id);
			return;
		}
		this.#ipSets.set(id, state);
		const formsBefore = FAMILIES.map((family) => state.forms(family).join());
		for (const { family, form, member, isThere } of state.update(change)) {
			const name = ipSetName(form, family, id);
			if (this.#sets.has(name)) this.#table.noteMember(name, member, isThere);
		}
		for (const [index, family] of FAMILIES.entries())
			if (state.forms(family).join() !== formsBefore[index])
				for (const parent of this.#parentsOf(id, family)) this.#dirtyChains.add(parent);
	}

	updatePolicy(id: PolicyId, policy: CompiledPolicy | null): void {
		const before = this.#policies.get(id);
		if (policy === null) this.#policies.delete(id);
		else this.#policies.set(id, policy);
		for (const direction of DIRECTIONS) {
			const passesNow = canPass(policy?.[direction] ?? []);
			const passedBefore = canPass(before?.[direction] ?? []);
			for (const family of FAMILIES) {
				const name = policyChain(direction, family, id);
				const node = this.#chains.get(name);
				if (node === undefined) continue;
				this.#dirtyChains.add(name);
				if (passesNow !== passedBefore) for (const parent of node.parents) this.#dirtyChains.add(parent);
			}
		}
	}

	/** @param root names the referrer; it never is the name of a chain */
	retainList(position: Position, list: PolicyList, root: string): void {
		this.#retain({ ...position, kind: 'list', list }, root);
	}

	/** @param name the list's chain */
	releaseList(name: string, root: string): void {
		this.#release(name, root);
	}

	/** Brings the table up to date. Until then it is not to be used. */
	settle(): void {
		// rendering a chain makes no other chain dirty
		for (const name of this.#dirtyChains) {
			const node = this.#chains.get(name);
			if (node !== undefined && node.parents.size > 0) this.#render(name, node);
		}
		this.#dirtyChains.clear();
		for (const name of this.#orphans) {
			// collecting one can make another an orphan again that was looked at before
			this.#orphans.delete(name);
			this.#collect(name);
		}
		for (const name of this.#orphanSets) {
			if (this.#sets.get(name)?.parents.size !== 0) continue;
			this.#sets.delete(name);
			this.#table.deleteSet(name);
		}
		this.#orphanSets.clear();
	}

	#retain(source: ChainSource, parent: string): void {
		const name = chainName(source);
		const node = this.#chains.get(name);
		if (node !== undefined) {
			node.parents.add(parent);
			return;
		}
		this.#chains.set(name, { source, parents: new Set([parent]), sets: new Set() });
		this.#dirtyChains.add(name);
		for (const child of childrenOf(source)) this.#retain(child, name);
	}

	#release(name: string, parent: string): void {
		const node = this.#chains.get(name);
		if (node?.parents.delete(parent) === true && node.parents.size === 0) this.#orphans.add(name);
	}

	#collect(name: string): void {
		const node = this.#chains.get(name);
		if (node === undefined || node.parents.size > 0) return;
		this.#chains.delete(name);
		this.#table.deleteChain(name);
		for (const set of node.sets) this.#releaseSet(set, name);
		for (const child of childrenOf(node.source)) this.#release(chainName(child), name);
	}

	#render(name: string, node: ChainNode): void {
		const sets = new Set<string>();
		this.#table.putChain(this.#renderSource(node.source, name, sets));
		for (const set of node.sets) if (!sets.has(set)) this.#releaseSet(set, name);
		node.sets = sets;
	}

	#renderSource(source: ChainSource, name: string, sets: Set<string>): ChainModel {
		const passes = (id: PolicyId): boolean => canPass(this.#policies.get(id)?.[source.direction] ?? []);
		switch (source.kind) {
			case 'list':
				return renderList(source.list, source, passes, this.#options);
			case 'tier':
				return renderTier(source.tier, source, passes, this.#options);
			case 'policy': {
				const setNames = (id: IpSetId, type: IpSetType): readonly string[] => {
					const names = this.#retainSets(id, type, source.family, name);
					for (const set of names) sets.add(set);
					return names;
				};
				return renderPolicy(source.id, this.#policies.get(source.id), source, setNames, this.#options);
			}
		}
	}

	/** The sets that a rule is to look up; that of an unknown one is empty, so that nothing is allowed by it. */
	#retainSets(id: IpSetId, type: IpSetType, family: Family, parent: string): string[] {
		const known = this.#ipSets.get(id);
		const state = known?.type === type ? known : new IpSetState(type);
		return state.forms(family).map((form) => {
			const name = ipSetName(form, family, id);
			const node = this.#sets.get(name);
			if (node !== undefined) node.parents.add(parent);
			else {
				this.#sets.set(name, { parents: new Set([parent]) });
				this.#table.createSet({ spec: setSpec(name, form, family, commentText(id)), form }, state.members(family, form));
			}
			return name;
		});
	}

	#releaseSet(name: string, parent: string): void {
		const node = this.#sets.get(name);
		if (node?.parents.delete(parent) === true && node.parents.size === 0) this.#orphanSets.add(name);
	}

	/** Takes the sets of an IP set out of the table; chains that look it up are rendered again and so get the right ones. */
	#detachSets(id: IpSetId, family: Family): void {
		for (const parent of this.#parentsOf(id, family)) this.#dirtyChains.add(parent);
		for (const form of FORMS) {
			const name = ipSetName(form, family, id);
			if (this.#sets.delete(name)) this.#table.deleteSet(name);
		}
	}

	/** The chains that look an IP set up. */
	#parentsOf(id: IpSetId, family: Family): string[] {
		return FORMS.flatMap((form) => [...(this.#sets.get(ipSetName(form, family, id))?.parents ?? [])]);
	}
}

function chainName(source: ChainSource): string {
	switch (source.kind) {
		case 'list':
			return listChain(source.direction, source.family, source.list);
		case 'tier':
			return tierChain(source.direction, source.family, source.tier);
		case 'policy':
			return policyChain(source.direction, source.family, source.id);
	}
}

function childrenOf(source: ChainSource): ChainSource[] {
	const { direction, family } = source;
	const policy = (id: PolicyId): ChainSource => ({ kind: 'policy', direction, family, id });
	switch (source.kind) {
		case 'list':
			return [
				...source.list.tiers.map((tier): ChainSource => ({ kind: 'tier', direction, family, tier })),
				...source.list.profiles.map(policy),
			];
		case 'tier':
			return source.tier.policies.map(policy);
		case 'policy':
			return [];
	}
}
