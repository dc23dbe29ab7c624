import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { datastoreError, EtcdBackend, systemClock } from '#datastore';
import { Ipam } from '#ipam';
import { allocationsOf, makeCluster } from '../../src/ipam/testing.ts';
import { EtcdServer } from '../support/etcd.ts';

const HOSTS = ['h1', 'h2', 'h3', 'h4'];

test('etcd that is killed under hosts which assign and release gives no address twice and loses none', async () => {
	await using server = await EtcdServer.start();
	await using backend = new EtcdBackend({ random: Math.random }, { endpoints: [server.endpoint] });
	const { client } = await makeCluster(backend, HOSTS, { pool: { cidr: '10.0.0.0/26', blockSize: 29 } });
	const ipam = new Ipam({ client, clock: systemClock, random: Math.random });
	const held = new Map<string, string>();
	const handles: string[] = [];
	const stop = new AbortController();
	let failures = 0;
	const run = async (host: string): Promise<void> => {
		for (let round = 0; !stop.signal.aborted; round++) {
			const handleId = `net.${host}.${round}`;
			handles.push(handleId);
			try {
				const { 4: result } = await ipam.autoAssign({ host, counts: { 4: 2 }, intendedUse: 'Workload', handleId });
				for (const { address } of result?.addresses ?? []) {
					assert.equal(held.get(address), undefined, `${address} is given out twice`);
					held.set(address, handleId);
				}
				if (round % 3 === 0) continue;
				for (const [address, holder] of held) if (holder === handleId) held.delete(address);
				await ipam.releaseByHandle(handleId);
			} catch (error) {
				if (!datastoreError.is(error, 'DATASTORE_UNAVAILABLE')) throw error;
				failures++;
				await sleep(50);
			}
		}
	};
	const running = Promise.all(HOSTS.map(run));
	for (let round = 0; round < 3; round++) {
		await sleep(400);
		await server.restart();
	}
	await sleep(200);
	stop.abort();
	await running;
	assert.ok(failures > 0, 'the fault was felt');
	const stored = new Map((await allocationsOf(backend)).map(({ address, handleId }) => [address as string, handleId]));
	for (const [address, handleId] of held) assert.equal(stored.get(address), handleId, `${address} is still held`);
	// whoever gave up half-way has the handle to clean up with, and then every address is there again
	for (const handleId of handles) await ipam.releaseByHandle(handleId);
	assert.deepEqual(await allocationsOf(backend), []);
	const { 4: all } = await ipam.autoAssign({ host: 'h1', counts: { 4: 64 }, intendedUse: 'Workload', handleId: 'all' });
	assert.equal(all?.addresses.length, 64);
});
