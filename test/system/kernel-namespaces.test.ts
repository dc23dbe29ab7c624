import assert from 'node:assert/strict';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
	createNamedNamespace,
	currentNamespace,
	deleteNamedNamespace,
	hasErrno,
	inNamespace,
	kernelError,
	listNamedNamespaces,
	NetworkNamespace,
	openNamespace,
	readSysctl,
	writeSysctl,
	writeSysctls,
} from '#kernel';
import { testNamespace } from './fixtures/namespaces.ts';

const ownNamespace = (): string => readlinkSync('/proc/thread-self/ns/net');

test('a named namespace is what ip netns makes: seen by ip, usable by ip, removable by ip', (t) => {
	const namespace = testNamespace(t);
	assert.ok(listNamedNamespaces().includes(namespace.name));
	assert.match(namespace.run('ip', 'link'), /lo: <LOOPBACK,UP/);
	using again = openNamespace(`/run/netns/${namespace.name}`);
	using own = currentNamespace();
	assert.notEqual(again.inode, own.inode);
	assert.equal(
		again.inode,
		inNamespace(namespace.fd, () => {
			using inside = currentNamespace();
			return inside.inode;
		}),
	);
	assert.throws(
		() => createNamedNamespace(namespace.name),
		(error) => hasErrno(error, 'EEXIST'),
	);
	assert.ok(deleteNamedNamespace(namespace.name));
	assert.ok(!listNamedNamespaces().includes(namespace.name));
	assert.ok(!deleteNamedNamespace(namespace.name), 'gone already');
	assert.throws(
		() => openNamespace(`/run/netns/${namespace.name}`),
		(error) => hasErrno(error, 'ENOENT'),
	);
});

test('a name that would leave the folder is refused', () => {
	for (const name of ['', '.', '..', '../x', 'a/b', 'a\0b', 'x'.repeat(256)])
		assert.throws(
			() => createNamedNamespace(name),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
			JSON.stringify(name),
		);
});

test('code runs inside a namespace and the thread comes back, also after an exception', (t) => {
	const namespace = testNamespace(t);
	const before = ownNamespace();
	const inside = inNamespace(namespace.fd, ownNamespace);
	assert.notEqual(inside, before);
	assert.equal(ownNamespace(), before);
	assert.throws(
		() =>
			inNamespace(namespace.fd, () => {
				throw new Error('inside');
			}),
		{ message: 'inside' },
	);
	assert.equal(ownNamespace(), before);
	assert.throws(
		() => inNamespace(namespace.fd, async () => undefined),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
	assert.throws(
		() => inNamespace(9999, () => undefined),
		(error) => hasErrno(error, 'EBADF'),
	);
	assert.equal(ownNamespace(), before);
});

test('only a network namespace is taken for one', () => {
	for (const path of ['/proc/self/ns/uts', '/proc/self/status', '/dev/null']) {
		const fd = openSync(path, 'r');
		try {
			assert.throws(
				() => NetworkNamespace.adopt(fd),
				(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
				path,
			);
		} finally {
			closeSync(fd);
		}
	}
});

test('settings are read and written in another namespace only', (t) => {
	const namespace = testNamespace(t);
	namespace.rtnetlink.createLink({ kind: 'veth', name: 'a.b', peer: { name: 'c' } });
	const forwarding = ['net', 'ipv4', 'conf', 'a.b', 'forwarding'];
	assert.equal(readSysctl(forwarding, namespace.fd), '0');
	writeSysctls(
		[
			[forwarding, 1],
			[['net', 'ipv6', 'conf', 'a.b', 'accept_ra'], 0],
		],
		namespace.fd,
	);
	assert.equal(readSysctl(forwarding, namespace.fd), '1');
	assert.throws(
		() => readSysctl(forwarding),
		(error) => hasErrno(error, 'ENOENT'),
	);
	assert.throws(
		() => writeSysctl(['net', 'ipv4', 'conf', 'missing', 'forwarding'], 1, namespace.fd),
		(error) => hasErrno(error, 'ENOENT'),
	);
	assert.throws(
		() => writeSysctl(forwarding, 'yes', namespace.fd),
		(error) => hasErrno(error, 'EINVAL'),
	);
	for (const path of [[], ['net', '..', 'kernel'], ['net/ipv4'], ['']])
		assert.throws(
			() => readSysctl(path, namespace.fd),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
			path.join(' '),
		);
});

test('a worker thread has the addon to itself and may end while it watches sockets', async () => {
	const source = `
		const { parentPort } = require('node:worker_threads');
		import(${JSON.stringify(new URL('../../src/kernel/index.ts', import.meta.url).href)}).then(({ RtnetlinkMonitor, Rtnetlink }) => {
			new RtnetlinkMonitor({ groups: ['link', 'route'], onEvents() {} });
			parentPort.postMessage(new Rtnetlink().listLinks().length);
		});`;
	const worker = new Worker(source, { eval: true });
	const { promise, resolve, reject } = Promise.withResolvers<number>();
	worker.once('message', resolve);
	worker.once('error', reject);
	try {
		assert.ok((await promise) >= 1);
	} finally {
		await worker.terminate();
	}
});
