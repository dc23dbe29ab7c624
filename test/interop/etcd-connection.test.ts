import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { datastoreConfigFromEnv, datastoreError, EtcdBackend, type EtcdOptions, openDatastore, type ResourceKey } from '#datastore';
import { explainError } from '#errors';
import { API_VERSION, type Node } from '#resources';
import { makeAuthority } from '../support/certificates.ts';
import { EtcdServer } from '../support/etcd.ts';

const key: ResourceKey = { type: 'resource', kind: 'Node', name: 'n1' };
const node: Node = { apiVersion: API_VERSION, kind: 'Node', metadata: { name: 'n1' }, spec: {} };

function open(options: EtcdOptions): EtcdBackend {
	return new EtcdBackend({ random: () => 0 }, options);
}

const isError =
	(code: Parameters<typeof datastoreError>[0], words?: RegExp) =>
	(error: unknown): boolean => {
		assert.ok(datastoreError.is(error), String(error));
		assert.equal(error.code, code, explainError(error));
		if (words !== undefined) assert.match(explainError(error), words);
		return true;
	};

describe('mutual TLS', () => {
	test('works with the files that the environment names, and says what is wrong with others', async () => {
		await using server = await EtcdServer.start({ tls: true });
		const files = server.clientFiles;
		assert.ok(files !== undefined);
		const config = datastoreConfigFromEnv({
			ETCD_ENDPOINTS: server.endpoint,
			ETCD_CA_CERT_FILE: files.caFile,
			ETCD_CERT_FILE: files.certFile,
			ETCD_KEY_FILE: files.keyFile,
		});
		{
			await using client = openDatastore(config);
			const warnings: string[] = [];
			const onWarning = (warning: Error): void => void warnings.push(warning.message);
			process.on('warning', onWarning);
			await client.backend.create(key, node);
			process.off('warning', onWarning);
			assert.deepEqual(warnings, [], 'no server name is sent for an address');
		}
		const tls = { ca: { file: files.caFile }, cert: { file: files.certFile }, key: { file: files.keyFile } };
		{
			const { port } = new URL(server.endpoint);
			await using byName = open({ endpoints: [`https://localhost:${port}`], tls });
			assert.equal((await byName.get(key)).value.metadata.name, 'n1');
		}
		const stranger = await makeAuthority(join(server.dir, 'other'));
		const strange = await stranger.issue('client', []);
		const table: readonly (readonly [string, EtcdOptions['tls'], RegExp])[] = [
			[
				'another CA',
				{ ca: { file: stranger.caFile }, cert: tls.cert, key: tls.key },
				/certificate.*check that the CA, certificate and key/,
			],
			['no client certificate', { ca: tls.ca }, /certificate/],
			[
				'a client certificate of another CA',
				{ ca: tls.ca, cert: { file: strange.certFile }, key: { file: strange.keyFile } },
				/certificate|closed|reset/i,
			],
			['a file that is not there', { ca: { file: '/nonexistent/ca.pem' } }, /CA certificate can not be read.*\/nonexistent\/ca\.pem/],
		];
		for (const [what, options, words] of table) {
			await using backend = open({ endpoints: [server.endpoint], tls: options });
			await assert.rejects(backend.get(key), isError('DATASTORE_UNAVAILABLE', words), what);
		}
	});

	test('takes renewed certificate files up with the next connection', async () => {
		await using server = await EtcdServer.start({ tls: true });
		const files = server.clientFiles;
		assert.ok(files !== undefined);
		const certFile = join(server.dir, 'rotating.pem');
		await writeFile(certFile, 'not yet a certificate');
		await using backend = open({
			endpoints: [server.endpoint],
			tls: { ca: { file: files.caFile }, cert: { file: certFile }, key: { file: files.keyFile } },
		});
		await assert.rejects(backend.ping(), isError('DATASTORE_UNAVAILABLE'));
		await copyFile(files.certFile, certFile);
		await eventually(() => backend.ping());
	});
});

describe('user and password', () => {
	test('are turned into a token, which is renewed when the server has forgotten it; refusals never show the password', async () => {
		await using server = await EtcdServer.start();
		await server.ctl('user', 'add', 'root:r00t-s3cret');
		await server.ctl('user', 'grant-role', 'root', 'root');
		await server.ctl('user', 'add', 'calico:c4lico-s3cret');
		await server.ctl('role', 'add', 'calico');
		await server.ctl('role', 'grant-permission', 'calico', 'readwrite', '--prefix', '/calico/resources/');
		await server.ctl('user', 'grant-role', 'calico', 'calico');
		await server.ctl('auth', 'enable');
		server.user = 'root:r00t-s3cret';
		const endpoints = [server.endpoint];
		await using backend = open({ endpoints, user: { name: 'calico', password: 'c4lico-s3cret' } });
		await backend.create(key, node);
		// tokens live in the server's memory
		await server.restart();
		await eventually(() => backend.get(key));
		await assert.rejects(backend.get({ type: 'handle', handleId: 'x' }), isError('DATASTORE_UNAUTHORIZED', /permission denied/));
		const watching = async (): Promise<void> => {
			for await (const _ of backend.watch({ type: 'handle' }, '1' as never)) assert.fail('nothing may be seen');
		};
		await assert.rejects(watching(), isError('DATASTORE_UNAUTHORIZED', /permission denied/));
		for (const user of [undefined, { name: 'calico', password: 'wr0ng-s3cret' }]) {
			await using stranger = open({ endpoints, user });
			await assert.rejects(
				stranger.get(key),
				(error) => isError('DATASTORE_UNAUTHORIZED')(error) && !explainError(error).includes('s3cret'),
			);
		}
	});

	test('do no harm where the server wants none', async () => {
		await using server = await EtcdServer.start();
		await using backend = open({ endpoints: [server.endpoint], user: { name: 'calico', password: 'x' } });
		await backend.create(key, node);
	});
});

describe('several endpoints', () => {
	const silent: Socket[] = [];
	after(() => {
		for (const socket of silent) socket.destroy();
	});

	test('one that refuses, and one that is silent, are left for one that answers', async () => {
		await using server = await EtcdServer.start();
		const blackHole = createServer((socket) => void silent.push(socket)).listen(0, '127.0.0.1');
		await once(blackHole, 'listening');
		const { port } = blackHole.address() as { port: number };
		try {
			await using backend = open({ endpoints: ['http://127.0.0.1:1', `http://127.0.0.1:${port}`, server.endpoint] });
			const created = await backend.create(key, node);
			// from now on it stays with the one that answers
			const started = performance.now();
			await backend.update(key, node, created.revision);
			assert.ok(performance.now() - started < 2_000);
		} finally {
			blackHole.close();
		}
	});

	test('when none answers, each is named with its reason', async () => {
		await using backend = open({ endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] });
		await assert.rejects(
			backend.ping(),
			isError('DATASTORE_UNAVAILABLE', /127\.0\.0\.1:2 failed: no connection: .*ECONNREFUSED.*127\.0\.0\.1:1 failed/),
		);
	});
});

describe('one endpoint', () => {
	test('that swallowed an attempt to connect is tried anew by the next call', async () => {
		await using server = await EtcdServer.start();
		const sockets: Socket[] = [];
		let isSilent = true;
		const gate = createServer((socket) => {
			sockets.push(socket);
			if (isSilent) return;
			const { hostname, port } = new URL(server.endpoint);
			const upstream = connect(Number(port), hostname);
			sockets.push(upstream);
			socket.pipe(upstream).pipe(socket);
		}).listen(0, '127.0.0.1');
		await once(gate, 'listening');
		const { port } = gate.address() as { port: number };
		try {
			await using backend = open({ endpoints: [`http://127.0.0.1:${port}`], callTimeoutMs: 300 });
			const isSilence = isError('DATASTORE_UNAVAILABLE', /no answer in time/);
			await Promise.all([backend.ping(), backend.get(key)].map((call) => assert.rejects(call, isSilence)));
			isSilent = false;
			await eventually(() => backend.ping());
		} finally {
			for (const socket of sockets) socket.destroy();
			gate.close();
		}
	});
});

describe('closing', () => {
	test('ends what is under way, and nothing starts after it', async () => {
		await using server = await EtcdServer.start();
		const backend = open({ endpoints: [server.endpoint] });
		const { revision } = await backend.list({ type: 'handle' });
		const watching = (async () => {
			for await (const _ of backend.watch({ type: 'handle' }, revision)) await backend[Symbol.asyncDispose]();
		})();
		await assert.rejects(watching, isError('DATASTORE_UNAVAILABLE'));
		await assert.rejects(backend.ping(), isError('DATASTORE_UNAVAILABLE', /closed/));
	});

	test('a caller that gives up while nobody answers does not wait for the limit', async () => {
		const blackHole = createServer((socket) => void silentSockets.push(socket)).listen(0, '127.0.0.1');
		const silentSockets: Socket[] = [];
		await once(blackHole, 'listening');
		const { port } = blackHole.address() as { port: number };
		try {
			await using backend = open({ endpoints: [`http://127.0.0.1:${port}`], callTimeoutMs: 60_000 });
			const stop = new AbortController();
			const pinging = backend.ping({ signal: stop.signal });
			setTimeout(() => stop.abort(), 50);
			await assert.rejects(pinging, isError('DATASTORE_ABORTED'));
		} finally {
			for (const socket of silentSockets) socket.destroy();
			blackHole.close();
		}
	});
});

/** Tries until it succeeds; what fails for too long is thrown. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
	const deadline = Date.now() + 20_000;
	for (;;) {
		try {
			return await attempt();
		} catch (error) {
			if (Date.now() > deadline) throw error;
			await new Promise((resolve) => {
				setTimeout(resolve, 100);
			});
		}
	}
}
