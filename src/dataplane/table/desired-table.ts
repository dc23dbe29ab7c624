import type { TableRef } from '#kernel';
import { type ChainModel, rulesText, type SetModel, type TableChange, type TableModel } from './model.ts';

interface TouchedSet {
	/** Whether the set was there when the last change was taken. */
	readonly existed: boolean;
	/** It was removed and made again since: its members are written as a whole. */
	isReset: boolean;
	readonly added: Set<string>;
	readonly removed: Set<string>;
}

/** A table as it should be, which remembers what was changed since somebody last asked. */
export class DesiredTable implements TableModel {
	readonly ref: TableRef;
	readonly comment: string;
	readonly chains = new Map<string, ChainModel>();
	readonly sets = new Map<string, SetModel>();
	readonly #members = new Map<string, Set<string>>();
	/** Chains as they were when the last change was taken. */
	readonly #touchedChains = new Map<string, ChainModel | undefined>();
	readonly #touchedSets = new Map<string, TouchedSet>();

	constructor(ref: TableRef, comment: string) {
		this.ref = ref;
		this.comment = comment;
	}

	putChain(chain: ChainModel): void {
		this.#touchChain(chain.name);
		this.chains.set(chain.name, chain);
	}

	deleteChain(name: string): void {
		this.#touchChain(name);
		this.chains.delete(name);
	}

	/** @param members owned by the caller, who changes it only through {@link addMember} and {@link deleteMember} */
	createSet(shape: Pick<SetModel, 'spec' | 'form'>, members: Set<string>): void {
		const { name } = shape.spec;
		const touched = this.#touchSet(name);
		if (touched.existed) touched.isReset = true;
		this.sets.set(name, { ...shape, members });
		this.#members.set(name, members);
	}

	deleteSet(name: string): void {
		this.#touchSet(name);
		this.sets.delete(name);
		this.#members.delete(name);
	}

	addMember(name: string, member: string): void {
		const members = this.#members.get(name);
		if (members === undefined || members.has(member)) return;
		members.add(member);
		this.noteMember(name, member, true);
	}

	deleteMember(name: string, member: string): void {
		if (this.#members.get(name)?.delete(member) === true) this.noteMember(name, member, false);
	}

	/** Records that the owner of a set's members has added or removed one. */
	noteMember(name: string, member: string, isThere: boolean): void {
		const { added, removed } = this.#touchSet(name);
		const [now, before] = isThere ? [added, removed] : [removed, added];
		if (!before.delete(member)) now.add(member);
	}

	/** What changed since the last call. */
	takeChange(): TableChange {
		return { ...this.#takeSets(), ...this.#takeChains() };
	}

	#takeSets(): Pick<TableChange, 'createdSets' | 'resetSets' | 'elements' | 'deletedSets'> {
		const createdSets: SetModel[] = [];
		const resetSets: SetModel[] = [];
		const elements: TableChange['elements'][number][] = [];
		const deletedSets: string[] = [];
		for (const [name, touched] of this.#touchedSets) {
			const set = this.sets.get(name);
			if (set === undefined) {
				if (touched.existed) deletedSets.push(name);
			} else if (!touched.existed) createdSets.push(set);
			else if (touched.isReset) resetSets.push(set);
			else if (touched.added.size + touched.removed.size > 0)
				elements.push({ set, added: [...touched.added], removed: [...touched.removed] });
		}
		this.#touchedSets.clear();
		return { createdSets, resetSets, elements, deletedSets };
	}

	#takeChains(): Pick<TableChange, 'createdChains' | 'rewrittenChains' | 'deletedChains'> {
		const createdChains: ChainModel[] = [];
		const rewrittenChains: ChainModel[] = [];
		const deletedChains: string[] = [];
		for (const [name, before] of this.#touchedChains) {
			const chain = this.chains.get(name);
			if (chain === undefined) {
				if (before !== undefined) deletedChains.push(name);
			} else if (before === undefined) createdChains.push(chain);
			else if (rulesText(before.rules) !== rulesText(chain.rules)) rewrittenChains.push(chain);
		}
		this.#touchedChains.clear();
		return { createdChains, rewrittenChains, deletedChains };
	}

	#touchChain(name: string): void {
		if (!this.#touchedChains.has(name)) this.#touchedChains.set(name, this.chains.get(name));
	}

	#touchSet(name: string): TouchedSet {
		let touched = this.#touchedSets.get(name);
		if (touched === undefined) {
			touched = { existed: this.sets.has(name), isReset: false, added: new Set(), removed: new Set() };
			this.#touchedSets.set(name, touched);
		}
		return touched;
	}
}
