import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr, cidrOf, formatIp } from '#net';
import { KIND_NAMES, KINDS } from '#resources';
import { datastoreError } from '../errors.ts';
import { inScope, keyId } from '../key.ts';
import type { Key, ListScope } from '../types.ts';
import { etcdKey, etcdRange, isLegacyMarker, parseEtcdKey } from './keys.ts';

const anyName = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?$/);
const anyCidr = fc
	.tuple(fc.constantFrom(4, 16), fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(12))
	.map(([size, bytes, host]) => cidrOf(formatIp(bytes.slice(0, size)), size * 8 - host));
const anyKey: fc.Arbitrary<Key> = fc.oneof(
	fc.tuple(fc.constantFrom(...KIND_NAMES), anyName, anyName).map(([kind, namespace, name]): Key => {
		return KINDS[kind].namespaced ? { type: 'resource', kind, namespace, name } : { type: 'resource', kind, name };
	}),
	anyCidr.map((cidr): Key => ({ type: 'block', cidr })),
	fc
		.tuple(fc.constantFrom('host' as const, 'virtual' as const), anyName, anyCidr)
		.map(([affinityType, host, cidr]): Key => ({ type: 'affinity', affinityType, host, cidr })),
	anyName.map((handleId): Key => ({ type: 'handle', handleId })),
	fc.constant<Key>({ type: 'ipam-config' }),
);

test('keys are laid out as Calico lays them out', () => {
	const table: readonly (readonly [Key, string])[] = [
		[{ type: 'resource', kind: 'Node', name: 'worker-1' }, '/calico/resources/v3/projectcalico.org/nodes/worker-1'],
		[
			{ type: 'resource', kind: 'NetworkPolicy', namespace: 'prod', name: 'allow-web' },
			'/calico/resources/v3/projectcalico.org/networkpolicies/prod/allow-web',
		],
		[
			{ type: 'resource', kind: 'WorkloadEndpoint', namespace: 'default', name: 'worker--1-k8s-web--7d8f-eth0' },
			'/calico/resources/v3/projectcalico.org/workloadendpoints/default/worker--1-k8s-web--7d8f-eth0',
		],
		[{ type: 'resource', kind: 'Profile', name: 'kns.default' }, '/calico/resources/v3/projectcalico.org/profiles/kns.default'],
		[{ type: 'block', cidr: cidr('192.168.21.64/26') }, '/calico/ipam/v2/assignment/ipv4/block/192.168.21.64-26'],
		[{ type: 'block', cidr: cidr('fd80:24e2:f998:72d7::/122') }, '/calico/ipam/v2/assignment/ipv6/block/fd80:24e2:f998:72d7::-122'],
		[
			{ type: 'affinity', affinityType: 'host', host: 'worker-1', cidr: cidr('192.168.21.64/26') },
			'/calico/ipam/v2/host/worker-1/ipv4/block/192.168.21.64-26',
		],
		[
			{ type: 'affinity', affinityType: 'virtual', host: 'load-balancer', cidr: cidr('192.168.21.64/26') },
			'/calico/ipam/v2/virtual/load-balancer/ipv4/block/192.168.21.64-26',
		],
		[{ type: 'handle', handleId: 'k8s-pod-network.4C1f' }, '/calico/ipam/v2/handle/k8s-pod-network.4C1f'],
		[{ type: 'ipam-config' }, '/calico/ipam/v2/config'],
	];
	for (const [key, path] of table) {
		assert.equal(etcdKey(key), path);
		assert.deepEqual(parseEtcdKey(path), key);
	}
});

test('a key is read back as what it was, and is in the range of every scope that covers it, and of no other', () => {
	const scopesOf = (key: Key): readonly ListScope[] => {
		switch (key.type) {
			case 'resource':
				return [
					{ type: 'resource', kind: key.kind },
					...(key.namespace === undefined ? [] : [{ type: 'resource', kind: key.kind, namespace: key.namespace } as const]),
					{ type: 'resource', kind: key.kind, namePrefix: key.name.slice(0, 2) },
				];
			case 'block':
				return [{ type: 'block' }, { type: 'block', family: 4 }, { type: 'block', family: 6 }];
			case 'affinity':
				return [
					{ type: 'affinity', affinityType: key.affinityType },
					{ type: 'affinity', affinityType: key.affinityType, host: key.host },
					{ type: 'affinity', affinityType: key.affinityType, host: key.host, family: 4 },
					{ type: 'affinity', host: key.host, family: 6 },
				];
			case 'handle':
				return [{ type: 'handle' }];
			case 'ipam-config':
				return [{ type: 'ipam-config' }];
			default:
				return key satisfies never;
		}
	};
	fc.assert(
		fc.property(anyKey, anyKey, (key, other) => {
			const path = etcdKey(key);
			assert.deepEqual(parseEtcdKey(path), key);
			assert.equal(keyId(key) === keyId(other), path === etcdKey(other));
			for (const scope of [...scopesOf(key), ...scopesOf(other)]) {
				const range = etcdRange(scope);
				const isInRange = 'key' in range ? path === range.key : path.startsWith(range.prefix);
				// a range may be wider than its scope; what is read is filtered
				if (inScope(scope, key)) assert.ok(isInRange, `${path} in ${JSON.stringify(range)}`);
			}
		}),
		{ numRuns: 1000 },
	);
});

test('other keys are nobody’s, whatever they are', () => {
	for (const path of [
		'/calico/v1/Ready',
		'/calico/resources/v3/projectcalico.org/nodes',
		'/calico/resources/v3/projectcalico.org/nodes/',
		'/calico/resources/v3/projectcalico.org/nodes/a/b',
		'/calico/resources/v3/projectcalico.org/networkpolicies/a',
		'/calico/resources/v3/projectcalico.org/unknownkinds/a',
		'/calico/ipam/v2/assignment/ipv4/block/10.0.0.0',
		'/calico/ipam/v2/assignment/ipv6/block/10.0.0.0-26',
		'/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-33',
		'/calico/ipam/v2/handle/',
		'/calico/ipam/v2/host/h1',
	])
		assert.equal(parseEtcdKey(path), undefined, path);
	assert.ok(isLegacyMarker('/calico/ipam/v2/host/h1'));
	assert.ok(!isLegacyMarker('/calico/ipam/v2/host/h1/ipv4/block/10.0.0.0-26'));
	fc.assert(
		fc.property(
			fc.oneof(
				fc.string(),
				fc.string().map((rest) => `/calico/ipam/v2/host/${rest}`),
			),
			(path) => {
				const key = parseEtcdKey(path);
				if (key !== undefined) assert.doesNotThrow(() => etcdKey(key));
			},
		),
	);
});

test('a name that would end up elsewhere is refused', () => {
	const bad: readonly Key[] = [
		{ type: 'resource', kind: 'Node', name: 'a/b' },
		{ type: 'resource', kind: 'Node', name: '' },
		{ type: 'resource', kind: 'NetworkSet', name: 'a' },
		{ type: 'resource', kind: 'NetworkSet', namespace: 'x/y', name: 'a' },
		{ type: 'affinity', affinityType: 'host', host: 'a/ipv4', cidr: cidr('10.0.0.0/26') },
	];
	for (const key of bad)
		assert.throws(
			() => etcdKey(key),
			(error) => datastoreError.is(error, 'DATASTORE_REFUSED'),
			JSON.stringify(key),
		);
});
