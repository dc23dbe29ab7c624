import type { AnonymousSet, Expression, NftBatch, Rule, TableRef } from '#kernel';
import { elementOf } from './element.ts';
import type { ChainModel, RuleModel, SetModel, TableChange, TableModel } from './model.ts';

/** The part of {@link NftBatch} that a change is written to. */
export type BatchWriter = Pick<
	NftBatch,
	| 'addTable'
	| 'deleteTable'
	| 'addChain'
	| 'flushChain'
	| 'deleteChain'
	| 'addRule'
	| 'addSet'
	| 'addAnonymousSet'
	| 'flushSet'
	| 'deleteSet'
	| 'addElements'
	| 'deleteElements'
>;

/**
 * Writes a change in an order in which nothing refers to what is not there, and nothing is deleted that is still
 * referred to: nf_tables checks that at every operation, though all take effect at once.
 */
export function writeChange(batch: BatchWriter, table: TableRef, change: TableChange): void {
	for (const { spec } of change.createdSets) batch.addSet(table, spec);
	for (const chain of change.createdChains) declareChain(batch, table, chain);
	for (const { name } of change.rewrittenChains) batch.flushChain(table, name);
	for (const name of change.deletedChains) batch.flushChain(table, name);
	for (const { set, removed } of change.elements)
		if (removed.length > 0)
			batch.deleteElements(
				table,
				set.spec,
				removed.map((member) => elementOf(set.spec, set.form, member)),
			);
	for (const { spec } of change.resetSets) batch.flushSet(table, spec.name);
	for (const { set, added } of change.elements) addMembers(batch, table, set, added);
	for (const set of [...change.createdSets, ...change.resetSets]) addMembers(batch, table, set, [...set.members]);
	for (const chain of [...change.createdChains, ...change.rewrittenChains])
		for (const rule of chain.rules) batch.addRule(table, kernelRule(batch, table, chain.name, rule));
	for (const name of change.deletedSets) batch.deleteSet(table, name);
	for (const name of change.deletedChains) batch.deleteChain(table, name);
}

/** Writes a table anew in place of whatever is there under its name. */
export function writeReplacement(batch: BatchWriter, table: TableModel): void {
	// deleting a table that is not there fails the transaction, adding one that is there does not
	batch.addTable(table.ref);
	batch.deleteTable(table.ref);
	batch.addTable({ ...table.ref, comment: table.comment });
	writeChange(batch, table.ref, {
		createdSets: [...table.sets.values()],
		resetSets: [],
		elements: [],
		deletedSets: [],
		createdChains: [...table.chains.values()],
		rewrittenChains: [],
		deletedChains: [],
	});
}

function declareChain(batch: BatchWriter, table: TableRef, { name, base, comment }: ChainModel): void {
	batch.addChain(table, { name, ...(base === undefined ? {} : { base }), ...(comment === undefined ? {} : { comment }) });
}

function addMembers(batch: BatchWriter, table: TableRef, set: SetModel, members: readonly string[]): void {
	if (members.length === 0) return;
	batch.addElements(
		table,
		set.spec,
		members.map((member) => elementOf(set.spec, set.form, member)),
	);
}

function kernelRule(batch: BatchWriter, table: TableRef, chain: string, rule: RuleModel): Rule {
	const expressions = rule.map((expression): Expression => {
		if (expression.kind !== 'anonymous-lookup') return expression;
		const { key, interval, elements, sreg, invert } = expression;
		const { set, setId }: AnonymousSet = batch.addAnonymousSet(table, { key, ...(interval ? { interval } : {}) }, elements);
		return { kind: 'lookup', set, setId, sreg, ...(invert ? { invert } : {}) };
	});
	return { chain, expressions };
}
