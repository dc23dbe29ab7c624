/** A real etcd on loopback for tests: random ports, a folder of its own, and everything gone afterwards. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type CertificateFiles, makeAuthority } from './certificates.ts';

const START_TIMEOUT_MS = 20_000;

export interface EtcdOptions {
	/** Mutual TLS: clients must show a certificate of the same authority. */
	readonly tls?: boolean;
}

export class EtcdServer implements AsyncDisposable {
	/** `http(s)://127.0.0.1:port`. */
	readonly endpoint: string;
	/** What a client shows, where TLS is used. */
	readonly clientFiles: CertificateFiles | undefined;
	/** Where tests may keep files of their own; removed with the server. */
	readonly dir: string;
	/** `user:password` for etcdctl, once the test has turned authentication on. */
	user: string | undefined;
	readonly #args: readonly string[];
	#process: ChildProcess | undefined;

	private constructor(
		dir: string,
		ports: readonly [number, number],
		tls: { server: CertificateFiles; client: CertificateFiles } | undefined,
	) {
		this.dir = dir;
		const scheme = tls === undefined ? 'http' : 'https';
		this.endpoint = `${scheme}://127.0.0.1:${ports[0]}`;
		this.clientFiles = tls?.client;
		const peer = `http://127.0.0.1:${ports[1]}`;
		const pairs: readonly (readonly [string, string])[] = [
			['--name', 'test'],
			['--data-dir', join(dir, 'data')],
			['--logger', 'zap'],
			['--log-level', 'error'],
			['--listen-client-urls', this.endpoint],
			['--advertise-client-urls', this.endpoint],
			['--listen-peer-urls', peer],
			['--initial-advertise-peer-urls', peer],
			['--initial-cluster', `test=${peer}`],
		];
		const files = tls?.server;
		const tlsArgs =
			files === undefined
				? []
				: ['--client-cert-auth', '--cert-file', files.certFile, '--key-file', files.keyFile, '--trusted-ca-file', files.caFile];
		this.#args = [...pairs.flat(), ...tlsArgs];
	}

	/** A server that answers. */
	static async start(options: EtcdOptions = {}): Promise<EtcdServer> {
		const dir = await mkdtemp(join(tmpdir(), `tt-${process.pid}-etcd-`));
		let tls: { server: CertificateFiles; client: CertificateFiles } | undefined;
		if (options.tls === true) {
			const authority = await makeAuthority(join(dir, 'tls'));
			tls = { server: await authority.issue('server', ['IP:127.0.0.1', 'DNS:localhost']), client: await authority.issue('client', []) };
		}
		const server = new EtcdServer(dir, [await freePort(), await freePort()], tls);
		try {
			await server.restart();
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
		return server;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.kill();
		await rm(this.dir, { recursive: true, force: true });
	}

	/** Starts the server again, with its data and on its ports. */
	async restart(): Promise<void> {
		await this.kill();
		// it dies with the test, however that ends
		const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'etcd', ...this.#args], { stdio: 'ignore' });
		this.#process = child;
		const failure = once(child, 'error').then(([error]) => Promise.reject(error as Error));
		const deadline = Date.now() + START_TIMEOUT_MS;
		const answers = async (): Promise<void> => {
			while (Date.now() < deadline) {
				if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}`);
				try {
					await this.ctl('endpoint', 'health');
					return;
				} catch {
					await sleep(50);
				}
			}
			throw new Error('etcd did not answer in time');
		};
		await Promise.race([answers(), failure]);
	}

	/** Ends the server as a crash would. */
	async kill(): Promise<void> {
		const child = this.#process;
		this.#process = undefined;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
		child.kill('SIGKILL');
		await once(child, 'exit');
	}

	/** Runs etcdctl against the server; returns what it printed. */
	async ctl(...args: readonly string[]): Promise<string> {
		const files = this.clientFiles;
		const tls = files === undefined ? [] : ['--cacert', files.caFile, '--cert', files.certFile, '--key', files.keyFile];
		const user = this.user === undefined ? [] : ['--user', this.user];
		const { stdout } = await promisify(execFile)(
			'etcdctl',
			['--endpoints', this.endpoint, '--dial-timeout', '1s', ...tls, ...user, ...args],
			{
				env: { ...process.env, ETCDCTL_API: '3' },
				maxBuffer: 64 << 20,
			},
		);
		return stdout;
	}

	/** The text stored at a key, byte for byte; undefined if there is none. */
	async value(key: string): Promise<string | undefined> {
		const { kvs } = JSON.parse(await this.ctl('get', key, '-w', 'json')) as { readonly kvs?: readonly { readonly value?: string }[] };
		return kvs?.[0] === undefined ? undefined : Buffer.from(kvs[0].value ?? '', 'base64').toString();
	}

	/** Every key under a prefix. */
	async keys(prefix: string): Promise<readonly string[]> {
		return (await this.ctl('get', prefix, '--prefix', '--keys-only')).split('\n').filter((line) => line !== '');
	}
}

async function freePort(): Promise<number> {
	const server = createServer();
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	const address = server.address();
	server.close();
	await once(server, 'close');
	if (address === null || typeof address === 'string') throw new Error('no port');
	return address.port;
}
