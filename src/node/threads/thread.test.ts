import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { ThreadComponent } from './thread.ts';

const SIGNAL = new AbortController().signal;
const logger = pino({ level: 'silent' });

test('a service runs in a thread of its own until it is stopped', async () => {
	const bgpd = new ThreadComponent(logger, { name: 'bgpd', youngGenerationMb: 8, settings: { controlSockets: [], logLevel: 'fatal' } });
	await assert.rejects(bgpd.call('status', undefined), { code: 'NODE_COMPONENT', message: /not running/ });
	const instance = await bgpd.start(SIGNAL);
	await bgpd.running(SIGNAL);
	assert.equal(await bgpd.call('status', undefined), undefined);
	await assert.rejects(bgpd.call('apply', { peers: 'no list' }));
	assert.equal(instance.health().live, true);
	await instance[Symbol.asyncDispose]();
	assert.equal(await instance.ended, 'stopped');
	await assert.rejects(bgpd.call('status', undefined), { code: 'NODE_COMPONENT' });
});

test('a thread that cannot start says why', async () => {
	const unknown = new ThreadComponent(logger, { name: 'nothing', youngGenerationMb: 8, settings: {} });
	await assert.rejects(unknown.start(SIGNAL), { code: 'NODE_COMPONENT', message: /there is no component nothing/ });
});
