import type { BaseChain, Expression, Register, SetElement, SetKeyType, SetSpec, TableRef } from '#kernel';
import type { ElementForm } from './element.ts';

/** A look-up in a constant set that belongs to its rule alone, as nft makes for `{ 80, 443 }`. */
export interface AnonymousLookup {
	readonly kind: 'anonymous-lookup';
	readonly key: readonly SetKeyType[];
	readonly interval: boolean;
	readonly elements: readonly SetElement[];
	readonly sreg: Register;
	readonly invert: boolean;
}

export type RuleExpression = Expression | AnonymousLookup;

/** A rule, in the order of evaluation. */
export type RuleModel = readonly RuleExpression[];

export interface ChainModel {
	readonly name: string;
	/** Absent in chains that are reached by jumps only. */
	readonly base?: BaseChain;
	/** What the chain is for, to people who list the table. */
	readonly comment?: string;
	readonly rules: readonly RuleModel[];
}

export interface SetModel {
	readonly spec: SetSpec;
	readonly form: ElementForm;
	/** Texts by {@link ElementForm}. Held by its owner, who keeps it current. */
	readonly members: ReadonlySet<string>;
}

/** A table as it should be. */
export interface TableModel {
	readonly ref: TableRef;
	/** The marker of the layout, which decides whether a table found in the kernel can be repaired by difference. */
	readonly comment: string;
	readonly chains: ReadonlyMap<string, ChainModel>;
	readonly sets: ReadonlyMap<string, SetModel>;
}

/** What to do to a table; the order of doing it is {@link writeChange}'s. */
export interface TableChange {
	readonly createdSets: readonly SetModel[];
	/** Sets whose members are replaced as a whole. */
	readonly resetSets: readonly SetModel[];
	readonly elements: readonly ElementChange[];
	readonly deletedSets: readonly string[];
	readonly createdChains: readonly ChainModel[];
	readonly rewrittenChains: readonly ChainModel[];
	readonly deletedChains: readonly string[];
}

export interface ElementChange {
	readonly set: SetModel;
	readonly added: readonly string[];
	readonly removed: readonly string[];
}

export function isEmptyChange(change: TableChange): boolean {
	return (
		change.createdSets.length === 0 &&
		change.resetSets.length === 0 &&
		change.elements.length === 0 &&
		change.deletedSets.length === 0 &&
		change.createdChains.length === 0 &&
		change.rewrittenChains.length === 0 &&
		change.deletedChains.length === 0
	);
}

/**
 * A rule as text: equal exactly for rules that mean the same to the kernel. What a counter has counted and what a
 * constant set is called are left out.
 */
export function ruleText(rule: RuleModel): string {
	return JSON.stringify(rule.map(comparable));
}

/** The rules of a chain as text, for comparison. */
export function rulesText(rules: readonly RuleModel[]): string {
	return rules.map(ruleText).join('\n');
}

function comparable(value: unknown): unknown {
	if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
	if (typeof value === 'bigint') return value.toString();
	if (Array.isArray(value)) return value.map(comparable);
	if (typeof value !== 'object' || value === null) return value;
	const fields = value as Readonly<Record<string, unknown>>;
	if (fields['kind'] === 'counter') return { kind: 'counter' };
	const result: Record<string, unknown> = {};
	for (const name of Object.keys(fields).sort()) {
		const field = fields[name];
		if (field === undefined || field === false) continue;
		result[name] = name === 'elements' ? (field as readonly SetElement[]).map(elementText).sort() : comparable(field);
	}
	return result;
}

function elementText({ key, keyEnd }: SetElement): string {
	const first = Buffer.from(key).toString('hex');
	const last = keyEnd === undefined ? first : Buffer.from(keyEnd).toString('hex');
	return first === last ? first : `${first}-${last}`;
}
