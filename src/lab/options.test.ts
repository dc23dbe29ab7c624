import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { labError } from './errors.ts';
import { parseLabOptions } from './options.ts';
import { DEFAULT_LAB_OPTIONS } from './plan.ts';

test('without options the lab has three nodes with three pods each, flat, IPv4, our own BGP daemon', () => {
	assert.deepEqual(parseLabOptions({}), DEFAULT_LAB_OPTIONS);
});

test('all options are taken', () => {
	assert.deepEqual(parseLabOptions({ name: 'mine', nodes: '5', pods: '2', fabric: 'routed', ip: 'dual', backend: 'bird' }), {
		name: 'mine',
		nodes: 5,
		podsPerNode: 2,
		fabric: 'routed',
		ip: 'dual',
		backend: 'bird',
	});
});

for (const { option, raw } of [
	{ option: '--nodes', raw: { nodes: '0' } },
	{ option: '--nodes', raw: { nodes: '17' } },
	{ option: '--nodes', raw: { nodes: '3.5' } },
	{ option: '--nodes', raw: { nodes: '1', fabric: 'routed' } },
	{ option: '--pods', raw: { pods: '-1' } },
	{ option: '--pods', raw: { pods: '' } },
	{ option: '--fabric', raw: { fabric: 'ring' } },
	{ option: '--ip', raw: { ip: '5' } },
	{ option: '--backend', raw: { backend: 'BIRD' } },
	{ option: '--name', raw: { name: '../etc' } },
	{ option: '--name', raw: { name: 'a'.repeat(21) } },
]) {
	test(`${option} ${JSON.stringify(Object.values(raw)[0])} is refused by name, with what is allowed`, () => {
		assert.throws(
			() => parseLabOptions(raw),
			(error) => labError.is(error, 'LAB_BAD_OPTION') && error.path === option && error.allowed !== undefined,
		);
	});
}

test('no text of any option fails in another way', () => {
	const text = fc.option(fc.string(), { nil: undefined });
	fc.assert(
		fc.property(fc.record({ name: text, nodes: text, pods: text, fabric: text, ip: text, backend: text }), (raw) => {
			try {
				parseLabOptions(Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== undefined)));
			} catch (error) {
				assert.ok(labError.is(error, 'LAB_BAD_OPTION'));
			}
		}),
	);
});
