import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { nodeError } from '../errors.ts';
import { CallChannel } from './channel.ts';
import type { FromThread, ToThread } from './messages.ts';
import { serveThread } from './serve.ts';

async function until(what: string, condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 10_000; Date.now() < end; await sleep(1)) if (condition()) return;
	assert.fail(`not in time: ${what}`);
}

test('threads call each other, errors keep their codes, and a thread ends when told', async () => {
	const { port1, port2 } = new MessageChannel();
	const told: FromThread[] = [];
	const send = (message: ToThread): void => port1.postMessage(message);
	const channel = new CallChannel('the thread', { add: (value: number) => value + 1 }, send);
	port1.on('message', (message: FromThread) => {
		if (message.type === 'call' || message.type === 'result' || message.type === 'failure') channel.take(message);
		else told.push(message);
	});
	const served = serveThread(port2, (supervisor) => ({
		methods: {
			double: async (value: number) => ((await supervisor.call('add', value)) as number) * 2,
			fail: () => {
				throw nodeError('NODE_BAD_REQUEST', { message: 'no', path: 'x', hint: 'ask again' });
			},
			wait: () => new Promise(() => undefined),
		},
		health: () => ({ ready: false, reason: 'starting' }),
		components: () => [],
		run: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('stopped'))),
	}));
	assert.equal(await channel.call('double', 20), 42);
	await assert.rejects(channel.call('fail', undefined), (error) => nodeError.is(error, 'NODE_BAD_REQUEST') && error.hint === 'ask again');
	await assert.rejects(channel.call('unknown', undefined), { code: 'NODE_COMPONENT' });
	await assert.rejects(channel.call('wait', undefined, AbortSignal.timeout(20)), { code: 'NODE_COMPONENT', message: /in time/ });
	assert.deepEqual(told, [{ type: 'started' }, { type: 'heartbeat', health: { ready: false, reason: 'starting' }, components: [] }]);

	const open = channel.call('wait', undefined);
	send({ type: 'stop' });
	await served;
	await until('the end is told', () => told.some((message) => message.type === 'ended' && message.reason === 'stopped'));
	channel.close(nodeError('NODE_COMPONENT', { message: 'gone' }));
	await assert.rejects(open, { message: 'gone' });
	await assert.rejects(channel.call('double', 1), { message: 'gone' });
	port1.close();
});
