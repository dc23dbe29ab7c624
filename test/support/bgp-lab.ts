/** Namespaces on one bridge, with our daemon and BIRD 2 in them, for the BGP tests. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerStatus, RouterConfig, RouterStatus } from '#bgp';

const DEADLINE_MS = 60_000;

/** A network namespace with one interface, `eth0`, that has 10.99.0.N/24 and fd99::N/64. */
export class Host {
	readonly namespace: string;
	readonly address: string;
	readonly address6: string;

	constructor(namespace: string, number: number) {
		this.namespace = namespace;
		this.address = `10.99.0.${number}`;
		this.address6 = `fd99::${number}`;
	}

	/** Runs a program inside and returns what it printed. */
	run(...command: readonly string[]): string {
		return execFileSync('ip', ['netns', 'exec', this.namespace, ...command], { encoding: 'utf8' });
	}

	spawn(command: readonly string[]): ChildProcess {
		return spawn('ip', ['netns', 'exec', this.namespace, ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
	}
}

/** Our daemon in a process of its own. */
export class DaemonProcess {
	readonly logs: Record<string, unknown>[] = [];
	readonly controlSocket: string;
	readonly #child: ChildProcess;
	readonly #waiting = new Map<number, (answer: { value: RouterStatus | undefined; rss: number }) => void>();
	#nextId = 1;
	#applied: ((result: { applied: boolean; reason?: string }) => void)[] = [];

	constructor(host: Host, folder: string, options: { readonly kernelRoutes?: boolean } = {}) {
		this.controlSocket = join(folder, `${host.namespace}-${Date.now()}.ctl`);
		const settings = JSON.stringify({ controlSocket: this.controlSocket, kernelRoutes: options.kernelRoutes ?? true });
		this.#child = host.spawn([process.execPath, join(import.meta.dirname, 'bgpd-process.ts'), settings]);
		const { stdout, stderr } = this.#child;
		if (stdout === null || stderr === null) throw new Error('no pipes');
		stderr.pipe(process.stderr);
		createInterface({ input: stdout }).on('line', (line) => this.#line(JSON.parse(line) as Record<string, unknown>));
	}

	/** Applies a configuration; throws the daemon's words if it refuses. */
	async configure(config: RouterConfig): Promise<void> {
		const answer = new Promise<{ applied: boolean; reason?: string }>((resolve) => this.#applied.push(resolve));
		this.#child.stdin?.write(`${JSON.stringify({ config })}\n`);
		const { applied, reason } = await answer;
		if (!applied) throw new Error(reason);
	}

	async inspect(): Promise<{ readonly value: RouterStatus | undefined; readonly rss: number }> {
		const id = this.#nextId++;
		const answer = new Promise<{ value: RouterStatus | undefined; rss: number }>((resolve) => this.#waiting.set(id, resolve));
		this.#child.stdin?.write(`${JSON.stringify({ status: id })}\n`);
		return await answer;
	}

	async peer(name: string): Promise<PeerStatus | undefined> {
		return (await this.inspect()).value?.peers.find((peer) => peer.name === name);
	}

	/** Waits until a session is up. */
	async established(name: string): Promise<PeerStatus> {
		return await until(`${name} is established`, async () => {
			const peer = await this.peer(name);
			return peer?.state === 'Established' ? peer : undefined;
		});
	}

	async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		const exited = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
		this.#child.kill(signal);
		await exited;
	}

	#line(message: Record<string, unknown>): void {
		if ('log' in message) this.logs.push(message);
		else if ('applied' in message) this.#applied.shift()?.(message as { applied: boolean });
		else if (typeof message['status'] === 'number')
			this.#waiting.get(message['status'])?.(message as unknown as { value: RouterStatus | undefined; rss: number });
	}
}

/** BIRD 2 with a configuration. */
export class Bird {
	readonly #host: Host;
	readonly #child: ChildProcess;
	readonly #socket: string;
	readonly #config: string;

	constructor(host: Host, folder: string, config: string, options: readonly string[] = []) {
		this.#host = host;
		this.#socket = join(folder, `${host.namespace}-bird.ctl`);
		this.#config = join(folder, `${host.namespace}-bird.conf`);
		writeFileSync(this.#config, config);
		this.#child = host.spawn(['bird', '-f', '-c', this.#config, '-s', this.#socket, ...options]);
		this.#child.stderr?.pipe(process.stderr);
	}

	/** What `birdc COMMAND` prints. */
	ask(...command: readonly string[]): string {
		try {
			return this.#host.run('birdc', '-s', this.#socket, ...command);
		} catch {
			return '';
		}
	}

	configure(config: string): void {
		writeFileSync(this.#config, config);
		this.ask('configure');
	}

	/** Stops or continues the process, without ending it. */
	signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
		this.#child.kill(signal);
	}

	/** Waits until `show route` of BIRD has, or no longer has, a text. */
	async route(text: string, present = true): Promise<void> {
		await until(`BIRD ${present ? 'has' : 'no longer has'} ${text}`, () =>
			this.ask('show', 'route').includes(text) === present ? true : undefined,
		);
	}

	async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		const exited = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
		this.#child.kill(signal);
		await exited;
	}
}

/** Everything a test makes, taken down together. */
export class BgpLab implements AsyncDisposable {
	readonly folder = mkdtempSync(join(tmpdir(), 'tt-bgp-'));
	readonly #prefix = `tt-${process.pid}-${Math.floor(Math.random() * 0xffff).toString(16)}`;
	readonly #hosts: Host[] = [];
	readonly #processes: { kill(signal: 'SIGKILL'): Promise<void> }[] = [];
	readonly #switch: string;

	constructor() {
		this.#switch = `${this.#prefix}-sw`;
		ip_('netns', 'add', this.#switch);
		ip_('-n', this.#switch, 'link', 'add', 'br0', 'type', 'bridge');
		ip_('-n', this.#switch, 'link', 'set', 'br0', 'up');
	}

	host(): Host {
		const number = this.#hosts.length + 1;
		const host = new Host(`${this.#prefix}-${number}`, number);
		this.#hosts.push(host);
		ip_('netns', 'add', host.namespace);
		ip_('-n', host.namespace, 'link', 'set', 'lo', 'up');
		ip_('-n', host.namespace, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `p${number}`, 'netns', this.#switch);
		ip_('-n', this.#switch, 'link', 'set', `p${number}`, 'master', 'br0', 'up');
		ip_('-n', host.namespace, 'addr', 'add', `${host.address}/24`, 'dev', 'eth0');
		ip_('-n', host.namespace, 'addr', 'add', `${host.address6}/64`, 'dev', 'eth0', 'nodad');
		ip_('-n', host.namespace, 'link', 'set', 'eth0', 'up');
		return host;
	}

	daemon(host: Host, options: { readonly kernelRoutes?: boolean } = {}): DaemonProcess {
		const daemon = new DaemonProcess(host, this.folder, options);
		this.#processes.push(daemon);
		return daemon;
	}

	bird(host: Host, config: string, options: readonly string[] = []): Bird {
		const bird = new Bird(host, this.folder, config, options);
		this.#processes.push(bird);
		return bird;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const child of this.#processes) await child.kill('SIGKILL');
		for (const { namespace } of this.#hosts) ip_('netns', 'del', namespace);
		ip_('netns', 'del', this.#switch);
		rmSync(this.folder, { recursive: true, force: true });
	}
}

function ip_(...command: readonly string[]): void {
	execFileSync('ip', command, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Polls until something is there. */
export async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
	const deadline = performance.now() + DEADLINE_MS;
	for (;;) {
		const found = await look();
		if (found !== undefined) return found;
		if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
		await sleep(50);
	}
}
