import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
	type AnyResource,
	API_VERSION,
	type GlobalNetworkPolicy,
	type IPPool,
	type NetworkPolicy,
	resourceError,
	type Tier,
} from '#resources';
import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import { MemoryBackend } from '../memory-backend.ts';
import type { Revision } from '../types.ts';
import type { AddressCleanup } from './address-cleanup.ts';
import { Client } from './client.ts';

const PREFIX = '/calico/resources/v3/projectcalico.org';
const clock: Clock = { now: () => Date.parse('2026-08-22T10:00:00.789Z'), sleep: () => Promise.resolve() };

function open(addresses?: AddressCleanup): { readonly backend: MemoryBackend; readonly client: Client } {
	const backend = new MemoryBackend();
	return { backend, client: new Client({ backend, clock, addresses: addresses === undefined ? undefined : () => addresses }) };
}

function globalPolicy(name: string, spec: GlobalNetworkPolicy['spec'] = {}): GlobalNetworkPolicy {
	return { apiVersion: API_VERSION, kind: 'GlobalNetworkPolicy', metadata: { name }, spec };
}

function pool(name: string, spec: IPPool['spec']): IPPool {
	return { apiVersion: API_VERSION, kind: 'IPPool', metadata: { name }, spec };
}

const isError =
	(code: Parameters<typeof datastoreError>[0], path?: string) =>
	(error: unknown): boolean => {
		assert.ok(datastoreError.is(error), String(error));
		assert.equal(error.code, code, error.message);
		if (path !== undefined) assert.equal(error.path, path);
		return true;
	};

describe('writing resources', () => {
	test('what is created has an identity, defaults, and the form in which Calico stores it', async () => {
		const { backend, client } = open();
		const created = await client.resources.create<NetworkPolicy>({
			apiVersion: API_VERSION,
			kind: 'NetworkPolicy',
			metadata: { name: 'allow-web', namespace: 'prod', annotations: { note: 'x' } },
			spec: { selector: "app == 'web'", ingress: [{ action: 'Allow' }] },
		});
		assert.match(created.metadata.uid ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
		assert.equal(created.metadata.creationTimestamp, '2026-08-22T10:00:00Z');
		assert.equal(created.metadata.name, 'allow-web');
		assert.deepEqual(created.metadata.annotations, { note: 'x' });
		assert.deepEqual(created.spec.types, ['Ingress']);
		const stored = JSON.parse(backend.raw(`${PREFIX}/networkpolicies/prod/allow-web`) ?? '') as AnyResource;
		assert.equal(stored.metadata.annotations?.['projectcalico.org/metadata'], '{"name":"allow-web"}');
		assert.equal(stored.metadata.labels?.['projectcalico.org/tier'], 'default');
		assert.equal(stored.metadata.resourceVersion, undefined);
		assert.deepEqual(await client.resources.get('NetworkPolicy', { namespace: 'prod', name: 'allow-web' }), created);
		await assert.rejects(client.resources.create(created), isError('DATASTORE_NOT_ALLOWED', 'metadata.resourceVersion'));
	});

	test('an update needs what a read gave, and keeps what this version does not know', async () => {
		const { backend, client } = open();
		backend.putRaw(
			`${PREFIX}/nodes/n1`,
			'{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"n1","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z","later":1},"spec":{"later":{"x":[1]}}}',
		);
		const node = await client.resources.get('Node', { name: 'n1' });
		const updated = await client.resources.update({ ...node, metadata: { ...node.metadata, labels: { rack: 'a' } } });
		assert.notEqual(updated.metadata.resourceVersion, node.metadata.resourceVersion);
		assert.match(backend.raw(`${PREFIX}/nodes/n1`) ?? '', /"spec":\{"later":\{"x":\[1\]\}\}.*"later":1/);
		await assert.rejects(client.resources.update(node), isError('DATASTORE_CONFLICT'));
		for (const field of ['uid', 'resourceVersion', 'creationTimestamp'] as const) {
			const { [field]: _, ...metadata } = updated.metadata;
			await assert.rejects(
				client.resources.update({ ...updated, metadata: { ...metadata, name: 'n1' } }),
				isError('DATASTORE_NOT_ALLOWED', `metadata.${field}`),
			);
		}
	});

	test('what is invalid is refused with the field’s path, and nothing is written', async () => {
		const { backend, client } = open();
		const broken = { ...globalPolicy('p'), spec: { ingress: [{ action: 'Permit' }] } } as unknown as GlobalNetworkPolicy;
		await assert.rejects(client.resources.create(broken), (error) => resourceError.is(error) && error.path === 'spec.ingress[0].action');
		await assert.rejects(client.resources.apply(broken), (error) => resourceError.is(error));
		assert.equal(backend.raw(`${PREFIX}/globalnetworkpolicies/p`), undefined);
		const good = await client.resources.create(globalPolicy('p'));
		await assert.rejects(client.resources.update({ ...good, spec: broken.spec }), (error) => resourceError.is(error));
		assert.match(backend.raw(`${PREFIX}/globalnetworkpolicies/p`) ?? '', /"spec":\{/);
	});

	test('applying creates, or replaces what is there under its identity', async () => {
		const { client } = open();
		const first = await client.resources.apply(globalPolicy('p', { order: 1 }));
		const second = await client.resources.apply(globalPolicy('p', { order: 2 }));
		assert.equal(second.spec.order, 2);
		assert.equal(second.metadata.uid, first.metadata.uid);
		const stale = { ...globalPolicy('p'), metadata: { name: 'p', resourceVersion: first.metadata.resourceVersion } };
		await assert.rejects(client.resources.apply(stale), isError('DATASTORE_CONFLICT'));
		const current = { ...globalPolicy('p', { order: 3 }), metadata: { name: 'p', resourceVersion: second.metadata.resourceVersion } };
		assert.equal((await client.resources.apply(current)).spec.order, 3);
	});

	test('of those who apply at once, the last one wins and nobody fails', async () => {
		const { client } = open();
		await Promise.all(Array.from({ length: 5 }, (_, order) => client.resources.apply(globalPolicy('p', { order }))));
		assert.equal((await client.resources.list('GlobalNetworkPolicy')).items.length, 1);
	});

	test('a deletion can be bound to a revision', async () => {
		const { client } = open();
		const { metadata } = await client.resources.create(globalPolicy('p'));
		await assert.rejects(client.resources.delete('GlobalNetworkPolicy', { name: 'p' }, '1' as Revision), isError('DATASTORE_CONFLICT'));
		await client.resources.delete('GlobalNetworkPolicy', { name: 'p' }, metadata.resourceVersion as Revision);
		await assert.rejects(client.resources.delete('GlobalNetworkPolicy', { name: 'p' }), isError('DATASTORE_NOT_FOUND'));
	});
});

describe('tiers', () => {
	const tier = (name: string): Tier => ({ apiVersion: API_VERSION, kind: 'Tier', metadata: { name }, spec: { order: 5 } });

	test('a policy needs its tier, and the built-in ones are always there', async () => {
		const { client } = open();
		const inTier = globalPolicy('security.p', { tier: 'security' });
		await assert.rejects(client.resources.create(inTier), isError('DATASTORE_NOT_ALLOWED', 'spec.tier'));
		await client.resources.create(tier('security'));
		const created = await client.resources.create(inTier);
		await assert.rejects(client.resources.update({ ...created, spec: { tier: 'other' } }), isError('DATASTORE_NOT_ALLOWED', 'spec.tier'));
		await client.resources.create(globalPolicy('p'));
		assert.equal((await client.resources.get('Tier', { name: 'default' })).spec.order, 1_000_000);
	});

	test('a tier with policies stays, and so do the built-in ones', async () => {
		const { backend, client } = open();
		await client.ensureInitialized();
		for (const name of ['default', 'kube-admin', 'kube-baseline'])
			await assert.rejects(client.resources.delete('Tier', { name }), isError('DATASTORE_NOT_ALLOWED'));
		await client.resources.create(tier('security'));
		await client.resources.create(globalPolicy('security.p', { tier: 'security' }));
		await assert.rejects(client.resources.delete('Tier', { name: 'security' }), isError('DATASTORE_NOT_ALLOWED'));
		await client.resources.delete('GlobalNetworkPolicy', { name: 'security.p' });
		backend.putRaw(`${PREFIX}/networkpolicies/prod/broken`, '{"spec":{"tier":7}}');
		await assert.rejects(client.resources.delete('Tier', { name: 'security' }), isError('DATASTORE_NOT_ALLOWED'));
		backend.putRaw(`${PREFIX}/networkpolicies/prod/broken`, null);
		await client.resources.delete('Tier', { name: 'security' });
	});
});

describe('pools', () => {
	test('a pool gets its defaults, and may not overlap another', async () => {
		const { client } = open();
		const created = await client.resources.create(pool('a', { cidr: '10.0.0.0/16' }));
		assert.equal(created.spec.blockSize, 26);
		assert.equal(created.spec.nodeSelector, 'all()');
		for (const cidr of ['10.0.128.0/20', '10.0.0.0/8', '10.0.0.0/16'])
			await assert.rejects(client.resources.create(pool('b', { cidr })), isError('DATASTORE_NOT_ALLOWED', 'spec.cidr'));
		await client.resources.create(pool('b', { cidr: '10.1.0.0/16' }));
	});

	test('a pool may not cut blocks that exist to another size', async () => {
		const { backend, client } = open();
		backend.putRaw(
			'/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31',
			'{"cidr":"10.0.0.0/31","allocations":[null,null],"unallocated":[0,1]}',
		);
		await assert.rejects(client.resources.create(pool('a', { cidr: '10.0.0.0/16' })), isError('DATASTORE_NOT_ALLOWED', 'spec.blockSize'));
		await client.resources.create(pool('b', { cidr: '10.1.0.0/16' }));
	});

	test('network and block size of a pool stay as they are', async () => {
		const { client } = open();
		const created = await client.resources.create(pool('a', { cidr: '10.0.0.0/16' }));
		for (const [change, path] of [
			[{ cidr: '10.0.0.0/17' }, 'spec.cidr'],
			[{ blockSize: 27 }, 'spec.blockSize'],
			[{ allowedUses: ['LoadBalancer'] as const }, 'spec.allowedUses'],
		] as const)
			await assert.rejects(
				client.resources.update({ ...created, spec: { ...created.spec, ...change } }),
				isError('DATASTORE_NOT_ALLOWED', path),
			);
		await client.resources.update({ ...created, spec: { ...created.spec, natOutgoing: true } });
	});

	test('without address management neither a pool nor a node is deleted', async () => {
		const { client } = open();
		await client.resources.create(pool('a', { cidr: '10.0.0.0/16' }));
		await client.resources.create({ apiVersion: API_VERSION, kind: 'Node', metadata: { name: 'n' }, spec: {} });
		await assert.rejects(client.resources.delete('IPPool', { name: 'a' }), isError('DATASTORE_UNSUPPORTED'));
		await assert.rejects(client.resources.delete('Node', { name: 'n' }), isError('DATASTORE_UNSUPPORTED'));
	});

	test('a pool is disabled before its blocks go', async () => {
		const seen: unknown[] = [];
		const { client } = open({
			releaseAddresses: () => Promise.resolve(),
			releaseHost: () => Promise.resolve(),
			releasePool: async (cidr) => void seen.push([cidr, (await client.resources.get('IPPool', { name: 'a' })).spec.disabled]),
		});
		await client.resources.create(pool('a', { cidr: '10.0.0.0/16' }));
		await client.resources.delete('IPPool', { name: 'a' });
		assert.deepEqual(seen, [['10.0.0.0/16', true]]);
		assert.deepEqual((await client.resources.list('IPPool')).items, []);
	});
});

describe('a cluster', () => {
	test('is initialised once, and notes who writes to it', async () => {
		const { client } = open();
		await client.ensureInitialized({ version: 'v3.31.0', clusterType: 'k8s' });
		const first = await client.resources.get('ClusterInformation', { name: 'default' });
		assert.match(first.spec.clusterGUID ?? '', /^[0-9a-f]{32}$/);
		assert.equal(first.spec.datastoreReady, true);
		await client.ensureInitialized({ version: 'v3.32.0', clusterType: 'k8s,bgp' });
		const second = await client.resources.get('ClusterInformation', { name: 'default' });
		assert.deepEqual(second.spec, { ...first.spec, calicoVersion: 'v3.32.0', clusterType: 'k8s,bgp' });
		assert.deepEqual(
			(await client.resources.list('Tier')).items.map(({ metadata }) => metadata.name),
			['default', 'kube-admin', 'kube-baseline'],
		);
		await client.ensureInitialized();
		assert.deepEqual(await client.resources.get('ClusterInformation', { name: 'default' }), second);
	});

	test('that is locked stays locked', async () => {
		const { client } = open();
		await client.ensureInitialized();
		const information = await client.resources.get('ClusterInformation', { name: 'default' });
		await client.resources.update({ ...information, spec: { ...information.spec, datastoreReady: false } });
		await client.ensureInitialized({ version: 'v9' });
		const { spec } = await client.resources.get('ClusterInformation', { name: 'default' });
		assert.deepEqual([spec.datastoreReady, spec.calicoVersion], [false, 'v9']);
	});

	test('is initialised by its first node, and only once by nodes that start together', async () => {
		const { client } = open();
		await Promise.all(
			['a', 'b', 'c'].map((name) => client.resources.create({ apiVersion: API_VERSION, kind: 'Node', metadata: { name }, spec: {} })),
		);
		assert.equal((await client.resources.list('ClusterInformation')).items.length, 1);
	});

	test('has its information under one name', async () => {
		const { client } = open();
		const other = { apiVersion: API_VERSION, kind: 'ClusterInformation', metadata: { name: 'other' }, spec: {} } as const;
		await assert.rejects(client.resources.create(other), (error) => resourceError.is(error) && error.path === 'metadata.name');
	});
});
