import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testBackendContract } from './backend-contract.ts';
import { etcdKey } from './etcd/keys.ts';
import { MemoryBackend } from './memory-backend.ts';

testBackendContract('the backend in memory', async () => {
	const backend = new MemoryBackend();
	return {
		backend,
		storeInvalid: async (key) => backend.putRaw(etcdKey(key), '{"spec":{"bgp":7}}'),
		compact: async () => backend.compact(),
		interrupt: async () => backend.disconnect(),
		[Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
	};
});

test('an object that says another name or namespace than it is stored under is invalid; an old policy keeps its prefix in the key', async () => {
	const backend = new MemoryBackend();
	const prefix = '/calico/resources/v3/projectcalico.org/networkpolicies';
	const text = (metadata: object): string => JSON.stringify({ metadata, spec: {} });
	backend.putRaw(`${prefix}/a/p1`, text({ name: 'p1', namespace: 'b' }));
	backend.putRaw(`${prefix}/a/p2`, text({ name: 'p3', namespace: 'a' }));
	backend.putRaw(`${prefix}/a/p4`, text({ name: 'p4' }));
	backend.putRaw(`${prefix}/a/default.p5`, text({ name: 'default.p5', namespace: 'a' }));
	const { items, invalid } = await backend.list({ type: 'resource', kind: 'NetworkPolicy' });
	assert.deepEqual(
		items.map(({ value }) => 'metadata' in value && [value.metadata.namespace, value.metadata.name]),
		[
			['a', 'p5'],
			['a', 'p4'],
		],
	);
	assert.deepEqual(
		invalid.map(({ storedName }) => storedName),
		[`${prefix}/a/p1`, `${prefix}/a/p2`],
	);
});
