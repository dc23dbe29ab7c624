import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { askNode, type NodeStatus } from '#node-api';
import { nodeError } from '../errors.ts';
import { ApiServer, type NodeApiHandlers } from './api-server.ts';
import { ProbeServer } from './probe-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'tortie-node-'));
after(() => rmSync(directory, { recursive: true }));

const STATUS: NodeStatus = {
	nodeName: 'n1',
	version: 'v0',
	live: true,
	ready: true,
	reason: '',
	components: [],
	backend: 'none',
	bgp: null,
	policy: null,
	problems: [],
};

const HANDLERS: NodeApiHandlers = {
	'GET /v1/status': () => Promise.resolve(STATUS),
	'GET /v1/endpoints': () => Promise.reject(nodeError('NODE_COMPONENT', { message: 'felix is not running' })),
	'POST /v1/explain': ({ source }) => Promise.resolve({ allowed: source === '10.0.0.1', source: undefined, destination: undefined }),
};

test('the node answers on its socket, which only root can open', async () => {
	const path = join(directory, 'run/node.sock');
	await using _server = await ApiServer.listen(path, HANDLERS);
	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.deepEqual(await askNode(path, 'GET /v1/status', undefined), STATUS);
	const packet = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'tcp', port: 80 };
	assert.equal((await askNode(path, 'POST /v1/explain', packet)).allowed, true);
	await assert.rejects(askNode(path, 'GET /v1/endpoints', undefined), { code: 'NODE_API_REFUSED', message: /felix is not running/ });
	await assert.rejects(askNode(path, 'GET /v1/nothing' as 'GET /v1/status', undefined), {
		code: 'NODE_API_REFUSED',
		message: /there is no/,
	});
	await assert.rejects(askNode(path, 'POST /v1/explain', { ...packet, source: 'x'.repeat(70_000) }), { code: 'NODE_API_REFUSED' });
});

test('a second instance is refused, and a socket that a dead one left is taken over', async () => {
	const path = join(directory, 'second.sock');
	writeFileSync(path, '');
	const first = await ApiServer.listen(path, HANDLERS);
	await assert.rejects(ApiServer.listen(path, HANDLERS), { code: 'NODE_BUSY' });
	await first[Symbol.asyncDispose]();
	await assert.rejects(askNode(path, 'GET /v1/status', undefined), { code: 'NODE_API_UNAVAILABLE' });
	await using _second = await ApiServer.listen(path, HANDLERS);
	assert.equal((await askNode(path, 'GET /v1/status', undefined)).nodeName, 'n1');
});

test('the probes answer what the node is, with the reason', async () => {
	let health = { live: true, ready: false, reason: 'waiting for the datastore' };
	const logger = pino({ level: 'silent' });
	await using probes = await ProbeServer.listen({ host: '127.0.0.1', port: 0 }, () => health, logger);
	const ask = async (path: string): Promise<string> => {
		const response = await fetch(`http://127.0.0.1:${probes.port}${path}`);
		return `${response.status} ${(await response.text()).trim()}`;
	};
	assert.equal(await ask('/liveness'), '200 ok');
	assert.equal(await ask('/readiness'), '503 waiting for the datastore');
	health = { live: true, ready: true, reason: '' };
	assert.equal(await ask('/readiness?verbose'), '200 ok');
	health = { live: false, ready: false, reason: 'agent: no sign of life for 25 s' };
	assert.equal(await ask('/liveness'), '503 agent: no sign of life for 25 s');
	assert.match(await ask('/'), /^404/);
	await using taken = await ProbeServer.listen({ host: '127.0.0.1', port: probes.port ?? 0 }, () => health, logger);
	assert.equal(taken.port, undefined, 'the node goes on without probes');
});
