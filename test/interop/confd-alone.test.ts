import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RouterConfig } from '#bgp';
import { birdCommand } from '#confd';
import { openDatastore } from '#datastore';
import { ip } from '#net';
import { API_VERSION } from '#resources';
import { EtcdServer } from '../support/etcd.ts';
import { NamespaceBed } from '../support/netns.ts';
import { eventually } from '../support/node-process.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

/** One component by itself, with a root directory of its own. */
class Component {
	readonly root = mkdtempSync(join(tmpdir(), 'tt-alone-'));
	readonly #bed = new NamespaceBed();
	#process: ChildProcess | undefined;
	#log = '';

	get log(): string {
		return this.#log;
	}

	get pid(): number {
		return this.#process?.pid ?? 0;
	}

	start(args: readonly string[], env: Readonly<Record<string, string>>, isolated: boolean): void {
		const run = (): ChildProcess =>
			spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, MAIN, ...args], {
				env: { ...process.env, CALICO_HOST_ROOT: this.root, NODENAME: 'n1', ...env },
				stdio: ['ignore', 'pipe', 'pipe'],
			});
		const child = isolated ? this.#bed.makeNamespace('alone').run(run) : run();
		for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (this.#log += chunk.toString('utf8')));
		this.#process = child;
	}

	/** @returns the exit status */
	async stop(): Promise<number | null> {
		const child = this.#process;
		if (child !== undefined && child.exitCode === null) {
			child.kill('SIGTERM');
			await once(child, 'exit');
		}
		this.#bed[Symbol.dispose]();
		rmSync(this.root, { recursive: true, force: true });
		return child?.exitCode ?? null;
	}
}

describe('components by themselves', () => {
	let etcd: EtcdServer;
	before(async () => {
		etcd = await EtcdServer.start();
	});
	after(() => etcd[Symbol.asyncDispose]());

	test('confd keeps the file of a BIRD that others run', { timeout: 60_000 }, async () => {
		const confd = new Component();
		try {
			await using client = openDatastore({ type: 'etcdv3', etcd: { endpoints: [etcd.endpoint] } });
			const metadata = { name: 'n1' };
			await client.resources.create({ apiVersion: API_VERSION, kind: 'Node', metadata, spec: { bgp: { ipv4Address: '10.0.0.1/24' } } });
			confd.start(['confd'], { ETCD_ENDPOINTS: etcd.endpoint }, false);
			const file = join(confd.root, 'etc/calico/confd/config/bird.cfg');
			const text = (): string => {
				try {
					return readFileSync(file, 'utf8');
				} catch {
					return '';
				}
			};
			await eventually(`the file is written; ${confd.log}`, () => text().includes('router id 10.0.0.1;'));
			const peer = { peerIP: '192.0.2.1', asNumber: 64999 };
			await client.resources.create({ apiVersion: API_VERSION, kind: 'BGPPeer', metadata: { name: 'tor' }, spec: peer });
			await eventually('the peer is in it', () => text().includes('protocol bgp Global_192_0_2_1'));
			execFileSync('bird', ['-p', '-c', file]);
		} finally {
			assert.equal(await confd.stop(), 0);
		}
	});

	test('bgpd runs with the model in a file, and with what the file says after SIGHUP', { timeout: 60_000 }, async () => {
		const bgpd = new Component();
		try {
			const file = join(bgpd.root, 'router.json');
			const config: RouterConfig = {
				routerId: ip('10.0.0.1'),
				asNumber: 64512,
				listen: { port: 179, addresses: undefined },
				peers: [],
				originate: [],
				staticRoutes: [],
				kernel: { table: 254, metric: { 4: 1024, 6: 1024 }, filter: { rules: [], otherwise: 'reject' }, recoverySeconds: 10 },
				ignoredInterfaces: [],
			};
			writeFileSync(file, JSON.stringify(config));
			bgpd.start(['bgpd', '--config', file], {}, true);
			const status = async (): Promise<string> => {
				const lines = await birdCommand(join(bgpd.root, 'var/run/calico/bird.ctl'), 'show status').catch(() => []);
				return lines.map(({ text }) => text).join('\n');
			};
			await eventually(`it answers on its control socket; ${bgpd.log}`, async () => (await status()).includes('10.0.0.1'));
			writeFileSync(file, 'no JSON');
			process.kill(bgpd.pid, 'SIGHUP');
			await eventually('it says what is wrong', () => bgpd.log.includes('the configuration stays as it is'));
			writeFileSync(file, JSON.stringify({ ...config, routerId: ip('10.0.0.2') }));
			process.kill(bgpd.pid, 'SIGHUP');
			await eventually('it has the new identifier', async () => (await status()).includes('10.0.0.2'));
		} finally {
			assert.equal(await bgpd.stop(), 0);
		}
	});

	test('felix by itself waits for the datastore, and names settings that have no effect', { timeout: 60_000 }, async () => {
		const felix = new Component();
		try {
			felix.start(['felix'], { ETCD_ENDPOINTS: 'http://127.0.0.1:1', FELIX_NOSUCHTHING: 'x' }, true);
			await eventually(`it waits for the datastore; ${felix.log}`, () => felix.log.includes('the datastore does not answer'));
			assert.match(felix.log, /FELIX_NOSUCHTHING/);
		} finally {
			assert.equal(await felix.stop(), 0);
		}
	});

	test('a command that is not understood is answered with how it is used', () => {
		const run = (...args: string[]): string => {
			try {
				execFileSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', stdio: 'pipe' });
				return '0';
			} catch (error) {
				return String((error as { readonly status?: number }).status);
			}
		};
		assert.equal(run('--help'), '0');
		assert.equal(run('node', '--help'), '0');
		assert.equal(run(), '1');
		assert.equal(run('nod'), '1');
		assert.equal(run('bgpd'), '1');
		assert.equal(run('node', '--no-such-flag'), '1');
	});
});
