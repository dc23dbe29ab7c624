import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Component, Instance } from './component.ts';
import { Supervised } from './supervised.ts';

const logger = pino({ level: 'silent' });

/** A component whose instances the test ends. */
class TestComponent implements Component {
	readonly name = 'test';
	readonly ends: ((reason: string) => void)[] = [];
	failures = 0;
	disposed = 0;

	start(): Promise<Instance> {
		if (this.failures-- > 0) return Promise.reject(new Error('does not start'));
		const { promise: ended, resolve } = Promise.withResolvers<string>();
		this.ends.push(resolve);
		return Promise.resolve({
			ended,
			health: () => ({ live: true, ready: true, reason: '' }),
			[Symbol.asyncDispose]: () => {
				this.disposed++;
				return Promise.resolve();
			},
		});
	}
}

async function until(what: string, condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 10_000; Date.now() < end; await sleep(1)) if (condition()) return;
	assert.fail(`not in time: ${what}`);
}

test('a component that ends, or does not start, is started again after growing pauses', async () => {
	const component = new TestComponent();
	component.failures = 3;
	const pauses: number[] = [];
	let nowMs = 0;
	const clock = {
		now: () => nowMs,
		sleep: async (ms: number) => {
			pauses.push(ms);
			await sleep(0);
		},
	};
	const supervised = new Supervised({ clock, random: () => 1, logger }, component);
	const stop = new AbortController();
	const running = supervised.run(stop.signal);
	await until('the first instance', () => supervised.status().running);
	assert.deepEqual(pauses, [200, 400, 800]);
	assert.equal(supervised.status().restarts, 3);
	nowMs += 120_000;
	component.ends[0]?.('it broke');
	await until('the second instance', () => component.ends.length === 2);
	assert.equal(pauses.at(-1), 200, 'after a long life the pause is short again');
	stop.abort();
	await running;
	assert.equal(component.disposed, 2);
	assert.equal(supervised.status().running, false);
	assert.equal(component.ends.length, 2, 'nothing is started after the end');
});

test('while a component is away its status says why', async () => {
	const component = new TestComponent();
	component.failures = 1;
	const stop = new AbortController();
	const clock = { now: () => 0, sleep: () => new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve())) };
	const supervised = new Supervised({ clock, random: () => 0, logger }, component);
	const running = supervised.run(stop.signal);
	await until('the failure', () => supervised.status().reason === 'does not start');
	assert.deepEqual({ running: supervised.status().running, ready: supervised.status().ready }, { running: false, ready: false });
	stop.abort();
	await running;
});
