import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { evaluateSelector, LabelIndex, type LabelRecord, parseSelector, type Selector } from './index.ts';
import { anyLabels, anySelectorText } from './testing/arbitraries.ts';

type Change =
	| { readonly type: 'selector'; readonly id: string; readonly selector: Selector | undefined }
	| { readonly type: 'item'; readonly id: number; readonly labels: LabelRecord | undefined; readonly parents: readonly string[] }
	| { readonly type: 'parent'; readonly id: string; readonly labels: LabelRecord };

const anyParent = fc.constantFrom('p', 'q', 'r');
const anyChange: fc.Arbitrary<Change> = fc.oneof(
	fc.record({
		type: fc.constant('selector' as const),
		id: fc.constantFrom('s', 't', 'u', 'v'),
		selector: fc.option(anySelectorText.map(parseSelector), { nil: undefined, freq: 5 }),
	}),
	fc.record({
		type: fc.constant('item' as const),
		id: fc.nat(4),
		labels: fc.option(anyLabels, { nil: undefined, freq: 5 }),
		parents: fc.array(anyParent, { maxLength: 3 }),
	}),
	fc.record({ type: fc.constant('parent' as const), id: anyParent, labels: anyLabels }),
);

test('after every change the index has told exactly the matches that comparing everything finds', () => {
	fc.assert(
		fc.property(fc.array(anyChange, { maxLength: 40 }), (changes) => {
			const told = new Set<string>();
			const index = new LabelIndex<string, number>({
				onMatchStarted(selector, item) {
					assert.ok(!told.has(`${selector} ${item}`), 'started twice');
					told.add(`${selector} ${item}`);
				},
				onMatchStopped(selector, item) {
					assert.ok(told.delete(`${selector} ${item}`), 'stopped before it started');
				},
			});
			const model = new Model();
			for (const change of changes) {
				model.apply(change);
				apply(index, change);
				assert.deepEqual([...told].sort(), model.matches());
				const kept = [...model.selectors.keys()].flatMap((id) => [...index.itemsMatching(id)].map((item) => `${id} ${item}`));
				assert.deepEqual(kept.sort(), model.matches());
				const seen = [...model.items.keys()].flatMap((id) => [...index.selectorsMatching(id)].map((selector) => `${selector} ${id}`));
				assert.deepEqual(seen.sort(), model.matches());
			}
		}),
		{ numRuns: 1000 },
	);
});

test('an own label hides that of a profile, and an earlier profile that of a later one', () => {
	const events: string[] = [];
	const index = newIndex(events);
	index.setParentLabels('first', { team: 'a' });
	index.setParentLabels('second', { team: 'b', zone: 'z' });
	index.setItem(1, {}, ['first', 'second']);
	index.setSelector('a', parseSelector('team == "a"'));
	index.setSelector('b', parseSelector('team == "b"'));
	assert.deepEqual(events.splice(0), ['+a 1']);
	index.setParentLabels('first', {});
	assert.deepEqual(events.splice(0).sort(), ['+b 1', '-a 1']);
	index.setItem(1, { team: 'own' }, ['first', 'second']);
	assert.deepEqual(events.splice(0), ['-b 1']);
	index.setParentLabels('second', { team: 'a' });
	assert.deepEqual(events, []);
});

test('a change that touches no match tells nothing', () => {
	const events: string[] = [];
	const index = newIndex(events);
	index.setSelector('s', parseSelector('a == "x"'));
	index.setItem(1, { a: 'x' }, ['p']);
	assert.deepEqual(events.splice(0), ['+s 1']);
	index.setItem(1, { a: 'x', b: 'y' }, ['q']);
	index.setSelector('s', parseSelector('a == "x" || a == "y"'));
	index.setParentLabels('q', { a: 'z' });
	assert.deepEqual(events, []);
});

test('labels named like members of an object are labels like others', () => {
	const events: string[] = [];
	const index = newIndex(events);
	index.setSelector('s', parseSelector('has(constructor) || has(toString)'));
	index.setItem(1, {});
	assert.deepEqual(events, []);
	index.setItem(1, { constructor: 'x' });
	assert.deepEqual(events, ['+s 1']);
});

test('one change among 20,000 items and 2,000 selectors evaluates few of them', () => {
	const index = new LabelIndex<number, number>({ onMatchStarted() {}, onMatchStopped() {} });
	let reads = 0;
	const counted = (labels: LabelRecord): LabelRecord =>
		new Proxy(labels, {
			get(target, name) {
				reads++;
				return target[String(name)];
			},
		});
	for (let namespace = 0; namespace < 200; namespace++) index.setParentLabels(`kns.${namespace}`, { 'pcns.name': `ns${namespace}` });
	for (let item = 0; item < 20_000; item++)
		index.setItem(item, counted({ app: `app${item % 20}`, ns: `ns${item % 200}` }), [`kns.${item % 200}`]);
	for (let id = 0; id < 2000; id++) index.setSelector(id, parseSelector(`app == "app${id % 20}" && ns == "ns${id % 200}"`));
	const work = (change: () => void): number => {
		reads = 0;
		change();
		return reads;
	};
	const limit = 1000;
	assert.ok(work(() => index.setSelector(2000, parseSelector('ns == "ns7" && app == "app7"'))) < limit);
	assert.ok(work(() => index.setSelector(2001, parseSelector('pcns.name in {"ns7", "ns8"} && app == "app7"'))) < limit);
	assert.ok(work(() => index.setItem(3, counted({ app: 'app4', ns: 'ns3' }), ['kns.3'])) < limit);
	assert.ok(work(() => index.setItem(20_000, counted({ app: 'app4', ns: 'ns4' }), ['kns.4'])) < limit);
	assert.ok(work(() => index.setParentLabels('kns.3', { 'pcns.name': 'ns3', 'pcns.other': 'x' })) < limit);
	assert.ok(work(() => index.removeSelector(2000)) < limit);
});

function newIndex(events: string[]): LabelIndex<string, number> {
	return new LabelIndex({
		onMatchStarted: (selector, item) => events.push(`+${selector} ${item}`),
		onMatchStopped: (selector, item) => events.push(`-${selector} ${item}`),
	});
}

function apply(index: LabelIndex<string, number>, change: Change): void {
	switch (change.type) {
		case 'selector':
			if (change.selector === undefined) index.removeSelector(change.id);
			else index.setSelector(change.id, change.selector);
			return;
		case 'item':
			if (change.labels === undefined) index.removeItem(change.id);
			else index.setItem(change.id, change.labels, change.parents);
			return;
		case 'parent':
			index.setParentLabels(change.id, change.labels);
	}
}

/** Everything compared with everything. */
class Model {
	readonly selectors = new Map<string, Selector>();
	readonly items = new Map<number, { readonly labels: LabelRecord; readonly parents: readonly string[] }>();
	readonly parents = new Map<string, LabelRecord>();

	apply(change: Change): void {
		if (change.type === 'parent') this.parents.set(change.id, change.labels);
		else if (change.type === 'selector') setOrDelete(this.selectors, change.id, change.selector);
		else setOrDelete(this.items, change.id, change.labels && { labels: change.labels, parents: change.parents });
	}

	matches(): string[] {
		const found: string[] = [];
		for (const [item, { labels, parents }] of this.items) {
			const inherited = parents.toReversed().map((parent) => this.parents.get(parent) ?? {});
			const merged = new Map(Object.entries(Object.assign({}, ...inherited, labels) as LabelRecord));
			for (const [id, selector] of this.selectors) if (evaluateSelector(selector, merged)) found.push(`${id} ${item}`);
		}
		return found.sort();
	}
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
	if (value === undefined) map.delete(key);
	else map.set(key, value);
}
