import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { EtcdBackend } from '#datastore';
import { allocationsOf, checkIntegrity, makeCluster } from '../../src/ipam/testing.ts';
import { EtcdServer } from '../support/etcd.ts';

const RACER = join(import.meta.dirname, '../support/ipam-racer.ts');

test('hosts in several processes share a pool over etcd: no address twice, no block lost, and what is stored is what they hold', async () => {
	await using server = await EtcdServer.start();
	await using backend = new EtcdBackend({ random: Math.random }, { endpoints: [server.endpoint] });
	const processes = [0, 1, 2].map((process) => [0, 1, 2].map((host) => `p${process}-h${host}`));
	// small enough that hosts fight for blocks, take over each other's and borrow
	await makeCluster(backend, processes.flat(), { pool: { cidr: '10.0.0.0/25', blockSize: 29 } });
	const printed = await Promise.all(
		processes.map((hosts) => promisify(execFile)(process.execPath, [RACER, server.endpoint, '25', ...hosts], { timeout: 120_000 })),
	);
	const held = printed.flatMap(({ stdout }) => Object.entries(JSON.parse(stdout) as Record<string, string>));
	await checkIntegrity(backend);
	const stored = (await allocationsOf(backend)).map(({ address, handleId }) => [address, handleId ?? '']);
	assert.equal(new Map(held).size, held.length, 'no address is held twice');
	assert.deepEqual(Object.fromEntries(held), Object.fromEntries(stored));
	assert.ok(stored.length > 0);
});
