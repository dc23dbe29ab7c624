import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Conntrack, TcpConnection, TcpListener } from '#kernel';
import { ip } from '#net';
import { type TestNamespace, testNamespace, until } from './fixtures/namespaces.ts';

/** Connects within a namespace, so that it is tracked there. */
async function track(t: TestContext, namespace: TestNamespace, source: string, destination: string): Promise<void> {
	const listener = new TcpListener({
		address: ip(destination),
		port: 0,
		namespaceFd: namespace.fd,
		onConnection: (connection) => connection.close(),
		onError: (error) => assert.fail(error),
	});
	t.after(() => listener[Symbol.dispose]());
	let connected = false;
	const connection = TcpConnection.connect(
		{ remote: listener.local, local: { address: ip(source) }, namespaceFd: namespace.fd, connectTimeoutMs: 10_000 },
		new Uint8Array(1024),
		{ onConnected: () => (connected = true), onData: () => undefined, onWritable: () => undefined, onClosed: () => undefined },
	);
	t.after(() => connection.close());
	await until(() => connected, 'the connection');
}

test('connections of an address are forgotten, whichever end it was, and others are kept', async (t) => {
	const namespace = testNamespace(t);
	namespace.run('nft', 'table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }');
	for (const address of ['fd00::1', 'fd00::2'])
		namespace.rtnetlink.applyNow([{ op: 'add', address: { interfaceIndex: 1, address: ip(address), prefixLength: 128, noDad: true } }]);
	await track(t, namespace, '127.0.0.5', '127.0.0.9');
	await track(t, namespace, '127.0.0.6', '127.0.0.5');
	await track(t, namespace, '127.0.0.6', '127.0.0.9');
	await track(t, namespace, 'fd00::1', 'fd00::2');
	await track(t, namespace, 'fd00::1', 'fd00::1');
	const tracked = (): string[] =>
		(['ipv4', 'ipv6'] as const)
			.flatMap((family) => namespace.run('conntrack', '-L', '-f', family).split('\n'))
			.flatMap((line) => /src=(\S+) dst=(\S+)/.exec(line)?.slice(1, 3).join(' ') ?? [])
			.toSorted();
	assert.deepEqual(tracked(), ['127.0.0.5 127.0.0.9', '127.0.0.6 127.0.0.5', '127.0.0.6 127.0.0.9', 'fd00::1 fd00::1', 'fd00::1 fd00::2']);
	using conntrack = new Conntrack({ namespaceFd: namespace.fd });
	assert.equal(await conntrack.deleteByAddresses(new Set([ip('127.0.0.5')])), 2);
	assert.deepEqual(tracked(), ['127.0.0.6 127.0.0.9', 'fd00::1 fd00::1', 'fd00::1 fd00::2']);
	assert.equal(await conntrack.deleteByAddresses(new Set([ip('fd00::2')])), 1);
	assert.equal(await conntrack.deleteByAddresses(new Set([ip('10.0.0.1')])), 0);
	assert.deepEqual(tracked(), ['127.0.0.6 127.0.0.9', 'fd00::1 fd00::1']);
	await track(t, namespace, 'fd00::1', 'fd00::2');
	await track(t, namespace, 'fd00::2', 'fd00::2');
	assert.equal(await conntrack.deleteByAddresses(new Set([ip('fd00::1')])), 2);
	assert.deepEqual(tracked(), ['127.0.0.6 127.0.0.9', 'fd00::2 fd00::2']);
});
