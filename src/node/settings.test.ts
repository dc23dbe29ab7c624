import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { type Environment, type NodeSettings, nodeSettings } from './settings.ts';

function settings(env: Environment, stored?: string): NodeSettings {
	return nodeSettings({ NODENAME: 'n1', ...env }, stored);
}

test('the node’s name comes from NODENAME, an earlier start, HOSTNAME or the host', () => {
	const table: readonly (readonly [Environment, string | undefined, string])[] = [
		[{ NODENAME: 'a', HOSTNAME: 'b' }, 'stored', 'a'],
		[{ NODENAME: '', HOSTNAME: 'B.Example' }, 'stored', 'stored'],
		[{ HOSTNAME: 'B.Example' }, undefined, 'b.example'],
		[{}, undefined, hostname().trim().toLowerCase()],
	];
	for (const [env, stored, expected] of table) assert.equal(nodeSettings(env, stored).nodeName, expected);
	assert.throws(() => nodeSettings({ NODENAME: 'no/name' }, undefined), { code: 'NODE_BAD_SETTING', path: 'NODENAME' });
});

test('the BGP daemon is chosen by CALICO_NETWORKING_BACKEND', () => {
	const table: readonly (readonly [Environment, NodeSettings['backend']])[] = [
		[{}, 'tortie'],
		[{ CALICO_NETWORKING_BACKEND: '' }, 'tortie'],
		[{ CALICO_NETWORKING_BACKEND: 'bird' }, 'bird'],
		[{ CALICO_NETWORKING_BACKEND: 'none' }, 'none'],
		[{ CALICO_NETWORKING_BACKEND: 'vxlan' }, 'none'],
		[{ CALICO_NETWORKING_BACKEND: 'bird', CALICO_NETWORKING: 'false' }, 'none'],
	];
	for (const [env, expected] of table) assert.equal(settings(env).backend, expected);
});
