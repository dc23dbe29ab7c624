import type { AnonymousSet, Chain, Rule, SetElement, SetSpec, Table, TableRef } from '#kernel';
import { dataplaneError } from '../errors.ts';
import { type ElementForm, memberOf } from '../table/element.ts';
import { type RuleModel, ruleText, type TableModel } from '../table/model.ts';
import type { BatchWriter } from '../table/write.ts';

interface StrictSet {
	readonly spec: SetSpec;
	readonly elements: Map<string, SetElement>;
}

/**
 * One table that takes the operations of a transaction as nf_tables does: whatever the kernel would refuse (a
 * reference to what is not there, deletion of what is in use, an element twice) is refused here too.
 */
export class StrictTable implements BatchWriter {
	#chains = new Map<string, RuleModel[]>();
	#sets = new Map<string, StrictSet>();
	#anonymous = new Map<number, SetSpec & { readonly elements: readonly SetElement[] }>();
	#exists = false;
	operationCount = 0;

	addTable(_table: Table): void {
		this.operationCount++;
		this.#exists = true;
	}

	deleteTable(): void {
		this.operationCount++;
		if (!this.#exists) refuse('ENOENT', 'table');
		this.#chains = new Map();
		this.#sets = new Map();
		this.#exists = false;
	}

	addChain(_table: TableRef, { name }: Chain): void {
		this.operationCount++;
		if (!this.#exists) refuse('ENOENT', 'table');
		if (!this.#chains.has(name)) this.#chains.set(name, []);
	}

	flushChain(_table: TableRef, chain: string): void {
		this.operationCount++;
		this.#chain(chain).length = 0;
	}

	deleteChain(_table: TableRef, chain: string): void {
		this.operationCount++;
		if (this.#chain(chain).length > 0 || this.#isReferred('chain', chain)) refuse('EBUSY', chain);
		this.#chains.delete(chain);
	}

	addRule(_table: TableRef, { chain, expressions }: Rule): void {
		this.operationCount++;
		for (const expression of expressions) {
			if (expression.kind === 'verdict' && 'chain' in expression) this.#chain(expression.chain);
			if (expression.kind === 'lookup' && expression.setId === undefined) this.#set(expression.set);
		}
		this.#chain(chain).push(
			expressions.map((expression): RuleModel[number] => {
				const set = expression.kind === 'lookup' && expression.setId !== undefined ? this.#anonymous.get(expression.setId) : undefined;
				if (expression.kind !== 'lookup' || set === undefined) return expression;
				const { key, elements } = set;
				const { sreg } = expression;
				return { kind: 'anonymous-lookup', key, interval: set.interval === true, elements, sreg, invert: expression.invert === true };
			}),
		);
	}

	addSet(_table: TableRef, spec: SetSpec): void {
		this.operationCount++;
		if (!this.#exists) refuse('ENOENT', 'table');
		if (this.#sets.has(spec.name)) refuse('EEXIST', spec.name);
		this.#sets.set(spec.name, { spec, elements: new Map() });
	}

	addAnonymousSet(_table: TableRef, set: Omit<SetSpec, 'name'>, elements: readonly SetElement[]): AnonymousSet {
		this.operationCount++;
		const setId = this.#anonymous.size + 1;
		this.#anonymous.set(setId, { ...set, name: `__set${setId}`, elements });
		return { set: '__set%d', setId };
	}

	flushSet(_table: TableRef, set: string): void {
		this.operationCount++;
		this.#set(set).elements.clear();
	}

	deleteSet(_table: TableRef, set: string): void {
		this.operationCount++;
		this.#set(set);
		if (this.#isReferred('set', set)) refuse('EBUSY', set);
		this.#sets.delete(set);
	}

	addElements(_table: TableRef, spec: SetSpec, elements: readonly SetElement[]): void {
		this.operationCount++;
		const set = this.#set(spec.name);
		for (const element of elements) {
			const key = keyText(element);
			if (set.elements.has(key)) refuse('EEXIST', `${key} in ${spec.name}`);
			if (spec.interval === true && spec.key.length === 1)
				for (const other of set.elements.values())
					if (low(element) <= high(other) && low(other) <= high(element)) refuse('EEXIST', `overlap in ${spec.name}`);
			if (element.data !== undefined && 'chain' in element.data) this.#chain(element.data.chain);
			set.elements.set(key, element);
		}
	}

	deleteElements(_table: TableRef, spec: SetSpec, elements: readonly SetElement[]): void {
		this.operationCount++;
		for (const element of elements) if (!this.#set(spec.name).elements.delete(keyText(element))) refuse('ENOENT', spec.name);
	}

	/** Rules as text by chain and members by set, to compare with {@link contentOf} a model. */
	content(formOf: (set: string) => ElementForm): unknown {
		return {
			chains: new Map([...this.#chains].map(([name, rules]) => [name, rules.map(ruleText)])),
			sets: new Map(
				[...this.#sets].map(([name, { spec, elements }]) => [
					name,
					new Set([...elements.values()].map((element) => memberOf(spec, formOf(name), element))),
				]),
			),
		};
	}

	#chain(name: string): RuleModel[] {
		return this.#chains.get(name) ?? refuse('ENOENT', `chain ${name}`);
	}

	#set(name: string): StrictSet {
		return this.#sets.get(name) ?? refuse('ENOENT', `set ${name}`);
	}

	#isReferred(kind: 'chain' | 'set', name: string): boolean {
		for (const rules of this.#chains.values())
			for (const rule of rules)
				for (const expression of rule) {
					if (kind === 'chain' && expression.kind === 'verdict' && 'chain' in expression && expression.chain === name) return true;
					if (kind === 'set' && expression.kind === 'lookup' && expression.set === name) return true;
				}
		if (kind === 'set') return false;
		for (const { elements } of this.#sets.values())
			for (const { data } of elements.values()) if (data !== undefined && 'chain' in data && data.chain === name) return true;
		return false;
	}
}

/** What {@link StrictTable.content} is to be for a model. */
export function contentOf(table: TableModel): unknown {
	return {
		chains: new Map([...table.chains.values()].map(({ name, rules }) => [name, rules.map(ruleText)])),
		sets: new Map([...table.sets.values()].map(({ spec, members }) => [spec.name, new Set(members)])),
	};
}

function keyText({ key, keyEnd }: SetElement): string {
	return `${Buffer.from(key).toString('hex')}-${Buffer.from(keyEnd ?? key).toString('hex')}`;
}

function low({ key }: SetElement): string {
	return Buffer.from(key).toString('hex');
}

function high({ key, keyEnd }: SetElement): string {
	return Buffer.from(keyEnd ?? key).toString('hex');
}

function refuse(errno: string, what: string): never {
	throw dataplaneError('DATAPLANE_APPLY_FAILED', { message: `${errno}: ${what}` });
}
