import type { Chain, Expression, ListedRule, NftSocket, SetElement, SetSpec, TableRef } from '#kernel';
import { dataplaneError } from '../errors.ts';
import type { RuleModel, TableModel } from './model.ts';

/** The part of {@link NftSocket} that a table is read and written with. */
export type NftTransactions = Pick<
	NftSocket,
	'commit' | 'generation' | 'listTables' | 'listChains' | 'listRules' | 'listSets' | 'listElements'
>;

export interface ListedChain {
	readonly chain: Chain;
	readonly rules: readonly RuleModel[];
}

export interface ListedSet {
	readonly spec: SetSpec;
	/** Undefined where they were not asked for. */
	readonly elements: readonly SetElement[] | undefined;
}

/** A table as the kernel has it. */
export interface ListedTable {
	readonly comment: string | undefined;
	readonly chains: ReadonlyMap<string, ListedChain>;
	readonly sets: ReadonlyMap<string, ListedSet>;
}

/** How often a listing is tried again when another program commits in the middle of it. */
const LISTING_ATTEMPTS = 8;

/** The sets whose elements are read, by name. Large ones take long, and what changes them is reported. */
export type SetScope = 'all' | ReadonlySet<string>;

/**
 * Reads tables as they are at one moment.
 *
 * @returns in the order asked for; undefined for a table that is not there
 * @throws DATAPLANE_UNSTABLE_LISTING, and what {@link NftSocket} throws
 */
export function listTables(nft: NftTransactions, wanted: readonly TableModel[], scope: SetScope): readonly (ListedTable | undefined)[] {
	for (let attempt = 0; attempt < LISTING_ATTEMPTS; attempt++) {
		const generation = nft.generation();
		const tables = wanted.map((table) => listTable(nft, table, scope));
		if (nft.generation() === generation) return tables;
	}
	throw dataplaneError('DATAPLANE_UNSTABLE_LISTING', {
		message: `nf_tables changed ${LISTING_ATTEMPTS} times while ${wanted.map(({ ref }) => `${ref.family} ${ref.name}`).join(' and ')} was read`,
		hint: 'look for a program that commits nftables transactions without pause: nft monitor',
	});
}

function listTable(nft: NftTransactions, { ref, sets: wanted }: TableModel, scope: SetScope): ListedTable | undefined {
	const table = nft.listTables(ref.family).find(({ name }) => name === ref.name);
	if (table === undefined) return undefined;
	// what is in a set that is not ours does not matter: it goes as a whole
	const isRead = (spec: SetSpec): boolean =>
		spec.anonymous === true || (wanted.has(spec.name) && (scope === 'all' || scope.has(spec.name)));
	const specs = nft.listSets(ref);
	const sets = new Map(specs.map((spec) => [spec.name, { spec, elements: isRead(spec) ? listElements(nft, ref, spec) : undefined }]));
	const rules = Map.groupBy(nft.listRules(ref), (rule: ListedRule) => rule.chain);
	const chains = nft
		.listChains(ref)
		.map((chain): [string, ListedChain] => [
			chain.name,
			{ chain, rules: (rules.get(chain.name) ?? []).map(({ expressions }) => expressions.map((expression) => unnamed(expression, sets))) },
		]);
	return {
		comment: table.comment,
		chains: new Map(chains),
		sets: new Map([...sets].filter(([, { spec }]) => spec.anonymous !== true)),
	};
}

/**
 * A hash that is growing is walked in an order that changes under the walk: some elements come twice and as many not at
 * all. The kernel grows it on its own time, soon after many were added.
 */
function listElements(nft: NftTransactions, ref: TableRef, spec: SetSpec): readonly SetElement[] {
	for (let attempt = 0; attempt < LISTING_ATTEMPTS; attempt++) {
		const elements = nft.listElements(ref, spec);
		if (new Set(elements.map(({ key }) => Buffer.from(key).toString('latin1'))).size === elements.length) return elements;
	}
	throw dataplaneError('DATAPLANE_UNSTABLE_LISTING', {
		message: `elements of ${ref.family} ${ref.name} ${spec.name} came twice in every listing`,
	});
}

/** Puts the content of a constant set in place of its name. */
function unnamed(expression: Expression, sets: ReadonlyMap<string, ListedSet>): RuleModel[number] {
	const set = expression.kind === 'lookup' ? sets.get(expression.set) : undefined;
	if (expression.kind !== 'lookup' || set?.spec.anonymous !== true) return expression;
	return {
		kind: 'anonymous-lookup',
		key: set.spec.key,
		interval: set.spec.interval === true,
		elements: set.elements ?? [],
		sreg: expression.sreg,
		invert: expression.invert === true,
	};
}
