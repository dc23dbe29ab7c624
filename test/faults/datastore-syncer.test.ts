import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
	type Backend,
	datastoreError,
	EtcdBackend,
	keyId,
	type ListScope,
	type Revision,
	Syncer,
	type SyncStatus,
	systemClock,
} from '#datastore';
import { EtcdServer } from '../support/etcd.ts';

const LIMIT_MS = 60_000;
const SCOPES: readonly ListScope[] = [{ type: 'handle' }, { type: 'resource', kind: 'Node' }];

/** A consumer of the handles, with the states it went through. */
class Follower implements AsyncDisposable {
	readonly counts = new Map<string, number>();
	readonly statuses: SyncStatus[] = [];
	readonly reasons: string[] = [];
	/** Set where the test replaces the whole datastore. */
	revisionsMayRestart = false;
	readonly #stop = new AbortController();
	readonly #running: Promise<void>;
	readonly #revisions = new Map<string, bigint>();

	constructor(backend: Backend) {
		this.#running = this.#run(backend);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#stop.abort();
		await this.#running;
	}

	/** Waits for a condition; shows the state if it never comes. */
	async until(what: string, condition: () => boolean): Promise<void> {
		const deadline = Date.now() + LIMIT_MS;
		while (!condition()) {
			assert.ok(
				Date.now() < deadline,
				`${what}: ${JSON.stringify([this.statuses, this.reasons.slice(-3), [...this.counts].slice(0, 10)])}`,
			);
			await sleep(10);
		}
	}

	async #run(backend: Backend): Promise<void> {
		const modules = { backend, clock: systemClock, random: Math.random };
		for await (const { status, updates, reason } of new Syncer(modules, { scopes: SCOPES, signal: this.#stop.signal })) {
			if (this.statuses.at(-1) !== status) this.statuses.push(status);
			if (reason !== undefined) this.reasons.push(reason.message);
			for (const { key, value, revision } of updates) {
				assert.ok(this.revisionsMayRestart || BigInt(revision) >= (this.#revisions.get(keyId(key)) ?? 0n), `${keyId(key)} never goes back`);
				this.#revisions.set(keyId(key), BigInt(revision));
				if (key.type !== 'handle') continue;
				if (value === null) this.counts.delete(key.handleId);
				else this.counts.set(key.handleId, (value as { blocks: Record<string, number> }).blocks['n'] as number);
			}
		}
	}
}

/** Writes a handle's count, whatever it was, as often as it takes. */
async function write(backend: Backend, handleId: string, count: number | null): Promise<void> {
	const key = { type: 'handle', handleId } as const;
	const deadline = Date.now() + LIMIT_MS;
	for (;;) {
		try {
			if (count === null) await backend.delete(key);
			else {
				const revision = await backend.get(key).then(
					(current): Revision | undefined => current.revision,
					(error: unknown) => {
						if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
						throw error;
					},
				);
				const value = { blocks: { n: count } };
				if (revision === undefined) await backend.create(key, value);
				else await backend.update(key, value, revision);
			}
			return;
		} catch (error) {
			if (count === null && datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return;
			if (Date.now() > deadline) throw error;
			await sleep(20);
		}
	}
}

async function compactAll(server: EtcdServer): Promise<void> {
	const [status] = JSON.parse(await server.ctl('endpoint', 'status', '-w', 'json')) as [{ Status: { header: { revision: number } } }];
	await server.ctl('compact', String(status.Status.header.revision));
}

function open(server: EtcdServer): EtcdBackend {
	return new EtcdBackend({ random: Math.random }, { endpoints: [server.endpoint] });
}

test('etcd that is killed and started again under a stream of changes costs the consumer nothing', async () => {
	await using server = await EtcdServer.start();
	await using backend = open(server);
	await using writer = open(server);
	await using follower = new Follower(backend);
	await follower.until('in sync', () => follower.statuses.at(-1) === 'in-sync');
	const stop = new AbortController();
	let last = 0;
	const writing = (async () => {
		for (; !stop.signal.aborted; last++) await write(writer, `h${last % 7}`, last % 5 === 0 ? null : last);
	})();
	for (let round = 0; round < 4; round++) {
		await sleep(300);
		await server.restart();
		if (round % 2 === 1) await compactAll(server);
	}
	stop.abort();
	await writing;
	const { items } = await writer.list({ type: 'handle' });
	const stored = new Map(items.map(({ key, value }) => [keyId(key), (value as { blocks: Record<string, number> }).blocks['n']]));
	assert.ok(last > 20, `${last} changes`);
	await follower.until('the stored state', () => {
		const given = new Map([...follower.counts].map(([handleId, count]) => [keyId({ type: 'handle', handleId }), count]));
		return given.size === stored.size && [...stored].every(([id, count]) => given.get(id) === count);
	});
	await follower.until('in sync', () => follower.statuses.at(-1) === 'in-sync');
});

test('etcd that is down at the start is waited for, with the reason, and taken up when it comes', async () => {
	await using server = await EtcdServer.start();
	{
		await using writer = open(server);
		await write(writer, 'h', 1);
	}
	await server.kill();
	await using backend = open(server);
	await using follower = new Follower(backend);
	await follower.until('waiting', () => follower.statuses.at(-1) === 'wait');
	assert.match(follower.reasons[0] ?? '', /ECONNREFUSED/);
	await server.restart();
	await follower.until('in sync', () => follower.statuses.at(-1) === 'in-sync');
	assert.equal(follower.counts.get('h'), 1);
});

test('what was deleted while etcd was away and its history compacted is made up as a deletion', async () => {
	await using server = await EtcdServer.start();
	await using backend = open(server);
	await using writer = open(server);
	for (const [handleId, count] of [
		['gone', 1],
		['kept', 1],
	] as const)
		await write(writer, handleId, count);
	await using follower = new Follower(backend);
	await follower.until('in sync', () => follower.counts.size === 2 && follower.statuses.at(-1) === 'in-sync');
	await server.kill();
	await follower.until('waiting', () => follower.statuses.at(-1) === 'wait');
	assert.deepEqual([...follower.counts.keys()].sort(), ['gone', 'kept'], 'nothing is taken back while etcd is away');
	// the changes happen before the follower is connected again, or it just sees them; either way the end is the same
	await server.restart();
	await server.ctl('del', '/calico/ipam/v2/handle/gone');
	await server.ctl('put', '/calico/ipam/v2/handle/new', '{"block":{"n":3}}');
	await compactAll(server);
	await follower.until('the stored state', () => !follower.counts.has('gone') && follower.counts.get('new') === 3);
	await follower.until('in sync', () => follower.statuses.at(-1) === 'in-sync');
});

test('an etcd that comes back empty is noticed, and what it does not have is given back', async () => {
	await using server = await EtcdServer.start();
	await using backend = open(server);
	await using writer = open(server);
	for (let index = 0; index < 20; index++) await write(writer, `h${index}`, 1);
	await using follower = new Follower(backend);
	await follower.until('in sync', () => follower.counts.size === 20 && follower.statuses.at(-1) === 'in-sync');
	await server.kill();
	follower.revisionsMayRestart = true;
	await rm(join(server.dir, 'data'), { recursive: true });
	await server.restart();
	await follower.until('an empty state', () => follower.counts.size === 0 && follower.statuses.at(-1) === 'in-sync');
	await write(writer, 'h3', 4);
	await follower.until('changes of the new etcd', () => follower.counts.get('h3') === 4);
});
