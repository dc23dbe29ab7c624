import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as tick } from 'node:timers/promises';
import fc from 'fast-check';
import { type AnyResource, API_VERSION } from '#resources';
import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import { keyId } from '../key.ts';
import { MemoryBackend } from '../memory-backend.ts';
import type { ListScope, ResourceKey } from '../types.ts';
import type { SyncBatch, SyncStatus } from './outbox.ts';
import { Syncer } from './syncer.ts';

const SCOPES: readonly ListScope[] = [
	{ type: 'resource', kind: 'Node' },
	{ type: 'resource', kind: 'NetworkSet' },
];
const PREFIX = '/calico/resources/v3/projectcalico.org';

class FastClock implements Clock {
	#now = 0;

	now(): number {
		return this.#now;
	}

	async sleep(ms: number): Promise<void> {
		this.#now += ms;
		await tick();
	}
}

/** A consumer that keeps what it is given, and whatever would be wrong about it. */
class Consumer {
	readonly values = new Map<string, AnyResource>();
	readonly statuses: SyncStatus[] = [];
	readonly invalid: string[] = [];
	readonly reasons: string[] = [];
	readonly #revisions = new Map<string, bigint>();

	take({ status, updates, invalid, reason }: SyncBatch): void {
		if (this.statuses.at(-1) !== status) this.statuses.push(status);
		if (reason !== undefined) this.reasons.push(reason.message);
		this.invalid.push(...invalid.map(({ storedName }) => storedName));
		const ids = updates.map(({ key }) => keyId(key));
		assert.equal(new Set(ids).size, ids.length, 'one update per key and batch');
		for (const { key, value, revision } of updates) {
			const id = keyId(key);
			assert.ok(BigInt(revision) >= (this.#revisions.get(id) ?? 0n), `${id} never goes back`);
			this.#revisions.set(id, BigInt(revision));
			if (value === null) this.values.delete(id);
			else this.values.set(id, value as AnyResource);
		}
	}

	forgetRevisions(): void {
		this.#revisions.clear();
	}

	/** Object → its label `v`. */
	labels(): ReadonlyMap<string, string | undefined> {
		return new Map([...this.values].map(([id, { metadata }]) => [id, metadata.labels?.['v']]));
	}
}

interface Running {
	readonly consumer: Consumer;
	/** While it is set, the consumer takes nothing. */
	pause: boolean;
	/** Lets things happen until the condition holds. */
	until(condition: () => boolean, what: string): Promise<void>;
	stop(): Promise<void>;
}

function start(backend: MemoryBackend, scopes = SCOPES): Running {
	const consumer = new Consumer();
	const stop = new AbortController();
	const modules = { backend, clock: new FastClock(), random: () => 0.5 };
	let failure: unknown;
	const running: Running = {
		consumer,
		pause: false,
		async until(condition, what) {
			for (let ticks = 0; !condition(); ticks++) {
				if (failure !== undefined) throw failure;
				assert.ok(ticks < 20_000, `${what}: ${JSON.stringify([consumer.statuses, [...consumer.labels()]])}`);
				await tick();
			}
		},
		async stop() {
			stop.abort();
			await consuming;
			if (failure !== undefined) throw failure;
		},
	};
	const consume = async (): Promise<void> => {
		for await (const batch of new Syncer(modules, { scopes, signal: stop.signal })) {
			consumer.take(batch);
			while (running.pause && !stop.signal.aborted) await tick();
		}
	};
	const consuming = consume().catch((error: unknown) => {
		failure = error;
	});
	return running;
}

function put(backend: MemoryBackend, name: string, label: string | null): void {
	const kind = name.startsWith('s') ? 'NetworkSet' : 'Node';
	const path = kind === 'Node' ? `${PREFIX}/nodes/${name}` : `${PREFIX}/networksets/ns/${name}`;
	const namespace = kind === 'NetworkSet' ? { namespace: 'ns' } : {};
	const metadata = { name, ...namespace, labels: { v: label } };
	backend.putRaw(path, label === null ? null : JSON.stringify({ apiVersion: API_VERSION, kind, metadata, spec: {} }));
}

function putInvalid(backend: MemoryBackend, name: string): void {
	backend.putRaw(`${PREFIX}/nodes/${name}`, '{"spec":{"bgp":7}}');
}

test('a consumer gets a snapshot, is told once that it is complete, and then changes', async () => {
	const backend = new MemoryBackend();
	put(backend, 'n1', 'a');
	put(backend, 's1', 'a');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	assert.deepEqual(
		syncer.consumer.labels(),
		new Map([
			['NetworkSet/ns/s1', 'a'],
			['Node/n1', 'a'],
		]),
	);
	put(backend, 'n1', 'b');
	put(backend, 's1', null);
	await syncer.until(() => syncer.consumer.labels().get('Node/n1') === 'b' && syncer.consumer.labels().size === 1, 'changes');
	assert.deepEqual(syncer.consumer.statuses, ['resync', 'in-sync']);
	await syncer.stop();
});

test('a snapshot of more than one batch is complete when it says so', async () => {
	const backend = new MemoryBackend();
	const count = 12_000;
	for (let index = 0; index < count; index++) put(backend, `n${index}`, 'a');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	assert.equal(syncer.consumer.values.size, count);
	assert.deepEqual(syncer.consumer.statuses, ['resync', 'in-sync']);
	await syncer.stop();
});

test('a datastore that is not there yet is waited for, and the reason is told', async () => {
	let isUp = false;
	const backend = new MemoryBackend({
		before: async () => {
			if (!isUp) throw datastoreError('DATASTORE_UNAVAILABLE', { message: 'connection refused' });
		},
	});
	put(backend, 'n1', 'a');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'wait', 'waiting');
	assert.deepEqual(syncer.consumer.reasons, ['connection refused']);
	isUp = true;
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	assert.equal(syncer.consumer.labels().get('Node/n1'), 'a');
	await syncer.stop();
});

test('a watch that breaks is resumed without a word; what happened meanwhile is not lost', async () => {
	const backend = new MemoryBackend();
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	for (let round = 0; round < 5; round++) {
		backend.disconnect();
		put(backend, 'n1', String(round));
		await syncer.until(() => syncer.consumer.labels().get('Node/n1') === String(round), 'the change');
	}
	assert.deepEqual(syncer.consumer.statuses, ['resync', 'in-sync']);
	await syncer.stop();
});

test('after a compaction the deletions that nobody saw are made up, once the new snapshot is in', async () => {
	const backend = new MemoryBackend();
	put(backend, 'gone', 'a');
	put(backend, 'kept', 'a');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	backend.disconnect();
	put(backend, 'gone', null);
	put(backend, 'kept', 'b');
	put(backend, 'new', 'a');
	backend.compact();
	await syncer.until(() => syncer.consumer.statuses.length >= 4, 'the new snapshot');
	assert.deepEqual(syncer.consumer.statuses, ['resync', 'in-sync', 'resync', 'in-sync']);
	assert.deepEqual(
		syncer.consumer.labels(),
		new Map([
			['Node/kept', 'b'],
			['Node/new', 'a'],
		]),
	);
	await syncer.stop();
});

test('a datastore that was set up anew is read anew, although its revisions look familiar', async () => {
	const backend = new MemoryBackend();
	put(backend, 'n1', 'old');
	put(backend, 'n2', 'old');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	backend.wipe();
	put(backend, 'n1', 'new');
	syncer.consumer.forgetRevisions();
	await syncer.until(() => syncer.consumer.labels().get('Node/n1') === 'new', 'the new datastore');
	assert.deepEqual([...syncer.consumer.labels().keys()], ['Node/n1']);
	await syncer.stop();
});

test('an object that becomes invalid is reported once and keeps its last good value; one that never was valid stays absent', async () => {
	const backend = new MemoryBackend();
	put(backend, 'n1', 'a');
	putInvalid(backend, 'n2');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	putInvalid(backend, 'n1');
	await syncer.until(() => syncer.consumer.invalid.length === 2, 'the report');
	backend.disconnect();
	put(backend, 'n3', 'a');
	backend.compact();
	await syncer.until(() => syncer.consumer.labels().has('Node/n3'), 'the new snapshot');
	assert.deepEqual(
		syncer.consumer.labels(),
		new Map([
			['Node/n1', 'a'],
			['Node/n3', 'a'],
		]),
	);
	assert.deepEqual(syncer.consumer.invalid, [`${PREFIX}/nodes/n2`, `${PREFIX}/nodes/n1`]);
	put(backend, 'n2', 'b');
	putInvalid(backend, 'n3');
	backend.putRaw(`${PREFIX}/nodes/n1`, null);
	await syncer.until(() => syncer.consumer.invalid.length === 3 && !syncer.consumer.labels().has('Node/n1'), 'the end');
	assert.equal(syncer.consumer.labels().get('Node/n2'), 'b');
	await syncer.stop();
});

test('a slow consumer gets the latest of each object and no backlog', async () => {
	const backend = new MemoryBackend();
	put(backend, 'n1', '0');
	const syncer = start(backend);
	await syncer.until(() => syncer.consumer.statuses.at(-1) === 'in-sync', 'in sync');
	syncer.pause = true;
	put(backend, 'n2', 'wakes the consumer, which then pauses');
	await syncer.until(() => syncer.consumer.labels().has('Node/n2'), 'the pause');
	let taken = 0;
	const take = syncer.consumer.take.bind(syncer.consumer);
	syncer.consumer.take = (batch) => {
		taken += batch.updates.length;
		take(batch);
	};
	for (let value = 1; value <= 1_000; value++) {
		put(backend, 'n1', String(value));
		if (value % 50 === 0) await tick();
	}
	syncer.pause = false;
	await syncer.until(() => syncer.consumer.labels().get('Node/n1') === '1000', 'the latest');
	assert.equal(taken, 1);
	await syncer.stop();
});

test('leaving the loop ends everything', async () => {
	const backend = new MemoryBackend();
	const modules = { backend, clock: new FastClock(), random: () => 0.5 };
	for await (const { status } of new Syncer(modules, { scopes: SCOPES, signal: new AbortController().signal }))
		if (status === 'in-sync') break;
	const stopped = new AbortController();
	stopped.abort();
	for await (const _ of new Syncer(modules, { scopes: SCOPES, signal: stopped.signal })) assert.fail('nothing is given out');
});

type Event =
	| { readonly type: 'put' | 'delete' | 'invalid'; readonly name: string }
	| { readonly type: 'compact' | 'disconnect' | 'pause' | 'go-on' }
	| { readonly type: 'fail'; readonly calls: number }
	| { readonly type: 'ticks'; readonly count: number };

const anyName = fc.constantFrom('n1', 'n2', 'n3', 's1');
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
	{ weight: 6, arbitrary: fc.record({ type: fc.constant('put' as const), name: anyName }) },
	{ weight: 3, arbitrary: fc.record({ type: fc.constant('delete' as const), name: anyName }) },
	{ weight: 1, arbitrary: fc.record({ type: fc.constant('invalid' as const), name: fc.constantFrom('n1', 'n2') }) },
	{
		weight: 3,
		arbitrary: fc.record({ type: fc.constantFrom('compact' as const, 'disconnect' as const, 'pause' as const, 'go-on' as const) }),
	},
	{ weight: 1, arbitrary: fc.record({ type: fc.constant('fail' as const), calls: fc.integer({ min: 1, max: 6 }) }) },
	{ weight: 4, arbitrary: fc.record({ type: fc.constant('ticks' as const), count: fc.integer({ min: 1, max: 8 }) }) },
);

test('whatever fails on the way, the consumer ends up with what is stored, and no object ever goes back', async () => {
	await fc.assert(
		fc.asyncProperty(fc.array(anyEvent, { maxLength: 60 }), async (events) => {
			let failures = 0;
			const backend = new MemoryBackend({
				before: async () => {
					await tick();
					if (failures > 0) {
						failures--;
						throw datastoreError('DATASTORE_UNAVAILABLE', { message: 'no answer' });
					}
				},
			});
			const expected = new Map<string, string>();
			const everValid = new Map<string, Set<string | undefined>>();
			const syncer = start(backend);
			let serial = 0;
			for (const event of events) {
				switch (event.type) {
					case 'put': {
						const value = String(++serial);
						put(backend, event.name, value);
						expected.set(idOf(event.name), value);
						everValid.set(idOf(event.name), new Set([...(everValid.get(idOf(event.name)) ?? []), value]));
						break;
					}
					case 'delete':
						put(backend, event.name, null);
						expected.delete(idOf(event.name));
						break;
					case 'invalid':
						putInvalid(backend, event.name);
						expected.set(idOf(event.name), 'invalid');
						break;
					case 'compact':
						backend.compact();
						break;
					case 'disconnect':
						backend.disconnect();
						break;
					case 'pause':
						syncer.pause = true;
						break;
					case 'go-on':
						syncer.pause = false;
						break;
					case 'fail':
						failures = event.calls;
						break;
					case 'ticks':
						for (let count = 0; count < event.count; count++) await tick();
						break;
					default:
						return event satisfies never;
				}
			}
			syncer.pause = false;
			failures = 0;
			const isRight = (): boolean => {
				const labels = syncer.consumer.labels();
				for (const [id, value] of expected) {
					const isGood = value === 'invalid' ? !labels.has(id) || everValid.get(id)?.has(labels.get(id)) : labels.get(id) === value;
					if (isGood !== true) return false;
				}
				return [...labels.keys()].every((id) => expected.has(id)) && syncer.consumer.statuses.at(-1) === 'in-sync';
			};
			await syncer.until(isRight, 'the same as what is stored');
			await syncer.stop();
		}),
		{ numRuns: 300 },
	);
});

function idOf(name: string): string {
	const key: ResourceKey = name.startsWith('s')
		? { type: 'resource', kind: 'NetworkSet', namespace: 'ns', name }
		: { type: 'resource', kind: 'Node', name };
	return keyId(key);
}
