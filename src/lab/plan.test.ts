import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrContainsIp } from '#net';
import { DEFAULT_LAB_OPTIONS, entriesByFamily, type LabOptions, planLab } from './plan.ts';

const anyOptions: fc.Arbitrary<LabOptions> = fc.record({
	name: fc.constantFrom('lab', 'other'),
	nodes: fc.integer({ min: 1, max: 16 }),
	podsPerNode: fc.integer({ min: 0, max: 20 }),
	fabric: fc.constantFrom('flat', 'routed'),
	ip: fc.constantFrom('4', '6', 'dual'),
	backend: fc.constantFrom('tortie', 'bird'),
});

test('every name and address of a lab is given once', () => {
	fc.assert(
		fc.property(anyOptions, (options) => {
			const plan = planLab(options);
			const addresses = [
				...plan.segments.flatMap(({ gateway, interRack }) => [gateway, interRack]),
				...plan.nodes.map(({ addresses }) => addresses),
			]
				.flatMap(entriesByFamily)
				.map(([, { address }]) => address);
			assert.equal(new Set(addresses).size, addresses.length);
			const names = [...plan.segments, ...plan.nodes].map(({ namespace }) => namespace);
			assert.equal(new Set(names).size, names.length);
			const pods = plan.pods.map(({ namespace, name }) => `${namespace}/${name}`);
			assert.equal(new Set(pods).size, pods.length);
			assert.equal(pods.length, options.nodes * options.podsPerNode);
			for (const pool of entriesByFamily(plan.pools))
				for (const address of addresses) assert.ok(!cidrContainsIp(pool[1], address), `${address} is no pod's`);
		}),
	);
});

test('nodes of a routed lab take turns in two racks with an AS number each', () => {
	const plan = planLab({ ...DEFAULT_LAB_OPTIONS, fabric: 'routed', nodes: 3 });
	assert.deepEqual(
		plan.nodes.map(({ name, segment }) => [name, segment.name, segment.asNumber]),
		[
			['node1', 'rack-a', 64_601],
			['node2', 'rack-b', 64_602],
			['node3', 'rack-a', 64_601],
		],
	);
});

test('labs of different names share no namespace', () => {
	const namespaces = (name: string): readonly string[] => planLab({ ...DEFAULT_LAB_OPTIONS, name }).nodes.map(({ namespace }) => namespace);
	assert.deepEqual(namespaces('lab'), ['tortie-node1', 'tortie-node2', 'tortie-node3']);
	assert.deepEqual(namespaces('t1'), ['tortie-t1-node1', 'tortie-t1-node2', 'tortie-t1-node3']);
});
