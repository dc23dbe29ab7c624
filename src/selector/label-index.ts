import type { Labels, SelectorNode } from './ast.ts';
import { matches } from './evaluate.ts';
import { type LabelRecord, LabelTable } from './label-table.ts';
import type { Selector } from './parser.ts';
import { type LabelCondition, labelsOf, type Requirement, requirementOf } from './requirement.ts';

/** Told of every match that begins or ends. A listener does not change the index from within. */
export interface MatchListener<SelectorId, ItemId> {
	onMatchStarted(selector: SelectorId, item: ItemId): void;
	onMatchStopped(selector: SelectorId, item: ItemId): void;
}

interface IndexedSelector<SelectorId, ItemId> {
	readonly id: SelectorId;
	root: SelectorNode;
	labels: ReadonlySet<string>;
	/** Conditions under which the selector is filed; undefined files it among those that anything may match. */
	requirement: Requirement | undefined;
	readonly matches: Set<IndexedItem<SelectorId, ItemId>>;
}

interface Parent<SelectorId, ItemId> {
	readonly id: string;
	labels: LabelRecord;
	readonly items: Set<IndexedItem<SelectorId, ItemId>>;
}

interface IndexedItem<SelectorId, ItemId> {
	readonly id: ItemId;
	view: ItemLabels<SelectorId, ItemId>;
	readonly matches: Set<IndexedSelector<SelectorId, ItemId>>;
}

/** The labels of an item: its own, and for the rest those of the first parent that has the label. */
class ItemLabels<SelectorId, ItemId> implements Labels {
	readonly own: LabelRecord;
	readonly parents: readonly Parent<SelectorId, ItemId>[];

	constructor(own: LabelRecord, parents: readonly Parent<SelectorId, ItemId>[]) {
		this.own = own;
		this.parents = parents;
	}

	get(label: string): string | undefined {
		if (Object.hasOwn(this.own, label)) return this.own[label];
		for (const { labels } of this.parents) if (Object.hasOwn(labels, label)) return labels[label];
		return undefined;
	}

	/** Whether a parent's label is not seen, as the item itself or an earlier parent has it. */
	hides(label: string, parent: Parent<SelectorId, ItemId>): boolean {
		if (Object.hasOwn(this.own, label)) return true;
		for (const earlier of this.parents) {
			if (earlier === parent) return false;
			if (Object.hasOwn(earlier.labels, label)) return true;
		}
		return false;
	}

	/** Every label that is there, some perhaps more than once. */
	*names(): Generator<string> {
		yield* Object.keys(this.own);
		for (const { labels } of this.parents) yield* Object.keys(labels);
	}
}

const NO_LABELS: LabelRecord = {};

/**
 * Keeps which of many selectors match which of many labelled items, while both change. Items inherit labels from parents
 * (an endpoint from its profiles). The work of a change is in proportion to what it may touch: selectors are filed under
 * a label that a match needs, items under the labels they have, and a selector that names no label that changed is not
 * looked at.
 */
export class LabelIndex<SelectorId, ItemId> {
	readonly #listener: MatchListener<SelectorId, ItemId>;
	readonly #selectors = new Map<SelectorId, IndexedSelector<SelectorId, ItemId>>();
	readonly #items = new Map<ItemId, IndexedItem<SelectorId, ItemId>>();
	readonly #parents = new Map<string, Parent<SelectorId, ItemId>>();

	readonly #itemsByLabel = new LabelTable<IndexedItem<SelectorId, ItemId>>();
	readonly #parentsByLabel = new LabelTable<Parent<SelectorId, ItemId>>();
	readonly #selectorsByValue = new Map<string, Map<string | undefined, Set<IndexedSelector<SelectorId, ItemId>>>>();
	readonly #unfiledSelectors = new Set<IndexedSelector<SelectorId, ItemId>>();

	constructor(listener: MatchListener<SelectorId, ItemId>) {
		this.#listener = listener;
	}

	/** Adds a selector, or gives the one of that id another content. */
	setSelector(id: SelectorId, { root }: Selector): void {
		let entry = this.#selectors.get(id);
		if (entry === undefined) {
			entry = { id, root, labels: labelsOf(root), requirement: undefined, matches: new Set() };
			this.#selectors.set(id, entry);
		} else {
			this.#unfile(entry);
			entry.root = root;
			entry.labels = labelsOf(root);
		}
		entry.requirement = requirementOf(root, (condition) => this.#cost(condition));
		this.#file(entry);
		for (const item of entry.matches) this.#compare(entry, item);
		for (const item of this.#itemsThatMayMatch(entry.requirement)) this.#compare(entry, item);
	}

	/** Removes a selector; its matches stop. */
	removeSelector(id: SelectorId): void {
		const entry = this.#selectors.get(id);
		if (entry === undefined) return;
		this.#unfile(entry);
		this.#selectors.delete(id);
		for (const item of entry.matches) this.#stop(entry, item);
	}

	/**
	 * Adds an item, or gives the one of that id other labels and parents.
	 *
	 * @param labels kept as they are: the caller does not change them afterwards
	 * @param parents in the order in which they are asked for labels; a parent may get its labels later
	 */
	setItem(id: ItemId, labels: LabelRecord, parents: readonly string[] = []): void {
		const known = this.#items.get(id);
		const view = new ItemLabels(
			labels,
			parents.map((parent) => this.#parents.get(parent) ?? this.#newParent(parent)),
		);
		if (known === undefined) {
			const item: IndexedItem<SelectorId, ItemId> = { id, view, matches: new Set() };
			this.#items.set(id, item);
			this.#attach(item);
			this.#reconsider(item, undefined);
			return;
		}
		const before = known.view;
		this.#detach(known);
		known.view = view;
		this.#attach(known);
		const changed = new Set<string>();
		for (const each of [before, view]) for (const label of each.names()) if (before.get(label) !== view.get(label)) changed.add(label);
		this.#reconsider(known, changed);
		this.#dropUnusedParents(before.parents);
	}

	/** Removes an item; its matches stop. */
	removeItem(id: ItemId): void {
		const item = this.#items.get(id);
		if (item === undefined) return;
		this.#detach(item);
		this.#dropUnusedParents(item.view.parents);
		this.#items.delete(id);
		for (const selector of item.matches) this.#stop(selector, item);
	}

	/** Gives a parent its labels; a parent without labels is as good as none. */
	setParentLabels(id: string, labels: LabelRecord): void {
		const parent = this.#parents.get(id) ?? this.#newParent(id);
		const before = parent.labels;
		this.#parentsByLabel.delete(before, parent);
		parent.labels = labels;
		this.#parentsByLabel.add(labels, parent);
		const changed = [...new Set([...Object.keys(before), ...Object.keys(labels)])].filter(
			(label) => valueOf(before, label) !== valueOf(labels, label),
		);
		for (const item of changed.length === 0 ? [] : parent.items)
			this.#reconsider(item, new Set(changed.filter((label) => !item.view.hides(label, parent))));
		this.#dropUnusedParents([parent]);
	}

	/** The items that a selector matches now. */
	*itemsMatching(id: SelectorId): Generator<ItemId> {
		for (const item of this.#selectors.get(id)?.matches ?? []) yield item.id;
	}

	/** The selectors that match an item now. */
	*selectorsMatching(id: ItemId): Generator<SelectorId> {
		for (const selector of this.#items.get(id)?.matches ?? []) yield selector.id;
	}

	/** Brings an item's matches up to date; with `changed`, only for selectors that name one of those labels. */
	#reconsider(item: IndexedItem<SelectorId, ItemId>, changed: ReadonlySet<string> | undefined): void {
		if (changed?.size === 0) return;
		const concerns = (selector: IndexedSelector<SelectorId, ItemId>): boolean =>
			changed === undefined || !selector.labels.isDisjointFrom(changed);
		for (const selector of item.matches) if (concerns(selector)) this.#compare(selector, item);
		for (const selector of this.#selectorsThatMayMatch(item)) if (concerns(selector)) this.#compare(selector, item);
	}

	#compare(selector: IndexedSelector<SelectorId, ItemId>, item: IndexedItem<SelectorId, ItemId>): void {
		const is = matches(selector.root, item.view);
		if (is === selector.matches.has(item)) return;
		if (!is) {
			this.#stop(selector, item);
			return;
		}
		selector.matches.add(item);
		item.matches.add(selector);
		this.#listener.onMatchStarted(selector.id, item.id);
	}

	#stop(selector: IndexedSelector<SelectorId, ItemId>, item: IndexedItem<SelectorId, ItemId>): void {
		selector.matches.delete(item);
		item.matches.delete(selector);
		this.#listener.onMatchStopped(selector.id, item.id);
	}

	*#itemsThatMayMatch(requirement: Requirement | undefined): Generator<IndexedItem<SelectorId, ItemId>> {
		if (requirement === undefined) {
			yield* this.#items.values();
			return;
		}
		for (const condition of requirement) {
			yield* this.#itemsByLabel.find(condition);
			for (const parent of this.#parentsByLabel.find(condition)) yield* parent.items;
		}
	}

	*#selectorsThatMayMatch(item: IndexedItem<SelectorId, ItemId>): Generator<IndexedSelector<SelectorId, ItemId>> {
		yield* this.#unfiledSelectors;
		yield* this.#selectorsFiledUnder(item.view.own);
		for (const { labels } of item.view.parents) yield* this.#selectorsFiledUnder(labels);
	}

	*#selectorsFiledUnder(labels: LabelRecord): Generator<IndexedSelector<SelectorId, ItemId>> {
		for (const label of Object.keys(labels)) {
			const byValue = this.#selectorsByValue.get(label);
			if (byValue === undefined) continue;
			yield* byValue.get(undefined) ?? [];
			yield* byValue.get(labels[label]) ?? [];
		}
	}

	#cost(condition: LabelCondition): number {
		const selectors = this.#selectorsByValue.get(condition.label)?.get(condition.value)?.size ?? 0;
		let cost = 1 + selectors + this.#itemsByLabel.count(condition);
		for (const parent of this.#parentsByLabel.find(condition)) cost += parent.items.size;
		return cost;
	}

	#file(selector: IndexedSelector<SelectorId, ItemId>): void {
		if (selector.requirement === undefined) this.#unfiledSelectors.add(selector);
		for (const { label, value } of selector.requirement ?? []) {
			let byValue = this.#selectorsByValue.get(label);
			if (byValue === undefined) this.#selectorsByValue.set(label, (byValue = new Map()));
			const filed = byValue.get(value);
			if (filed === undefined) byValue.set(value, new Set([selector]));
			else filed.add(selector);
		}
	}

	#unfile(selector: IndexedSelector<SelectorId, ItemId>): void {
		this.#unfiledSelectors.delete(selector);
		for (const { label, value } of selector.requirement ?? []) {
			const byValue = this.#selectorsByValue.get(label);
			const filed = byValue?.get(value);
			if (byValue === undefined || filed === undefined) continue;
			filed.delete(selector);
			if (filed.size === 0) byValue.delete(value);
			if (byValue.size === 0) this.#selectorsByValue.delete(label);
		}
	}

	#attach(item: IndexedItem<SelectorId, ItemId>): void {
		for (const parent of item.view.parents) parent.items.add(item);
		this.#itemsByLabel.add(item.view.own, item);
	}

	#detach(item: IndexedItem<SelectorId, ItemId>): void {
		this.#itemsByLabel.delete(item.view.own, item);
		for (const parent of item.view.parents) parent.items.delete(item);
	}

	#newParent(id: string): Parent<SelectorId, ItemId> {
		const parent: Parent<SelectorId, ItemId> = { id, labels: NO_LABELS, items: new Set() };
		this.#parents.set(id, parent);
		return parent;
	}

	#dropUnusedParents(parents: readonly Parent<SelectorId, ItemId>[]): void {
		for (const parent of parents) if (parent.items.size === 0 && Object.keys(parent.labels).length === 0) this.#parents.delete(parent.id);
	}
}

function valueOf(labels: LabelRecord, label: string): string | undefined {
	return Object.hasOwn(labels, label) ? labels[label] : undefined;
}
