import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BlockKey, datastoreError, MemoryBackend } from '#datastore';
import { cidr, type Ip } from '#net';
import { API_VERSION, type IPPool } from '#resources';
import type { AutoAssignRequest } from './auto-assign.ts';
import { ipamError } from './errors.ts';
import { shortageText } from './index.ts';
import { allocationsOf, checkIntegrity, makeCluster, type TestCluster } from './testing.ts';

const SMALL: IPPool['spec'] = { cidr: '10.0.0.0/28', blockSize: 30 };

interface Case extends TestCluster {
	readonly backend: MemoryBackend;
	/** Assigns to a host under the handle `<host>.<n>`; returns the addresses in order. */
	readonly assign: (host: string, count: number, more?: Partial<AutoAssignRequest>) => Promise<readonly Ip[]>;
}

async function cluster(pools: Readonly<Record<string, IPPool['spec']>>, hosts: readonly string[] = ['h1', 'h2']): Promise<Case> {
	const backend = new MemoryBackend();
	const made = await makeCluster(backend, hosts, pools);
	let serial = 0;
	return {
		...made,
		backend,
		async assign(host, count, more = {}) {
			const request = { host, counts: { 4: count }, intendedUse: 'Workload', handleId: `${host}.${++serial}`, ...more } as const;
			return (await made.ipam.autoAssign(request))[4]?.addresses.map(({ address }) => address) ?? [];
		},
	};
}

function isIpamError(code: Parameters<typeof ipamError>[0], words?: RegExp): (error: unknown) => boolean {
	return (error) => {
		assert.ok(ipamError.is(error), String(error));
		assert.equal(error.code, code, error.message);
		if (words !== undefined) assert.match(error.message, words);
		return true;
	};
}

describe('assigning', () => {
	test('addresses come from a block of the host, in the order in which they became free', async () => {
		const { ipam, assign, backend } = await cluster({ pool: { cidr: '10.0.0.0/16' } });
		const [first, second, third] = await assign('h1', 3);
		const block = cidr(`${first}/26`);
		assert.ok(block.startsWith((first as string).replace(/\.\d+$/, '')));
		assert.deepEqual([second, third], [next(first as Ip, 1), next(first as Ip, 2)]);
		await ipam.releaseAddresses([second as Ip]);
		// the one that was given back waits behind all others
		assert.deepEqual(await assign('h1', 2), [next(first as Ip, 3), next(first as Ip, 4)]);
		const rest = await assign('h1', 60);
		assert.equal(rest.at(-1), second);
		await checkIntegrity(backend);
	});

	test('a block is stored as Calico stores it', async () => {
		const { ipam, backend, clock } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
		await ipam.autoAssign({
			host: 'h1',
			counts: { 4: 1 },
			intendedUse: 'Workload',
			handleId: 'net.c1',
			attributes: { node: 'h1', pod: 'web' },
		});
		await ipam.assign({ address: '10.0.0.2' as Ip, host: 'h1', handleId: 'net.c1', attributes: { node: 'h1', pod: 'web' } });
		await ipam.assign({ address: '10.0.0.3' as Ip, host: 'h1' });
		const start = BigInt(clock.now()) * 1_000_000n;
		assert.equal(
			backend.raw('/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30'),
			'{"cidr":"10.0.0.0/30","affinity":"host:h1","affinity_claim_time":"2026-08-22T10:00:00Z","allocations":[0,null,0,1],"unallocated":[1],' +
				'"attributes":[{"handle_id":"net.c1","secondary":{"node":"h1","pod":"web"}},{}],' +
				`"sequenceNumber":${start + 3n},"sequenceNumberForAllocation":{"0":${start},"2":${start + 1n},"3":${start + 2n}},"deleted":false}`,
		);
		assert.equal(backend.raw('/calico/ipam/v2/host/h1/ipv4/block/10.0.0.0-30'), '{"state":"confirmed","deleted":false}');
		assert.equal(backend.raw('/calico/ipam/v2/handle/net.c1'), '{"block":{"10.0.0.0/30":2},"deleted":false}');
	});

	test('both families are assigned in one request', async () => {
		const { ipam } = await cluster({ v4: { cidr: '10.0.0.0/16' }, v6: { cidr: 'fd00::/48' } });
		const result = await ipam.autoAssign({ host: 'h1', counts: { 4: 1, 6: 2 }, intendedUse: 'Workload', handleId: 'x' });
		assert.equal(result[4]?.addresses.length, 1);
		assert.equal(result[6]?.addresses.length, 2);
		assert.match(result[6]?.addresses[0]?.block ?? '', /\/122$/);
		assert.equal((await ipam.ipsByHandle('x')).length, 3);
	});

	test('a host goes on with another block when one is full', async () => {
		const { assign, backend } = await cluster({ pool: SMALL });
		assert.equal(new Set((await assign('h1', 7)).map((address) => cidr(`${address}/30`))).size, 2);
		await checkIntegrity(backend);
	});

	test('hosts begin at different places of a pool', async () => {
		const hosts = Array.from({ length: 20 }, (_, index) => `worker-${index}`);
		const { assign } = await cluster({ pool: { cidr: '10.0.0.0/8' } }, hosts);
		const blocks = new Set<string>();
		for (const host of hosts) for (const address of await assign(host, 1)) blocks.add(cidr(`${address}/26`));
		assert.equal(blocks.size, hosts.length);
	});

	test('a full pool is said to be full, and what there was is assigned', async () => {
		const { ipam, backend } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
		const result = await ipam.autoAssign({ host: 'h1', counts: { 4: 6 }, intendedUse: 'Workload' });
		assert.equal(result[4]?.addresses.length, 4);
		assert.equal(
			result[4] === undefined ? '' : shortageText(4, result[4]),
			'Assigned 4 out of 6 requested IPv4 addresses; No IPs available in pools: [10.0.0.0/30]',
		);
		await checkIntegrity(backend);
	});

	test('reserved addresses are not assigned, and a reserved pool of any size costs no time', async () => {
		const { client, assign, ipam } = await cluster({ pool: { cidr: '10.0.0.0/29', blockSize: 30 }, v6: { cidr: 'fd00::/16' } });
		await client.resources.create({
			apiVersion: API_VERSION,
			kind: 'IPReservation',
			metadata: { name: 'r' },
			spec: { reservedCIDRs: ['10.0.0.0/31', '10.0.0.2/32', '10.0.0.4/30', 'fd00::/17', 'fd00:8000::/18'] },
		});
		assert.deepEqual(await assign('h1', 8), ['10.0.0.3']);
		const { 6: v6 } = await ipam.autoAssign({ host: 'h1', counts: { 6: 1 }, intendedUse: 'Workload' });
		assert.match(v6?.addresses[0]?.address ?? '', /^fd00:[c-f]/);
		// who asks for one by name gets it
		await ipam.assign({ address: '10.0.0.1' as Ip, host: 'h1' });
	});

	test('an address that was given back cools down before it is assigned again', async () => {
		const { ipam, assign, clock, backend } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
		await ipam.setConfig({ ipCooldownSeconds: 30 });
		const addresses = await assign('h1', 4);
		await ipam.releaseAddresses(addresses.slice(0, 1));
		assert.deepEqual(await assign('h1', 1), []);
		await assert.rejects(ipam.assign({ address: addresses[0] as Ip, host: 'h1' }), isIpamError('IPAM_ASSIGNED', /cooling down/));
		assert.equal(await ipam.assignmentOf(addresses[0] as Ip), undefined);
		clock.advance(29_000);
		assert.deepEqual(await assign('h1', 1), []);
		clock.advance(1_000);
		assert.deepEqual(await assign('h1', 1), addresses.slice(0, 1));
		await checkIntegrity(backend);
	});
});

describe('choosing a pool', () => {
	test('pools are chosen by labels, mode and use', async () => {
		const base = { blockSize: 30, allowedUses: ['Workload'] as const };
		const { client, assign } = await cluster({
			disabled: { ...base, cidr: '10.1.0.0/28', disabled: true },
			manual: { ...base, cidr: '10.2.0.0/28', assignmentMode: 'Manual' },
			elsewhere: { ...base, cidr: '10.3.0.0/28', nodeSelector: "host == 'h2'" },
			tenant: { ...base, cidr: '10.4.0.0/28', namespaceSelector: "tenant == 'a'" },
			tunnel: { ...base, cidr: '10.5.0.0/28', allowedUses: ['Tunnel'] },
		});
		await assert.rejects(assign('h1', 1), isIpamError('IPAM_NO_POOL', /no pools match the required use/));
		assert.match((await assign('h1', 1, { namespaceLabels: { tenant: 'a' } }))[0] ?? '', /^10\.4/);
		assert.match((await assign('h2', 1))[0] ?? '', /^10\.3/);
		assert.match((await assign('h1', 1, { intendedUse: 'Tunnel' }))[0] ?? '', /^10\.5/);
		assert.match((await assign('h1', 1, { pools: { 4: [cidr('10.2.0.0/28')] } }))[0] ?? '', /^10\.2/);
		assert.match((await assign('h1', 1, { pools: { 4: [cidr('10.3.0.0/28')] } }))[0] ?? '', /^10\.3/);
		await assert.rejects(assign('h1', 1, { pools: { 4: [cidr('10.1.0.0/28')] } }), isIpamError('IPAM_UNKNOWN_POOL', /10\.1\.0\.0\/28/));
		for (const name of ['elsewhere', 'tunnel']) {
			const pool = await client.resources.get('IPPool', { name });
			await client.resources.update({ ...pool, spec: { ...pool.spec, disabled: true } });
		}
		await assert.rejects(assign('h1', 1), isIpamError('IPAM_NO_POOL', /no enabled IPv4 pool for the node h1/));
	});

	test('a host without Node resource gets nothing', async () => {
		const { assign } = await cluster({ pool: SMALL });
		await assert.rejects(assign('stranger', 1), isIpamError('IPAM_UNKNOWN_NODE', /stranger/));
	});

	test('the order of pools is the order of use', async () => {
		const { assign } = await cluster({ a: { cidr: '10.1.0.0/30', blockSize: 30 }, b: { cidr: '10.2.0.0/30', blockSize: 30 } });
		assert.deepEqual(
			(await assign('h1', 5)).map((address) => address.slice(0, 4)),
			['10.1', '10.1', '10.1', '10.1', '10.2'],
		);
	});
});

describe('sharing a pool', () => {
	test('a host without free blocks borrows from others, unless affinity is strict', async () => {
		const { assign, ipam, backend } = await cluster({ pool: { cidr: '10.0.0.0/29', blockSize: 30 } }, ['h1', 'h2', 'h3']);
		for (const host of ['h1', 'h2']) await assign(host, 1);
		const [borrowed] = await assign('h3', 1);
		const allocation = (await allocationsOf(backend)).find(({ address }) => address === borrowed);
		assert.match(allocation?.affinity ?? '', /^host:h[12]$/);
		await ipam.setConfig({ strictAffinity: true });
		const result = await ipam.autoAssign({ host: 'h3', counts: { 4: 1 }, intendedUse: 'Workload' });
		assert.deepEqual(result[4]?.reasons, ['No more free affine blocks and strict affinity enabled']);
		await assert.rejects(ipam.assign({ address: '10.0.0.3' as Ip, host: 'h3' }), isIpamError('IPAM_NOT_AFFINE', /10\.0\.0\.3/));
	});

	test('the limit of blocks per host ends the search, without borrowing', async () => {
		const { assign, ipam } = await cluster({ pool: { cidr: '10.0.0.0/24', blockSize: 30 } });
		await assign('h2', 1);
		const result = await ipam.autoAssign({ host: 'h1', counts: { 4: 5, 6: 1 }, intendedUse: 'Workload', maxBlocksPerHost: 1 });
		assert.equal(result[4]?.addresses.length, 4);
		assert.deepEqual(result[4]?.reasons, ['Need to allocate an IPAM block but could not - limit of 1 blocks reached for this node']);
		assert.equal(result[6], undefined);
		assert.equal((await assign('h1', 80)).length, 19 * 4);
		await ipam.setConfig({ strictAffinity: true, maxBlocksPerHost: 21 });
		assert.equal((await assign('h1', 80)).length, 4);
	});

	test('an empty block of another host is taken over once it has been idle for a minute', async () => {
		const { assign, ipam, backend, clock } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
		await ipam.setConfig({ strictAffinity: true });
		await ipam.releaseAddresses(await assign('h1', 4));
		assert.deepEqual(await assign('h2', 1), []);
		clock.advance(60_000);
		assert.equal((await assign('h2', 1)).length, 1);
		assert.equal((await allocationsOf(backend))[0]?.affinity, 'host:h2');
		await checkIntegrity(backend);
	});

	test('a claim of a host that crashed half-way is completed', async () => {
		for (const state of ['pending', 'pendingDeletion'] as const) {
			const { assign, backend } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
			await backend.create({ type: 'affinity', affinityType: 'host', host: 'h1', cidr: cidr('10.0.0.0/30') }, { state });
			assert.equal((await assign('h1', 1)).length, 1);
			await checkIntegrity(backend);
		}
	});

	test('two hosts that claim the same block: the loser takes its claim back and looks elsewhere', async () => {
		const { assign, backend } = await cluster({ pool: { cidr: '10.0.0.0/29', blockSize: 30 } });
		await backend.create({ type: 'affinity', affinityType: 'host', host: 'h1', cidr: cidr('10.0.0.0/30') }, { state: 'pending' });
		await backend.create({ type: 'affinity', affinityType: 'host', host: 'h1', cidr: cidr('10.0.0.4/30') }, { state: 'pending' });
		assert.equal((await assign('h2', 1)).length, 1);
		assert.equal((await assign('h1', 5)).length, 5);
		await checkIntegrity(backend);
	});

	test('a stored block that is invalid is neither used nor overwritten', async () => {
		const { assign, backend } = await cluster({ pool: { cidr: '10.0.0.0/29', blockSize: 30 } });
		const path = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30';
		backend.putRaw(path, '{"cidr":"10.0.0.0/30","allocations":[9,null,null,null]}');
		assert.deepEqual([...(await assign('h1', 8))].sort(), ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.7']);
		assert.match(backend.raw(path) ?? '', /\[9,null/);
	});

	test('an address that a damaged block calls free and allocated at once is not assigned', async () => {
		const { assign, backend } = await cluster({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
		await backend.create({ type: 'affinity', affinityType: 'host', host: 'h1', cidr: cidr('10.0.0.0/30') }, { state: 'confirmed' });
		backend.putRaw(
			'/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30',
			'{"cidr":"10.0.0.0/30","affinity":"host:h1","allocations":[0,null,null,null],"unallocated":[0,1,2,3],"attributes":[{"handle_id":"x"}],"sequenceNumber":1}',
		);
		assert.deepEqual(await assign('h1', 4), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
	});
});

describe('assigning a chosen address', () => {
	test('it has to be in an enabled pool for the intended use, and free', async () => {
		const { ipam, backend } = await cluster({
			pool: { cidr: '10.0.0.0/28', blockSize: 30, allowedUses: ['Workload'] },
			off: { cidr: '10.9.0.0/28', blockSize: 30, disabled: true },
		});
		const table: readonly (readonly [string, Parameters<typeof ipamError>[0], RegExp])[] = [
			['192.0.2.1', 'IPAM_NOT_IN_POOL', /The provided IP address 192\.0\.2\.1 is not in a configured pool/],
			['10.9.0.1', 'IPAM_NOT_IN_POOL', /not in a configured pool/],
			['10.0.0.1', 'IPAM_NO_POOL', /not for Tunnel/],
		];
		for (const [address, code, words] of table)
			await assert.rejects(ipam.assign({ address: address as Ip, host: 'h1', intendedUse: 'Tunnel' }), isIpamError(code, words));
		await ipam.assign({ address: '10.0.0.1' as Ip, host: 'h1', handleId: 'a', intendedUse: 'Workload' });
		await assert.rejects(ipam.assign({ address: '10.0.0.1' as Ip, host: 'h1' }), isIpamError('IPAM_ASSIGNED', /already assigned/));
		assert.equal((await ipam.assignmentOf('10.0.0.1' as Ip))?.handleId, 'a');
		await checkIntegrity(backend);
	});
});

describe('releasing', () => {
	test('handle and sequence number protect an address that is somebody else’s by now', async () => {
		const { ipam, backend } = await cluster({ pool: SMALL });
		const address = '10.0.0.1' as Ip;
		await ipam.assign({ address, host: 'h1', handleId: 'a' });
		const { value } = await backend.get<BlockKey>({ type: 'block', cidr: cidr('10.0.0.0/30') });
		const sequenceNumber = value.sequenceNumberForAllocation['1'] as bigint;
		await assert.rejects(ipam.release([{ address, handleId: 'b' }]), isIpamError('IPAM_BAD_HANDLE', /10\.0\.0\.1/));
		await assert.rejects(ipam.release([{ address, sequenceNumber: sequenceNumber - 1n }]), isIpamError('IPAM_BAD_SEQUENCE'));
		assert.deepEqual(await ipam.release([{ address, handleId: 'a\rold', sequenceNumber }]), { released: [address], unallocated: [] });
		assert.deepEqual(await ipam.release([{ address }]), { released: [], unallocated: [address] });
	});

	test('of one block all addresses are released, or none', async () => {
		const { ipam, backend } = await cluster({ pool: SMALL });
		for (const [last, handleId] of [
			['1', 'a'],
			['2', 'b'],
			['5', 'a'],
		])
			await ipam.assign({ address: `10.0.0.${last}` as Ip, host: 'h1', handleId });
		const requests = ['1', '2', '5'].map((last) => ({ address: `10.0.0.${last}` as Ip, handleId: 'a' }));
		await assert.rejects(ipam.release(requests), isIpamError('IPAM_BAD_HANDLE'));
		assert.deepEqual((await allocationsOf(backend)).map(({ address }) => address).sort(), ['10.0.0.1', '10.0.0.2']);
	});

	test('all addresses of a handle go together, and a handle that is gone is no failure', async () => {
		const { ipam, backend } = await cluster({ pool: SMALL });
		await ipam.autoAssign({ host: 'h1', counts: { 4: 6 }, intendedUse: 'Workload', handleId: 'a' });
		assert.equal(await ipam.releaseByHandle('a'), 6);
		assert.equal(await ipam.releaseByHandle('a'), 0);
		assert.deepEqual(await ipam.ipsByHandle('a'), []);
		await checkIntegrity(backend);
	});

	test('an address is released although its pool is gone', async () => {
		const { ipam, client, backend, assign } = await cluster({ pool: SMALL });
		const [address] = await assign('h1', 1);
		await client.backend.delete({ type: 'resource', kind: 'IPPool', name: 'pool' });
		assert.deepEqual((await ipam.releaseAddresses([address as Ip, '192.0.2.1' as Ip])).unallocated, ['192.0.2.1']);
		assert.deepEqual(await allocationsOf(backend), []);
	});

	test('a block goes back when it is empty and its pool does not select the host any more', async () => {
		const { ipam, client, backend, assign } = await cluster({ pool: SMALL });
		const addresses = await assign('h1', 1);
		const pool = await client.resources.get('IPPool', { name: 'pool' });
		await client.resources.update({ ...pool, spec: { ...pool.spec, nodeSelector: "host == 'h2'" } });
		await ipam.releaseAddresses(addresses);
		assert.deepEqual((await backend.list({ type: 'block' })).items, []);
		assert.deepEqual((await backend.list({ type: 'affinity' })).items, []);
	});

	test('a host that leaves gives up its blocks; addresses in use stay, and the last one takes the block along', async () => {
		const { ipam, backend, assign } = await cluster({ pool: SMALL });
		const addresses = await assign('h1', 5);
		await ipam.releaseAddresses(addresses.slice(4));
		await ipam.releaseHost('h1');
		assert.deepEqual((await backend.list({ type: 'affinity' })).items, []);
		assert.deepEqual(
			(await allocationsOf(backend)).map(({ affinity }) => affinity),
			[null, null, null, null],
		);
		await ipam.releaseAddresses(addresses.slice(0, 4));
		assert.deepEqual((await backend.list({ type: 'block' })).items, []);
		await checkIntegrity(backend);
	});

	test('a block that is in use is given up only by who accepts that', async () => {
		const { ipam, assign } = await cluster({ pool: SMALL });
		const block = cidr(`${(await assign('h1', 1))[0]}/30`);
		await assert.rejects(ipam.releaseAffinity('h1', block, { mustBeEmpty: true }), isIpamError('IPAM_BLOCK_IN_USE'));
		await ipam.releaseAffinity('h1', block, { mustBeEmpty: false });
		await assert.rejects(ipam.releaseAffinity('h1', block, { mustBeEmpty: false }), (error) =>
			datastoreError.is(error, 'DATASTORE_NOT_FOUND'),
		);
	});
});

describe('nodes and pools', () => {
	test('deleting a node releases its endpoints’ and tunnels’ addresses, its blocks and its own configuration', async () => {
		const { ipam, client, backend } = await cluster({ pool: SMALL });
		for (const [address, handleId] of [
			['10.0.0.1', 'pod'],
			['10.0.0.2', 'tunnel'],
			['10.0.0.5', 'h2'],
		])
			await ipam.assign({ address: address as Ip, host: 'h1', handleId });
		const node = await client.resources.get('Node', { name: 'h1' });
		await client.resources.update({ ...node, spec: { ...node.spec, ipv4VXLANTunnelAddr: '10.0.0.2' } });
		for (const [owner, address] of [
			['h1', '10.0.0.1/32'],
			['h1-x', '10.0.0.5/32'],
		] as const)
			await client.resources.create({
				apiVersion: API_VERSION,
				kind: 'WorkloadEndpoint',
				metadata: { namespace: 'default', name: `${owner.replace('-', '--')}-k8s-web-eth0` },
				spec: { orchestrator: 'k8s', node: owner, pod: 'web', endpoint: 'eth0', ipNetworks: [address], interfaceName: 'cali1' },
			});
		await client.resources.create({
			apiVersion: API_VERSION,
			kind: 'BGPPeer',
			metadata: { name: 'p' },
			spec: { node: 'h1', peerIP: '192.0.2.1', asNumber: 64512 },
		});
		await client.resources.create({ apiVersion: API_VERSION, kind: 'FelixConfiguration', metadata: { name: 'node.h1' }, spec: {} });
		await client.resources.delete('Node', { name: 'h1' });
		assert.deepEqual(
			(await allocationsOf(backend)).map(({ address, affinity }) => [address, affinity]),
			[['10.0.0.5', null]],
		);
		const names = async (kind: 'WorkloadEndpoint' | 'BGPPeer' | 'FelixConfiguration' | 'Node'): Promise<readonly string[]> =>
			(await client.resources.list(kind)).items.map(({ metadata }) => metadata.name);
		assert.deepEqual(await names('WorkloadEndpoint'), ['h1--x-k8s-web-eth0']);
		assert.deepEqual(await names('BGPPeer'), []);
		assert.deepEqual(await names('FelixConfiguration'), []);
		assert.deepEqual(await names('Node'), ['h2']);
	});

	test('deleting a pool gives its empty blocks up', async () => {
		const { ipam, client, backend, assign } = await cluster({ pool: SMALL, other: { cidr: '10.1.0.0/28', blockSize: 30 } });
		await ipam.releaseAddresses(await assign('h1', 2, { pools: { 4: [cidr('10.0.0.0/28')] } }));
		await client.resources.delete('IPPool', { name: 'pool' });
		assert.deepEqual((await backend.list({ type: 'block' })).items, []);
		assert.deepEqual(
			(await client.resources.list('IPPool')).items.map(({ metadata }) => metadata.name),
			['other'],
		);
	});
});

describe('the state of address management', () => {
	test('usage counts pools and blocks, and names borrowed addresses', async () => {
		const { ipam, client, assign } = await cluster({ pool: { cidr: '10.0.0.0/29', blockSize: 30 } }, ['h1', 'h2', 'h3']);
		await client.resources.create({
			apiVersion: API_VERSION,
			kind: 'IPReservation',
			metadata: { name: 'r' },
			spec: { reservedCIDRs: ['10.0.0.3', '10.0.0.7'] },
		});
		for (const host of ['h1', 'h2', 'h3']) await assign(host, 1, { attributes: { node: host } });
		await ipam.assign({ address: '10.0.0.3' as Ip, host: 'h1' });
		const [pool] = await ipam.usage();
		assert.deepEqual([pool?.name, pool?.total, pool?.inUse, pool?.reserved, pool?.free], ['pool', 8n, 4n, 1n, 3n]);
		const [borrowed] = pool?.blocks.flatMap((block) => block.borrowed) ?? [];
		assert.equal(borrowed?.borrower, 'h3');
		assert.equal(pool?.blocks.length, 2);
		assert.deepEqual(
			pool?.blocks.map(({ inUse, free, reserved }) => inUse + free + reserved),
			[4n, 4n],
		);
	});

	test('the configuration has Calico’s defaults, is not written by reading, and refuses what contradicts itself', async () => {
		const { ipam, backend } = await cluster({});
		assert.deepEqual(await ipam.config(), {
			strictAffinity: false,
			autoAllocateBlocks: true,
			maxBlocksPerHost: 0,
			ipCooldownSeconds: 0,
			extra: {},
		});
		assert.equal(backend.raw('/calico/ipam/v2/config'), undefined);
		for (const change of [{ autoAllocateBlocks: false }, { maxBlocksPerHost: 3 }, { ipCooldownSeconds: 1201 }])
			await assert.rejects(ipam.setConfig(change), isIpamError('IPAM_BAD_REQUEST'));
		await ipam.setConfig({ strictAffinity: true, maxBlocksPerHost: 3 });
		assert.equal(backend.raw('/calico/ipam/v2/config'), '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":3}');
		backend.putRaw('/calico/ipam/v2/config', '{"strict_affinity":true,"kubeVirtVMAddressPersistence":"Enabled"}');
		assert.equal((await ipam.config()).autoAllocateBlocks, false);
		await ipam.setConfig({ ipCooldownSeconds: 5 });
		assert.match(backend.raw('/calico/ipam/v2/config') ?? '', /"ipCooldownSeconds":5,"kubeVirtVMAddressPersistence":"Enabled"/);
	});

	test('no block is claimed automatically when that is turned off', async () => {
		const { ipam, assign } = await cluster({ pool: SMALL });
		await ipam.setConfig({ strictAffinity: true, autoAllocateBlocks: false });
		assert.deepEqual(await assign('h1', 1), []);
	});
});

function next(address: Ip, offset: number): string {
	const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
	return `${a}.${b}.${c}.${d + offset}`;
}
