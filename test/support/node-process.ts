/** `tortie node` processes in network namespaces, with an etcd of their own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askNode, type NodeStatus } from '#node-api';
import type { TestNamespace } from './netns.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const PLUGIN = join(import.meta.dirname, '../../native/build/calico');
const LIMIT_MS = 60_000;

/** Polls until a condition holds; fails the test in words if it never does. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
	for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(50)) if (await condition()) return;
	throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
}

/** An etcd inside a namespace, which can be taken away and brought back with its data. */
export class NamespaceEtcd implements AsyncDisposable {
	readonly endpoint: string;
	readonly #namespace: TestNamespace;
	readonly #directory = mkdtempSync(join(tmpdir(), `tt-${process.pid}-etcd-`));
	#process: ChildProcess | undefined;

	constructor(namespace: TestNamespace, address: string) {
		this.#namespace = namespace;
		this.endpoint = `http://${address}:2379`;
	}

	start(): void {
		const args = ['--data-dir', this.#directory, '--log-level', 'error', '--listen-client-urls', this.endpoint];
		args.push('--advertise-client-urls', this.endpoint, '--listen-peer-urls', 'http://127.0.0.1:0');
		this.#process = this.#namespace.run(() => spawn('setpriv', ['--pdeathsig', 'KILL', 'etcd', ...args], { stdio: 'ignore' }));
	}

	async kill(): Promise<void> {
		await ended(this.#process, 'SIGKILL');
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.kill();
		rmSync(this.#directory, { recursive: true, force: true });
	}
}

/** One node: its directories and, while it runs, its process. */
export class TestNode implements AsyncDisposable {
	readonly name: string;
	readonly root: string;
	readonly namespace: TestNamespace;
	readonly #env: Readonly<Record<string, string>>;
	#process: ChildProcess | undefined;
	#log = '';

	constructor(namespace: TestNamespace, name: string, env: Readonly<Record<string, string>>) {
		this.namespace = namespace;
		this.name = name;
		this.root = mkdtempSync(join(tmpdir(), `tt-${process.pid}-node-`));
		this.#env = { NODENAME: name, CALICO_HOST_ROOT: this.root, NO_DEFAULT_POOLS: 'true', ...env };
	}

	/** What the node has printed. */
	get log(): string {
		return this.#log;
	}

	get exitCode(): number | null {
		return this.#process?.exitCode ?? null;
	}

	get socketPath(): string {
		return join(this.root, 'var/run/calico/node.sock');
	}

	start(): void {
		const child = this.namespace.run(() =>
			spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, MAIN, 'node'], {
				stdio: ['ignore', 'pipe', 'pipe'],
				env: { ...process.env, ...this.#env },
			}),
		);
		const take = (chunk: Buffer): void => {
			this.#log += chunk.toString('utf8');
		};
		child.stdout.on('data', take);
		child.stderr.on('data', take);
		this.#process = child;
	}

	/** Ends the process and waits for it. */
	async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
		await ended(this.#process, signal);
	}

	status(): Promise<NodeStatus> {
		return askNode(this.socketPath, 'GET /v1/status', undefined);
	}

	/** Resolves when the node says that it is ready. */
	async ready(): Promise<void> {
		await eventually(
			`${this.name} is ready; its log: ${this.#log}`,
			async () => (await this.status().catch(() => undefined))?.ready === true,
		);
	}

	/** Runs the command line's probes as an orchestrator does. */
	probe(...names: readonly string[]): { readonly status: number | null; readonly words: string } {
		const { status, stderr } = this.namespace.run(() =>
			spawnSync(process.execPath, [MAIN, 'node', ...names], { encoding: 'utf8', env: { ...process.env, ...this.#env } }),
		);
		return { status, words: stderr };
	}

	/** Has the CNI plugin connect a namespace, as a container runtime does. @returns its addresses */
	async addPod(name: string, netns: string): Promise<string[]> {
		const child = this.namespace.run(() =>
			spawn(PLUGIN, {
				argv0: 'calico',
				stdio: ['pipe', 'pipe', 'inherit'],
				env: {
					CNI_COMMAND: 'ADD',
					CNI_CONTAINERID: name,
					CNI_NETNS: `/run/netns/${netns}`,
					CNI_IFNAME: 'eth0',
					CNI_PATH: '/opt/cni/bin',
					CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`,
					CALICO_CNI_SOCKET: join(this.root, 'var/run/calico/cni.sock'),
				},
			}),
		);
		let out = '';
		child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('utf8')));
		const ipam = { type: 'calico-ipam', assign_ipv4: 'true', assign_ipv6: 'true' };
		child.stdin.end(JSON.stringify({ cniVersion: '1.0.0', name: 'k8s-pod-network', type: 'calico', ipam, policy: { type: 'k8s' } }));
		await once(child, 'close');
		const result = JSON.parse(out) as { readonly ips?: readonly { readonly address: string }[] };
		if (result.ips === undefined) throw new Error(`ADD failed: ${out}; the node's log: ${this.#log}`);
		return result.ips.map(({ address }) => address.split('/')[0] as string);
	}

	/** Ends the node's BIRD as a crash would. @returns how many there were */
	killBird(): number {
		const pids = this.#birds();
		for (const pid of pids) process.kill(pid, 'SIGKILL');
		return pids.length;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop('SIGKILL');
		this.killBird();
		rmSync(this.root, { recursive: true, force: true });
	}

	/** BIRD outlives the node on purpose; those of this node are told by the path of their file. */
	#birds(): number[] {
		const { stdout } = spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' });
		return stdout.split('\n').flatMap((line) => (line.includes(`bird -f`) && line.includes(this.root) ? Number.parseInt(line, 10) : []));
	}
}

async function ended(child: ChildProcess | undefined, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
	if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
	child.kill(signal);
	await once(child, 'exit');
}
