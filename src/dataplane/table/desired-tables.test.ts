import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_RENDER_OPTIONS } from '../render/options.ts';
import { anyState, deltaBetween, EMPTY_STATE, type State } from '../testing/arbitrary-state.ts';
import { contentOf, StrictTable } from '../testing/strict-table.ts';
import type { DesiredTable } from './desired-table.ts';
import { DesiredTables } from './desired-tables.ts';
import { IpSetState } from './ip-set.ts';
import { isEmptyChange } from './model.ts';
import { writeChange, writeReplacement } from './write.ts';

const anyStates = fc.array(fc.record({ state: anyState, isCommitted: fc.boolean() }), { minLength: 1, maxLength: 8 });

function rendered(state: State): DesiredTables {
	const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
	tables.apply(deltaBetween(EMPTY_STATE, state));
	return tables;
}

function contentIn(kernel: StrictTable, model: DesiredTable): unknown {
	return kernel.content((name) => model.sets.get(name)?.form ?? 'interface');
}

test('deltas one by one lead to the same tables as the last state at once', () => {
	fc.assert(
		fc.property(anyStates, (steps) => {
			const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
			let before = EMPTY_STATE;
			for (const { state } of steps) {
				tables.apply(deltaBetween(before, state));
				before = state;
				const whole = rendered(state);
				for (const [index, model] of tables.models.entries())
					assert.deepEqual(contentOf(model), contentOf(whole.models[index] as DesiredTable));
			}
		}),
		{ numRuns: 150 },
	);
});

test('changes are accepted by a kernel that checks every reference, and lead it to the wanted tables', () => {
	fc.assert(
		fc.property(anyStates, (steps) => {
			const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
			const pairs = [tables.inet, tables.arp].map((model) => ({ model, kernel: new StrictTable() }));
			for (const { model, kernel } of pairs) {
				writeReplacement(kernel, model);
				model.takeChange();
			}
			let before = EMPTY_STATE;
			for (const { state, isCommitted } of steps) {
				tables.apply(deltaBetween(before, state));
				before = state;
				if (!isCommitted) continue;
				for (const { model, kernel } of pairs) {
					writeChange(kernel, model.ref, model.takeChange());
					assert.deepEqual(contentIn(kernel, model), contentOf(model));
				}
			}
			for (const { model, kernel } of pairs) {
				writeReplacement(kernel, model);
				assert.deepEqual(contentIn(kernel, model), contentOf(model));
			}
		}),
		{ numRuns: 150 },
	);
});

test('a state that comes back before it was written leaves nothing to write', () => {
	fc.assert(
		fc.property(anyState, anyState, (here, there) => {
			const tables = rendered(here);
			for (const model of [tables.inet, tables.arp]) model.takeChange();
			tables.apply(deltaBetween(here, there));
			tables.apply(deltaBetween(there, here));
			for (const model of [tables.inet, tables.arp]) {
				const change = model.takeChange();
				// a set that went and came back is written as a whole
				assert.ok(isEmptyChange({ ...change, resetSets: [] }));
			}
		}),
		{ numRuns: 100 },
	);
});

test('a member that joins a set is one element and nothing else', () => {
	const [state] = fc.sample(
		anyState.filter(({ ipSets }) => [...ipSets.values()].some(({ type }) => type === 'ip-port')),
		{ numRuns: 1, seed: 7 },
	) as [State];
	const tables = rendered(state);
	tables.inet.takeChange();
	const id = [...state.ipSets].find(([, { type }]) => type === 'ip-port')?.[0];
	assert.ok(id !== undefined);
	const change = { type: 'ip-port' as const, isNew: false, added: ['10.9.9.9,tcp:99'], removed: [] };
	tables.apply({ ipSets: new Map([[id, change]]), policies: new Map(), endpoints: new Map(), inSync: true });
	const { elements, ...rest } = tables.inet.takeChange();
	assert.ok(isEmptyChange({ ...rest, elements: [] }));
	for (const { added, removed } of elements) assert.deepEqual([added, removed], [['10.9.9.9,tcp:99'], []]);
});

test('a set that is sent anew as a whole loses the members that are not in it', () => {
	const set = new IpSetState('net');
	const change = { type: 'net' as const, isNew: true, removed: [] };
	set.update({ ...change, added: ['10.0.0.1/32', '10.1.0.0/16', 'fd00::1/128'] });
	assert.deepEqual([set.forms(4), set.forms(6)], [['host', 'prefix'], ['host']]);
	set.update({ ...change, added: ['10.1.0.0/16', '10.2.0.0/16'] });
	assert.deepEqual([set.forms(4), set.forms(6)], [['prefix'], ['host']]);
	assert.deepEqual([...set.members(4, 'prefix')], ['10.1.0.0/16', '10.2.0.0/16']);
	assert.deepEqual([set.members(4, 'host').size, set.members(6, 'host').size], [0, 0]);
});

test('of two endpoints with one interface the first by name has it, and the other gets it when that one goes', () => {
	const endpoint = (id: string, address: string): never =>
		({ id, interfaceName: 'cali1', nets: [`${address}/32`], allowedSources: [], ingress: NONE, egress: NONE }) as never;
	const NONE = { tiers: [], profiles: [] };
	const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
	const nothing = deltaBetween(EMPTY_STATE, EMPTY_STATE);
	const sources = (): string[] => [...(tables.inet.sets.get('wl_src4')?.members ?? [])];
	tables.apply({ ...nothing, endpoints: new Map([['x/b', endpoint('x/b', '10.0.0.2')]]) as never });
	tables.apply({ ...nothing, endpoints: new Map([['x/a', endpoint('x/a', '10.0.0.1')]]) as never });
	assert.deepEqual(sources(), ['cali1 10.0.0.1/32']);
	assert.match(tables.problem('x/b' as never) ?? '', /cali1 belongs to endpoint x\/a/);
	tables.apply({ ...nothing, endpoints: new Map([['x/a', null]]) as never });
	assert.deepEqual(sources(), ['cali1 10.0.0.2/32']);
	assert.equal(tables.problem('x/b' as never), undefined);
});
