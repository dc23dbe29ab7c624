import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnixServer } from '#kernel';
import { CniNode, NETWORK, podArgs } from '../support/cni-node.ts';

const PLUGIN = join(import.meta.dirname, '../../native/build/calico');

function linkCount(node: CniNode): number {
	return (JSON.parse(execFileSync('ip', ['-n', node.namespaceName, '-j', 'link'], { encoding: 'utf8' })) as unknown[]).length - 1;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
	for (const end = Date.now() + 20_000; Date.now() < end; await sleep(10)) if (await condition()) return;
	assert.fail(`not in time: ${what}`);
}

describe('the plugin without its agent', () => {
	let node: CniNode;
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	for (const { what, socketPath } of [
		{ what: 'no socket', socketPath: () => join(node.directory, 'none.sock') },
		{
			what: 'a socket that nobody serves',
			socketPath: () => {
				const path = join(node.directory, 'dead.sock');
				// a listener whose process was killed leaves the file behind
				const script = `const s = require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
				spawnSync(process.execPath, ['-e', script]);
				return path;
			},
		},
		{
			what: 'a file in place of the socket',
			socketPath: () => {
				const path = join(node.directory, 'file');
				writeFileSync(path, '');
				return path;
			},
		},
		{ what: 'a path that no socket can have', socketPath: () => `/${'x'.repeat(200)}` },
	]) {
		for (const [command, code] of [
			['ADD', 11],
			['DEL', 11],
			['CHECK', 11],
			['GC', 11],
			['STATUS', 50],
		] as const) {
			test(`${command} with ${what} is answered with code ${code} within a second, in the version asked for and with what to do`, async () => {
				const conf = { ...NETWORK, cniVersion: '0.4.0' };
				const { status, json, ms } = await node.run({ command, netns: node.makeNetns(), socketPath: socketPath(), conf });
				assert.equal(status, 1);
				assert.equal(json['code'], code);
				assert.equal(json['cniVersion'], '0.4.0');
				assert.match(String(json['details']), /Is calico-node running on this host\?/);
				assert.ok(ms < 1000, `${ms} ms`);
			});
		}
	}

	test('VERSION needs no agent', async () => {
		const { status, json } = await node.run({ command: 'VERSION', socketPath: '/nowhere', conf: { cniVersion: '1.0.0' } });
		assert.equal(status, 0);
		assert.deepEqual(json, { cniVersion: '1.0.0', supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] });
	});

	test('run by hand it prints its version, or how it is meant', () => {
		assert.equal(spawnSync(PLUGIN, ['-v'], { encoding: 'utf8' }).status, 0);
		assert.match(spawnSync(PLUGIN, ['--help'], { encoding: 'utf8' }).stderr, /container runtime/);
		assert.match(spawnSync(PLUGIN, [], { encoding: 'utf8', env: {}, input: '' }).stdout, /"code":4,"msg":"CNI_COMMAND is not set"/);
	});

	for (const { what, reply } of [
		{ what: 'hangs up', reply: undefined },
		{ what: 'answers with nonsense', reply: new TextEncoder().encode('HTTP/1.1 400') },
	]) {
		test(`an agent that ${what} is an error in words`, async () => {
			const path = join(node.directory, 'odd.sock');
			using _server = new UnixServer({
				path,
				mode: 0o600,
				maxMessageBytes: 1 << 20,
				maxFds: 1,
				maxConnections: 8,
				idleTimeoutMs: 1000,
				onMessage: (_message, connection) => {
					if (reply !== undefined) connection.send(reply);
					connection.close();
				},
				onError: () => undefined,
			});
			const { status, json } = await node.run({ command: 'DEL', socketPath: path });
			assert.equal(status, 1);
			assert.equal(json['code'], reply === undefined ? 11 : 5);
		});
	}
});

describe('the agent in trouble', () => {
	let node: CniNode;
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	test('an ADD whose plugin was killed is taken back', async () => {
		const asked = Promise.withResolvers<void>();
		node.agent.policy = () => {
			asked.resolve();
			return new Promise(() => undefined);
		};
		const netns = node.makeNetns();
		const running = node.run({ command: 'ADD', netns, args: podArgs('shop', 'killed') });
		await asked.promise;
		assert.equal(linkCount(node), 1);
		const plugins = execFileSync('pgrep', ['-P', String(process.pid), '-f', '^calico$'], { encoding: 'utf8' })
			.trim()
			.split('\n');
		for (const pid of plugins) process.kill(Number(pid), 'SIGKILL');
		assert.equal((await running).status, null);
		await until('the interface is gone', () => linkCount(node) === 0);
		await until('the endpoint is gone', async () => (await node.client.resources.list('WorkloadEndpoint')).items.length === 0);
		await until('the address is free', async () => (await node.ipam.usage()).every(({ inUse }) => inUse === 0n));
	});

	test('an agent that stops answers those under way with code 11 and takes back what they did; a new one serves on', async () => {
		const asked = Promise.withResolvers<void>();
		node.agent.policy = () => {
			asked.resolve();
			return new Promise(() => undefined);
		};
		const call = { netns: node.makeNetns(), args: podArgs('shop', 'stopped') };
		const running = node.run({ ...call, command: 'ADD' });
		await asked.promise;
		await node.stopServing();
		const { json } = await running;
		assert.equal(json['code'], 11);
		assert.match(String(json['msg']), /stopping/);
		assert.equal(linkCount(node), 0);
		node.agent.policy = () => Promise.resolve();
		node.serve();
		assert.equal((await node.run({ ...call, command: 'ADD' })).status, 0);
		assert.equal((await node.run({ ...call, command: 'DEL' })).status, 0);
	});
});
