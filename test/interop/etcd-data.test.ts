import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, EtcdBackend, systemClock } from '#datastore';
import { Ipam } from '#ipam';
import type { Ip } from '#net';
import { API_VERSION } from '#resources';
import { EtcdServer } from '../support/etcd.ts';

let server: EtcdServer;
let client: Client;
before(async () => {
	server = await EtcdServer.start();
	const backend = new EtcdBackend({ random: Math.random }, { endpoints: [server.endpoint] });
	client = new Client({
		backend,
		clock: { ...systemClock, now: () => Date.parse('2026-08-22T10:00:00Z') },
		addresses: (own) => new Ipam({ client: own, clock: systemClock, random: Math.random }),
	});
});
after(async () => {
	await client[Symbol.asyncDispose]();
	await server[Symbol.asyncDispose]();
});

test('etcdctl sees a cluster’s resources at Calico’s keys, in Calico’s JSON', async () => {
	const uid = '6e4e1c3e-4f2c-4f0b-9b0a-4a0f5d6c7e81';
	await client.resources.create({
		apiVersion: API_VERSION,
		kind: 'Node',
		metadata: { name: 'worker-1', uid, labels: { rack: 'a' } },
		spec: { bgp: { asNumber: 64512, ipv4Address: '10.0.0.11/24' } },
	});
	await client.resources.create({
		apiVersion: API_VERSION,
		kind: 'IPPool',
		metadata: { name: 'default-ipv4-ippool', uid },
		spec: { cidr: '192.168.0.0/16', natOutgoing: true },
	});
	await client.resources.create({
		apiVersion: API_VERSION,
		kind: 'NetworkPolicy',
		metadata: { name: 'allow-web', namespace: 'prod', uid },
		spec: {
			order: 100,
			selector: "app == 'web'",
			ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80, '8000:8100', 'http'] } }],
		},
	});
	await client.resources.create({
		apiVersion: API_VERSION,
		kind: 'WorkloadEndpoint',
		metadata: { name: 'worker--1-k8s-web--7d8f-eth0', namespace: 'default', uid },
		spec: {
			orchestrator: 'k8s',
			node: 'worker-1',
			pod: 'web-7d8f',
			endpoint: 'eth0',
			interfaceName: 'cali82111e10a96',
			ipNetworks: ['192.168.21.67/32'],
		},
	});
	const head = (kind: string): object => ({ kind, apiVersion: 'projectcalico.org/v3' });
	const born = { uid, creationTimestamp: '2026-08-22T10:00:00Z' };
	const expected: Readonly<Record<string, object>> = {
		'nodes/worker-1': {
			...head('Node'),
			metadata: { name: 'worker-1', labels: { rack: 'a' }, ...born },
			spec: { bgp: { asNumber: 64512, ipv4Address: '10.0.0.11/24' } },
		},
		'ippools/default-ipv4-ippool': {
			...head('IPPool'),
			metadata: { name: 'default-ipv4-ippool', ...born },
			spec: {
				cidr: '192.168.0.0/16',
				natOutgoing: true,
				vxlanMode: 'Never',
				ipipMode: 'Never',
				blockSize: 26,
				nodeSelector: 'all()',
				allowedUses: ['Workload', 'Tunnel'],
				assignmentMode: 'Automatic',
			},
		},
		'networkpolicies/prod/allow-web': {
			...head('NetworkPolicy'),
			metadata: {
				name: 'allow-web',
				namespace: 'prod',
				labels: { 'projectcalico.org/tier': 'default' },
				annotations: { 'projectcalico.org/metadata': '{"name":"allow-web"}' },
				...born,
			},
			spec: {
				tier: 'default',
				order: 100,
				selector: "app == 'web'",
				types: ['Ingress'],
				ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80, '8000:8100', 'http'] } }],
			},
		},
		'workloadendpoints/default/worker--1-k8s-web--7d8f-eth0': {
			...head('WorkloadEndpoint'),
			metadata: {
				name: 'worker--1-k8s-web--7d8f-eth0',
				namespace: 'default',
				labels: { 'projectcalico.org/namespace': 'default', 'projectcalico.org/orchestrator': 'k8s' },
				...born,
			},
			spec: {
				orchestrator: 'k8s',
				node: 'worker-1',
				pod: 'web-7d8f',
				endpoint: 'eth0',
				interfaceName: 'cali82111e10a96',
				ipNetworks: ['192.168.21.67/32'],
			},
		},
	};
	const prefix = '/calico/resources/v3/projectcalico.org/';
	for (const [key, value] of Object.entries(expected))
		assert.deepEqual(JSON.parse((await server.value(prefix + key)) ?? 'null'), value, key);
	assert.deepEqual(
		await server.keys('/calico/'),
		[
			...Object.keys(expected),
			// the first node initialises the cluster
			'clusterinformations/default',
			'tiers/default',
			'tiers/kube-admin',
			'tiers/kube-baseline',
		]
			.map((key) => prefix + key)
			.sort((a, b) => (a < b ? -1 : 1)),
	);
});

test('what Calico wrote is read, and rewriting it keeps what is not known', async () => {
	const key = '/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.old';
	await server.ctl(
		'put',
		key,
		'{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.old","uid":"u","creationTimestamp":null},"spec":{"selector":"all()","types":["Ingress"],"future":{"a":[1]}}}',
	);
	const [policy] = (await client.resources.list('GlobalNetworkPolicy')).items;
	assert.equal(policy?.metadata.name, 'old');
	const { value, revision } = await client.backend.get({ type: 'resource', kind: 'GlobalNetworkPolicy', name: 'default.old' });
	assert.equal(value.metadata.resourceVersion, revision);
	await client.backend.update({ type: 'resource', kind: 'GlobalNetworkPolicy', name: 'default.old' }, value, revision);
	const stored = JSON.parse((await server.value(key)) ?? 'null') as { metadata: unknown; spec: unknown };
	assert.deepEqual(stored.spec, { selector: 'all()', types: ['Ingress'], future: { a: [1] } });
	assert.deepEqual(stored.metadata, {
		name: 'old',
		uid: 'u',
		creationTimestamp: null,
		labels: { 'projectcalico.org/tier': 'default' },
		annotations: { 'projectcalico.org/metadata': '{"name":"old"}' },
	});
});

test('a block that another IPAM filled is used on, with its numbers and unknown fields intact', async () => {
	const key = '/calico/ipam/v2/assignment/ipv4/block/192.168.21.64-26';
	const free = Array.from({ length: 63 }, (_, index) => index + 1);
	const block = {
		cidr: '192.168.21.64/26',
		affinity: 'host:worker-1',
		allocations: [0, ...free.map(() => null)],
		unallocated: free,
		attributes: [{ handle_id: 'ipip-tunnel-addr-worker-1', secondary: { node: 'worker-1', type: 'ipipTunnelAddress' } }],
	};
	const numbers =
		'"sequenceNumber":1755856920123456789,"sequenceNumberForAllocation":{"0":1755856920123456787},"future":9007199254740993,"deleted":false';
	await server.ctl('put', key, `${JSON.stringify(block).slice(0, -1)},${numbers}}`);
	await server.ctl('put', '/calico/ipam/v2/host/worker-1/ipv4/block/192.168.21.64-26', '{"state":"confirmed","deleted":false}');
	const ipam = new Ipam({ client, clock: systemClock, random: Math.random });
	await ipam.assign({ address: '192.168.21.67' as Ip, host: 'worker-1', handleId: 'k8s-pod-network.4c1f' });
	const text = (await server.value(key)) ?? '';
	assert.match(text, /"sequenceNumber":1755856920123456790,/);
	assert.match(text, /"sequenceNumberForAllocation":\{"0":1755856920123456787,"3":1755856920123456789\}/);
	assert.match(text, /"future":9007199254740993/);
	assert.equal(await server.value('/calico/ipam/v2/handle/k8s-pod-network.4c1f'), '{"block":{"192.168.21.64/26":1},"deleted":false}');
	const { 4: assigned } = await ipam.autoAssign({ host: 'worker-1', counts: { 4: 1 }, intendedUse: 'Workload', handleId: 'x' });
	assert.equal(assigned?.addresses[0]?.address, '192.168.21.65');
});
