import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { EXCLUSIVE, type QueueKey, RequestQueue } from './request-queue.ts';

const FOREVER = new AbortController().signal;

test('whatever arrives and however long it takes: one at a time per key, exclusive alone, everything served', async () => {
	const job = fc.record({ key: fc.constantFrom<QueueKey>('a', 'b', 'c', EXCLUSIVE), turns: fc.nat(3) });
	await fc.assert(
		fc.asyncProperty(fc.array(job, { maxLength: 20 }), fc.integer({ min: 1, max: 4 }), async (jobs, maxRunning) => {
			const queue = new RequestQueue({ maxRunning, maxWaiting: 100 });
			const running: QueueKey[] = [];
			const order = new Map<QueueKey, number[]>();
			await Promise.all(
				jobs.map(({ key, turns }, index) =>
					queue.run(
						key,
						async () => {
							assert.ok(!running.includes(key));
							assert.ok(!running.includes(EXCLUSIVE) && (key !== EXCLUSIVE || running.length === 0));
							running.push(key);
							assert.ok(running.length <= maxRunning);
							order.set(key, [...(order.get(key) ?? []), index]);
							for (let count = 0; count < turns; count++) await turn();
							running.splice(running.indexOf(key), 1);
						},
						FOREVER,
					),
				),
			);
			for (const indexes of order.values())
				assert.deepEqual(
					indexes,
					indexes.toSorted((a, b) => a - b),
				);
			assert.equal(queue.length, 0);
		}),
		{ numRuns: 50 },
	);
});

test('a full queue turns requests away', async () => {
	const queue = new RequestQueue({ maxRunning: 1, maxWaiting: 1 });
	const { promise, resolve } = Promise.withResolvers<void>();
	const first = queue.run('a', () => promise, FOREVER);
	const second = queue.run('a', async () => 2, FOREVER);
	await assert.rejects(
		queue.run('b', async () => 3, FOREVER),
		{ code: 'CNI_TRY_AGAIN' },
	);
	resolve();
	await first;
	assert.equal(await second, 2);
});

test('who gives up leaves the queue and holds nobody back', async () => {
	const queue = new RequestQueue({ maxRunning: 2, maxWaiting: 10 });
	const { promise, resolve } = Promise.withResolvers<void>();
	const first = queue.run('a', () => promise, FOREVER);
	const abort = new AbortController();
	const exclusive = queue.run(EXCLUSIVE, async () => assert.fail('it gave up'), abort.signal);
	const behind = queue.run('b', async () => 'served', FOREVER);
	abort.abort(new Error('gone'));
	await assert.rejects(exclusive, /gone/);
	assert.equal(await behind, 'served');
	resolve();
	await first;
	assert.equal(queue.length, 0);
});

test('a job that fails frees its place', async () => {
	const queue = new RequestQueue({ maxRunning: 1, maxWaiting: 10 });
	await assert.rejects(
		queue.run('a', () => Promise.reject(new Error('no')), FOREVER),
		/no/,
	);
	assert.equal(await queue.run('a', async () => 1, FOREVER), 1);
});
