import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
	closeSync,
	existsSync,
	fstatSync,
	mkdtempSync,
	openSync,
	readFileSync,
	readlinkSync,
	rmSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TortieError } from '#errors';
import {
	hasErrno,
	kernelError,
	NetworkNamespace,
	type TcpClosed,
	TcpConnection,
	type TcpConnectOptions,
	TcpListener,
	type TcpListenOptions,
	type UnixConnection,
	type UnixMessage,
	UnixServer,
	type UnixServerOptions,
	unixRequest,
} from '#kernel';
import { cidr, ip } from '#net';
import { type TestNamespace, testNamespace, until } from './fixtures/namespaces.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const key = bytes('not a secret');

/** One end of a connection with what happened to it. */
class Peer {
	received = '';
	receivedBytes = 0;
	connected = false;
	writable = 0;
	closed: TcpClosed | undefined;
	readonly buffer = new Uint8Array(65_536);
	readonly handlers = {
		onConnected: (): void => {
			this.connected = true;
		},
		onData: (length: number): void => {
			this.receivedBytes += length;
			if (this.receivedBytes < 10_000) this.received += text(this.buffer.subarray(0, length));
		},
		onWritable: (): void => {
			this.writable++;
		},
		onClosed: (reason: TcpClosed): void => {
			this.closed = reason;
		},
	};

	get errno(): unknown {
		return this.closed?.kind === 'error' ? this.closed.error.found : undefined;
	}
}

interface Accepted {
	readonly listener: TcpListener;
	readonly connections: TcpConnection[];
}

function listen(t: TestContext, namespace: TestNamespace, options: Partial<TcpListenOptions> = {}): Accepted {
	const connections: TcpConnection[] = [];
	const listener = new TcpListener({
		address: ip('127.0.0.1'),
		port: 0,
		namespaceFd: namespace.fd,
		onConnection: (connection) => connections.push(connection),
		onError: (error) => assert.fail(error),
		...options,
	});
	t.after(() => {
		listener[Symbol.dispose]();
		for (const connection of connections) connection.close();
	});
	return { listener, connections };
}

function connect(
	t: TestContext,
	namespace: TestNamespace,
	{ listener }: Accepted,
	peer: Peer,
	options: Partial<TcpConnectOptions> = {},
): TcpConnection {
	const connection = TcpConnection.connect(
		{ remote: listener.local, namespaceFd: namespace.fd, connectTimeoutMs: 10_000, ...options },
		peer.buffer,
		peer.handlers,
	);
	t.after(() => connection.close());
	return connection;
}

async function pair(t: TestContext, options: { listen?: Partial<TcpListenOptions>; connect?: Partial<TcpConnectOptions> } = {}) {
	const namespace = testNamespace(t);
	const server = listen(t, namespace, options.listen);
	const near = new Peer();
	const far = new Peer();
	const connection = connect(t, namespace, server, near, options.connect);
	await until(() => near.connected && server.connections.length === 1, 'the connection');
	const accepted = server.connections[0] as TcpConnection;
	accepted.start(far.buffer, far.handlers);
	return { namespace, server, connection, accepted, near, far };
}

test('bytes go both ways over IPv4 and IPv6, and the ends know each other', async (t) => {
	for (const [listenOn, source] of [
		['127.0.0.1', '127.0.0.9'],
		['::1', '::1'],
	] as const) {
		const { connection, accepted, near, far, server } = await pair(t, {
			listen: { address: ip(listenOn) },
			connect: { local: { address: ip(source) } },
		});
		assert.equal(connection.send([bytes('xxhello '), bytes('there')], 2), 11);
		assert.equal(accepted.send([bytes('general')]), 7);
		await until(() => far.received.length === 11 && near.received.length === 7, 'both messages');
		assert.deepEqual([far.received, near.received], ['hello there', 'general']);
		assert.equal(accepted.remote.address, source);
		assert.deepEqual(accepted.remote, connection.local);
		assert.deepEqual(accepted.local, server.listener.local);
		connection.shutdown();
		await until(() => far.closed !== undefined, 'the end');
		assert.deepEqual(far.closed, { kind: 'end' });
		await until(() => near.closed !== undefined, 'the other end');
	}
});

test('a peer that does not read holds the sender back, and all arrives in the end', async (t) => {
	const { connection, accepted, near, far } = await pair(t);
	accepted.pauseReading();
	const chunk = new Uint8Array(100_000).fill(7);
	const buffers = Array.from({ length: 600 }, () => chunk);
	const total = 60_000_000;
	let sent = connection.send(buffers);
	assert.ok(sent > 0 && sent < total, `a part of it was taken: ${sent}`);
	assert.equal(connection.send([chunk]) < chunk.length, true, 'there is no room for more');
	accepted.resumeReading();
	let writable = 0;
	while (sent < total) {
		await until(() => near.writable > writable, 'room');
		writable = near.writable;
		const whole = Math.floor(sent / chunk.length);
		sent += connection.send(buffers.slice(whole), sent % chunk.length);
	}
	await until(() => far.receivedBytes >= total, 'everything');
});

test('what the peer said last is read before its reset', async (t) => {
	const { connection, accepted, near } = await pair(t);
	connection.send([bytes('unread')]);
	accepted.pauseReading();
	accepted.send([bytes('notification')]);
	await until(() => true, 'a turn');
	accepted.close();
	await until(() => near.closed !== undefined, 'the reset');
	assert.equal(near.received, 'notification');
	assert.throws(
		() => connection.send([bytes('late')]),
		(error) => kernelError.is(error, 'KERNEL_CLOSED'),
	);
});

test('a reset ends the connection with an error', async (t) => {
	const { accepted, near } = await pair(t);
	accepted.close({ reset: true });
	await until(() => near.closed !== undefined, 'the reset');
	assert.equal(near.errno, 'ECONNRESET');
});

test('a refused connection says so', async (t) => {
	const namespace = testNamespace(t);
	const peer = new Peer();
	const connection = TcpConnection.connect(
		{ remote: { address: ip('127.0.0.1'), port: 9 }, namespaceFd: namespace.fd, connectTimeoutMs: 10_000 },
		peer.buffer,
		peer.handlers,
	);
	t.after(() => connection.close());
	await until(() => peer.closed !== undefined, 'the refusal');
	assert.equal(peer.errno, 'ECONNREFUSED');
	assert.throws(
		() =>
			TcpConnection.connect(
				{ remote: { address: ip('192.0.2.1'), port: 9 }, namespaceFd: namespace.fd, connectTimeoutMs: 10_000 },
				peer.buffer,
				peer.handlers,
			),
		(error) => hasErrno(error, 'ENETUNREACH'),
	);
});

test('a connection with the MD5 key of its peer is made, for both families and a range of peers', async (t) => {
	for (const [address, peers] of [
		['127.0.0.1', '127.0.0.0/8'],
		['::1', '::1/128'],
	] as const) {
		const namespace = testNamespace(t);
		const server = listen(t, namespace, { address: ip(address) });
		server.listener.setMd5Key(cidr(peers), bytes('replaced below'));
		server.listener.setMd5Key(cidr(peers), key);
		const good = new Peer();
		connect(t, namespace, server, good, { md5Key: key });
		await until(() => good.connected, 'the connection with the right key');
	}
});

test('a wrong MD5 key, or none, never connects', async (t) => {
	const namespace = testNamespace(t);
	const server = listen(t, namespace);
	server.listener.setMd5Key(cidr('127.0.0.1/32'), key);
	const wrong = new Peer();
	const none = new Peer();
	connect(t, namespace, server, wrong, { md5Key: bytes('another'), connectTimeoutMs: 500 });
	connect(t, namespace, server, none, { connectTimeoutMs: 500 });
	await until(() => wrong.closed !== undefined && none.closed !== undefined, 'both attempts end');
	assert.deepEqual([wrong.errno, none.errno], ['ETIMEDOUT', 'ETIMEDOUT']);
	assert.equal(server.connections.length, 0);
	assert.ok(server.listener.removeMd5Key(cidr('127.0.0.1/32')));
	assert.ok(!server.listener.removeMd5Key(cidr('127.0.0.1/32')));
	const open = new Peer();
	connect(t, namespace, server, open);
	await until(() => open.connected, 'the connection without a key, after its removal');
});

test('GTSM: packets that could have come from afar are dropped', async (t) => {
	for (const address of ['127.0.0.1', '::1']) {
		const namespace = testNamespace(t);
		const server = listen(t, namespace, { address: ip(address), minTtl: 255, ttl: 255 });
		const far = new Peer();
		connect(t, namespace, server, far, { ttl: 64, connectTimeoutMs: 400 });
		const near = new Peer();
		connect(t, namespace, server, near, { ttl: 255, minTtl: 255, tos: 0xc0, userTimeoutMs: 30_000 });
		await until(() => near.connected && far.closed !== undefined, 'both outcomes');
		assert.equal(far.errno, 'ETIMEDOUT');
	}
});

test('the least TTL can be set after accepting, when the peer is known', async (t) => {
	const { accepted, connection, far } = await pair(t, { connect: { ttl: 64 } });
	accepted.setOptions({ minTtl: 255 });
	connection.send([bytes('from afar')]);
	connection.setOptions({ ttl: 255 });
	await until(() => far.received === 'from afar', 'the packet sent again with the right TTL');
});

test('an address of another host can be listened on, and a taken one cannot', (t) => {
	const namespace = testNamespace(t);
	const server = listen(t, namespace, { address: ip('192.0.2.1'), port: 179, freeBind: true });
	assert.deepEqual(server.listener.local, { address: '192.0.2.1', port: 179 });
	assert.throws(
		() => listen(t, namespace, { address: ip('192.0.2.2'), port: 179 }),
		(error) => hasErrno(error, 'EADDRNOTAVAIL'),
	);
	assert.throws(
		() => listen(t, namespace, { address: ip('192.0.2.1'), port: 179, freeBind: true }),
		(error) => hasErrno(error, 'EADDRINUSE'),
	);
});

interface Served {
	readonly path: string;
	readonly errors: TortieError[];
	readonly connections: UnixConnection[];
}

function serve(
	t: TestContext,
	onMessage: (message: UnixMessage, connection: UnixConnection) => void,
	options: Partial<UnixServerOptions> = {},
): Served {
	const folder = options.path === undefined ? mkdtempSync(join(tmpdir(), 'tortie-unix-')) : undefined;
	const errors: TortieError[] = [];
	const connections: UnixConnection[] = [];
	const path = options.path ?? join(folder as string, 'server.sock');
	const server = new UnixServer({
		path,
		mode: 0o600,
		maxMessageBytes: 65_536,
		maxFds: 1,
		maxConnections: 8,
		idleTimeoutMs: 10_000,
		onError: (error) => errors.push(error),
		onMessage: (message, connection) => {
			connections.push(connection);
			onMessage(message, connection);
		},
		...options,
	});
	t.after(() => {
		server[Symbol.dispose]();
		assert.ok(!existsSync(path), 'the socket file is removed');
		if (folder !== undefined) rmSync(folder, { recursive: true });
	});
	return { path, errors, connections };
}

const timeout = { timeoutMs: 10_000 };

test('a namespace descriptor passed over a UNIX socket is usable on the other side', async (t) => {
	const namespace = testNamespace(t);
	const served = serve(t, ({ data, fds }, connection) => {
		const [fd] = fds;
		assert.ok(fd !== undefined && fd !== namespace.fd);
		assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /flags:\s+0?2/, 'close-on-exec');
		using received = NetworkNamespace.adopt(fd);
		assert.equal(received.inode, fstatSync(namespace.fd, { bigint: true }).ino);
		connection.send(bytes(`${text(data)} from ${connection.peer.processId}`));
	});
	assert.equal(statSync(served.path).mode & 0o777, 0o600);
	const answer = await unixRequest(served.path, { data: bytes('ADD'), fds: [namespace.fd] }, timeout);
	assert.equal(text(answer), `ADD from ${process.pid}`);
	await until(() => served.connections[0]?.signal.aborted === true, 'the server sees the client go');
});

test('too many descriptors or too long a message end the connection, and no descriptor is left open', async (t) => {
	const folder = mkdtempSync(join(tmpdir(), 'tortie-fds-'));
	t.after(() => rmSync(folder, { recursive: true }));
	const file = join(folder, 'marked');
	writeFileSync(file, '');
	const fds = [1, 2, 3].map(() => openSync(file, 'r'));
	t.after(() => fds.forEach((fd) => closeSync(fd)));
	const countOpen = (): number => openFiles().filter((path) => path === file).length;
	const before = countOpen();
	const served = serve(t, () => assert.fail('nothing is delivered'));
	for (const message of [{ data: bytes('x'), fds }, { data: new Uint8Array(65_537) }])
		await assert.rejects(
			unixRequest(served.path, message, timeout),
			(error) => kernelError.is(error, 'KERNEL_CLOSED') || hasErrno(error, 'ECONNRESET'),
		);
	assert.deepEqual(
		served.errors.map(({ code }) => code),
		['KERNEL_BAD_MESSAGE', 'KERNEL_BAD_MESSAGE'],
	);
	assert.equal(countOpen(), before);
});

test('more clients than allowed wait until one has gone', async (t) => {
	const served = serve(t, ({ data }, connection) => setTimeout(() => !connection.signal.aborted && connection.send(data), 20), {
		maxConnections: 2,
	});
	const answers = await Promise.all(['1', '2', '3', '4', '5'].map((each) => unixRequest(served.path, { data: bytes(each) }, timeout)));
	assert.deepEqual(answers.map(text), ['1', '2', '3', '4', '5']);
});

test('the socket of a living server is left alone, that of a killed one is taken over', async (t) => {
	const served = serve(t, ({ data }, connection) => connection.send(data));
	assert.throws(
		() => serve(t, () => undefined, { path: served.path }),
		(error) => hasErrno(error, 'EADDRINUSE'),
	);
	assert.equal(text(await unixRequest(served.path, { data: bytes('still here') }, timeout)), 'still here');

	const folder = mkdtempSync(join(tmpdir(), 'tortie-dead-'));
	t.after(() => rmSync(folder, { recursive: true }));
	const path = join(folder, 'dead.sock');
	const killed = spawnSync(process.execPath, ['-e', killedServer, path], { encoding: 'utf8' });
	assert.equal(killed.signal, 'SIGKILL', killed.stderr);
	assert.ok(existsSync(path), 'it left its socket');
	const successor = serve(t, ({ data }, connection) => connection.send(data), { path });
	assert.equal(text(await unixRequest(successor.path, { data: bytes('new') }, timeout)), 'new');
});

const killedServer = `
	import(${JSON.stringify(new URL('../../src/kernel/index.ts', import.meta.url).href)}).then(({ UnixServer }) => {
		new UnixServer({ path: process.argv[1], mode: 0o600, maxMessageBytes: 99, maxFds: 1, maxConnections: 1, idleTimeoutMs: 99 });
		process.kill(process.pid, 'SIGKILL');
	});`;

test('a client that says nothing is let go, and a silent server is given up on', async (t) => {
	const served = serve(t, () => undefined, { idleTimeoutMs: 50 });
	await assert.rejects(unixRequest(served.path, { data: bytes('anyone?') }, { timeoutMs: 100 }), (error) =>
		kernelError.is(error, 'KERNEL_TIMEOUT'),
	);
	await assert.rejects(unixRequest(`${served.path}.none`, { data: bytes('x') }, timeout), (error) => hasErrno(error, 'ENOENT'));
});

function openFiles(): string[] {
	const paths: string[] = [];
	for (let fd = 0; fd < 256; fd++)
		try {
			paths.push(readlinkSync(`/proc/self/fd/${fd}`));
		} catch {}
	return paths;
}
