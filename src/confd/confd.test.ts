import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { RouterConfig } from '#bgp';
import { Client, MemoryBackend, type MemoryBackendOptions, systemClock } from '#datastore';
import { cidr } from '#net';
import { Confd } from './confd.ts';
import type { RouterSink } from './sink.ts';
import { node, resource } from './test-cluster.ts';

/** A daemon that takes what it is given, unless told to refuse. */
class TestSink implements RouterSink {
	readonly applied: RouterConfig[] = [];
	refusals = 0;
	calls = 0;

	apply(config: RouterConfig): Promise<readonly never[]> {
		this.calls++;
		if (this.refusals-- > 0) return Promise.reject(new Error('no'));
		this.applied.push(config);
		return Promise.resolve([]);
	}

	get last(): RouterConfig | undefined {
		return this.applied.at(-1);
	}
}

interface Bed {
	readonly backend: MemoryBackend;
	readonly client: Client;
	readonly sink: TestSink;
	readonly confd: Confd;
	readonly secrets: Map<string, string>;
}

/** Runs confd for node `a` on a datastore in memory that has nodes `a` and `b`. */
async function withConfd(run: (bed: Bed) => Promise<void>, options: MemoryBackendOptions = {}): Promise<void> {
	const backend = new MemoryBackend(options);
	const client = new Client({ backend, clock: systemClock });
	for (const one of [node('a', { ipv4Address: '10.0.0.1/24' }), node('b', { ipv4Address: '10.0.0.2/24' })])
		await client.resources.create(one);
	const sink = new TestSink();
	const secrets = new Map<string, string>();
	const confd = new Confd(
		{
			backend,
			sink,
			secret: ({ name, key }) => secrets.get(`${name}/${key}`),
			logger: pino({ level: 'silent' }),
			// Time passes a hundred times as fast.
			clock: { now: () => Date.now(), sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) },
			random: () => 0.5,
		},
		{ nodeName: 'a' },
	);
	const stop = new AbortController();
	const running = confd.run(stop.signal);
	try {
		await run({ backend, client, sink, confd, secrets });
	} finally {
		stop.abort();
		await running;
		await client[Symbol.asyncDispose]();
	}
}

async function until(what: string, condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 10_000; Date.now() < end; await sleep(5)) if (condition()) return;
	assert.fail(`not in time: ${what}`);
}

test('the daemon is configured once everything has been read, and again on a change that concerns it', async () => {
	await withConfd(async ({ client, sink, confd }) => {
		await until('the first configuration', () => sink.last !== undefined);
		assert.deepEqual(
			sink.last?.peers.map(({ name }) => name),
			['Mesh_10_0_0_2'],
		);
		assert.ok(confd.ready);
		await client.resources.create(node('c', { ipv4Address: '10.0.0.3/24' }));
		await until('the new node is a peer', () => sink.last?.peers.length === 2);
		const calls = sink.calls;
		await client.resources.create(resource('BGPConfiguration', 'default', { logSeverityScreen: 'Debug' }));
		await client.resources.delete('BGPConfiguration', { name: 'default' });
		await client.resources.create(node('d', { ipv4Address: '10.0.0.4/24' }));
		await until('the last change', () => sink.last?.peers.length === 3);
		assert.equal(sink.calls, calls + 1, 'what changes nothing for the daemon is not given to it');
	});
});

test('a block is announced while the affinity to it is confirmed', async () => {
	await withConfd(async ({ backend, sink }) => {
		const key = { type: 'affinity', affinityType: 'host', host: 'a', cidr: cidr('10.65.0.0/26') } as const;
		const pending = await backend.create(key, { state: 'pending' });
		await until('the first configuration', () => sink.last !== undefined);
		assert.deepEqual(sink.last?.originate, []);
		const confirmed = await backend.update(key, { state: 'confirmed' }, pending.revision);
		await until('the block is originated', () => sink.last?.originate.length === 1);
		await backend.update(key, { state: 'pendingDeletion' }, confirmed.revision);
		await until('the block is withdrawn', () => sink.last?.originate.length === 0);
	});
});

test('a configuration that the daemon refuses is tried again, and named as a problem meanwhile', async () => {
	await withConfd(async ({ client, sink, confd }) => {
		await until('the first configuration', () => sink.last !== undefined);
		sink.refusals = 3;
		await client.resources.create(node('c', { ipv4Address: '10.0.0.3/24' }));
		await until('a problem', () => confd.problems().length === 1);
		assert.match(confd.problems()[0]?.message ?? '', /no/);
		assert.equal(sink.last?.peers.length, 1, 'the last good configuration is in force');
		await until('the configuration is taken', () => sink.last?.peers.length === 2);
		assert.deepEqual(confd.problems(), []);
	});
});

test('a password that turns up brings its session up without a change in the datastore', async () => {
	await withConfd(async ({ client, sink, confd, secrets }) => {
		await client.resources.create(
			resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 64999, password: { secretKeyRef: { name: 'bgp', key: 'tor' } } }),
		);
		await until('a problem', () => confd.problems().some(({ subject }) => subject === 'BGPPeer/tor'));
		assert.ok(!sink.last?.peers.some(({ name }) => name === 'Global_192_0_2_1'));
		secrets.set('bgp/tor', 'k');
		await until('the session', () => sink.last?.peers.some(({ password }) => password === 'k') === true);
		assert.deepEqual(confd.problems(), []);
	});
});

test('a stored object that cannot be read is named, and its last good value stays in force', async () => {
	await withConfd(async ({ backend, sink, confd }) => {
		await until('the first configuration', () => sink.last?.peers.length === 1);
		backend.putRaw('/calico/resources/v3/projectcalico.org/nodes/b', '{ "no": ');
		await until('a problem', () => confd.problems().length === 1);
		assert.match(confd.problems()[0]?.subject ?? '', /nodes\/b/);
		assert.equal(sink.last?.peers.length, 1);
		backend.putRaw('/calico/resources/v3/projectcalico.org/nodes/b', null);
		await until('the node is gone', () => sink.last?.peers.length === 0);
		assert.deepEqual(confd.problems(), []);
	});
});

test('nothing is given to the daemon while part of the datastore cannot be read', async () => {
	let refuse = true;
	let lists = 0;
	const before: NonNullable<MemoryBackendOptions['before']> = (call) =>
		call === 'list' && ++lists > 2 && refuse ? Promise.reject(new Error('not now')) : Promise.resolve();
	await withConfd(
		async ({ sink }) => {
			await sleep(100);
			assert.equal(sink.calls, 0);
			refuse = false;
			await until('the first configuration', () => sink.last !== undefined);
		},
		{ before },
	);
});
