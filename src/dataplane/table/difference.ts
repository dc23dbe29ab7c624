import type { Chain, SetSpec } from '#kernel';
import { memberOf } from './element.ts';
import type { ListedTable } from './listing.ts';
import { type ChainModel, type ElementChange, rulesText, type SetModel, type TableChange, type TableModel } from './model.ts';

/**
 * What turns a table found in the kernel into the wanted one.
 *
 * @returns undefined if that cannot be told: another layout, or a chain or set of another kind under a name of ours
 */
export function tableDifference(found: ListedTable, wanted: TableModel): TableChange | undefined {
	if (found.comment !== wanted.comment) return undefined;
	const createdSets: SetModel[] = [];
	const elements: ElementChange[] = [];
	for (const set of wanted.sets.values()) {
		const listed = found.sets.get(set.spec.name);
		if (listed === undefined) createdSets.push(set);
		else if (!sameSpec(listed.spec, set.spec)) return undefined;
		else if (listed.elements !== undefined) {
			const change = elementDifference(new Set(listed.elements.map((element) => memberOf(set.spec, set.form, element))), set);
			if (change !== undefined) elements.push(change);
		}
	}
	const createdChains: ChainModel[] = [];
	const rewrittenChains: ChainModel[] = [];
	for (const chain of wanted.chains.values()) {
		const listed = found.chains.get(chain.name);
		if (listed === undefined) createdChains.push(chain);
		else if (!sameHook(listed.chain, chain)) return undefined;
		else if (rulesText(listed.rules) !== rulesText(chain.rules)) rewrittenChains.push(chain);
	}
	return {
		createdSets,
		resetSets: [],
		elements,
		deletedSets: [...found.sets.keys()].filter((name) => !wanted.sets.has(name)),
		createdChains,
		rewrittenChains,
		deletedChains: [...found.chains.keys()].filter((name) => !wanted.chains.has(name)),
	};
}

function elementDifference(found: ReadonlySet<string>, set: SetModel): ElementChange | undefined {
	const added = [...set.members].filter((member) => !found.has(member));
	const removed = [...found].filter((member) => !set.members.has(member));
	return added.length + removed.length === 0 ? undefined : { set, added, removed };
}

function sameSpec(a: SetSpec, b: SetSpec): boolean {
	return a.key.join('.') === b.key.join('.') && a.data === b.data && (a.interval ?? false) === (b.interval ?? false);
}

function sameHook(a: Chain, b: ChainModel): boolean {
	if (a.base === undefined || b.base === undefined) return a.base === b.base;
	return (
		a.base.type === b.base.type && a.base.hook === b.base.hook && a.base.priority === b.base.priority && a.base.policy === b.base.policy
	);
}
