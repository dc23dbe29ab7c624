/**
 * Routes through a router: an eBGP peer announces them, the router under test chooses, rewrites and passes them on, a second eBGP peer
 * counts them. Our daemon and BIRD 2 in turn, each in a fresh process, in a network namespace joined by a wire to that of the peers.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { peerConfig, routerConfig } from '../src/bgp/testing/config.ts';
import type { TrafficSettings } from './bgp-traffic.ts';
import { against, type BenchResult } from './result.ts';

const ROUTER = '192.0.2.1';
const SENDER = { address: '192.0.2.2', asNumber: 65001 };
const RECEIVER = { address: '192.0.2.3', asNumber: 65002 };
const ROUTER_AS = 65000;
const PREFIXES_PER_SET = 100;
const LIMIT_MS = 60_000;

interface Run {
	readonly ms: number;
	readonly rssMb: number;
}

/** Where the router and its peers live. */
interface Place {
	readonly router: string;
	readonly peers: string;
	readonly folder: string;
}

type Start = (place: Place) => Promise<ChildProcess>;

const ROUTERS: Readonly<Record<'tortie' | 'bird2', Start>> = { tortie: startOurs, bird2: startBird };

export async function run(): Promise<BenchResult[]> {
	const folder = mkdtempSync(join(tmpdir(), 'tt-bench-'));
	const place: Place = { router: `tt-${process.pid}-dut`, peers: `tt-${process.pid}-peers`, folder };
	try {
		makeWire(place);
		const small = await measure(place, 100_000, 5);
		const large = await measure(place, 1_000_000, 5);
		return [
			against('bird2', 'forward-100k', 'ms', median(small.tortie, 'ms'), median(small.bird2, 'ms')),
			against('bird2', 'forward-1m', 'ms', median(large.tortie, 'ms'), median(large.bird2, 'ms')),
			against('bird2', 'rss-1m', 'MB', median(large.tortie, 'rssMb'), median(large.bird2, 'rssMb')),
		];
	} finally {
		for (const namespace of [place.router, place.peers]) execFileSync('ip', ['netns', 'del', namespace], { stdio: 'ignore' });
		rmSync(folder, { recursive: true, force: true });
	}
}

async function measure(place: Place, prefixes: number, repetitions: number): Promise<Record<keyof typeof ROUTERS, Run[]>> {
	const runs: Record<keyof typeof ROUTERS, Run[]> = { tortie: [], bird2: [] };
	for (let repetition = 0; repetition < repetitions; repetition++)
		for (const name of ['tortie', 'bird2'] as const) runs[name].push(await forward(place, ROUTERS[name], prefixes));
	for (const [name, list] of Object.entries(runs)) {
		const times = list.map(({ ms }) => ms.toFixed(0)).join(' ');
		const least = Math.min(...list.map(({ ms }) => ms)).toFixed(0);
		console.log(
			`${String(prefixes).padStart(8)} routes  ${name.padEnd(7)} min ${least} / median ${median(list, 'ms').toFixed(0)} ms (${times}), ${median(list, 'rssMb').toFixed(0)} MB`,
		);
	}
	return runs;
}

/** One forwarding run through a fresh router process. */
async function forward(place: Place, start: Start, prefixes: number): Promise<Run> {
	const router = await start(place);
	try {
		const settings: TrafficSettings = {
			router: ROUTER,
			routerAs: ROUTER_AS,
			sender: SENDER,
			receiver: RECEIVER,
			prefixes,
			prefixesPerSet: PREFIXES_PER_SET,
		};
		const traffic = inNamespace(place.peers, process.execPath, join(import.meta.dirname, 'bgp-traffic.ts'), JSON.stringify(settings));
		try {
			const { ms } = (await firstLine(traffic)) as { ms: number };
			return { ms, rssMb: residentMb(router) };
		} finally {
			await end(traffic);
		}
	} finally {
		await end(router);
	}
}

async function startOurs({ router }: Place): Promise<ChildProcess> {
	const entry = join(import.meta.dirname, '../test/support/bgpd-process.ts');
	const child = inNamespace(router, process.execPath, entry, JSON.stringify({ kernelRoutes: false }));
	const peers = [SENDER, RECEIVER].map(({ address, asNumber }) => {
		const peer = peerConfig(address, asNumber, { passive: true });
		return { ...peer, families: peer.families.filter(({ family }) => family === 4) };
	});
	child.stdin?.write(`${JSON.stringify({ config: routerConfig(ROUTER, ROUTER_AS, { peers }) })}\n`);
	await firstLine(child);
	return child;
}

async function startBird({ router, folder }: Place): Promise<ChildProcess> {
	const config = join(folder, 'bird.conf');
	const session = ({ address, asNumber }: typeof SENDER): string => `
protocol bgp { local ${ROUTER} as ${ROUTER_AS}; neighbor ${address} as ${asNumber}; passive on; ipv4 { import all; export all; }; }`;
	const direct = 'protocol device {}\nprotocol direct { ipv4; }';
	writeFileSync(config, `router id ${ROUTER};\n${direct}${session(SENDER)}${session(RECEIVER)}\n`);
	const child = inNamespace(router, 'bird', '-f', '-c', config, '-s', join(folder, 'bird.ctl'));
	await until(() => {
		try {
			return execFileSync('birdc', ['-s', join(folder, 'bird.ctl'), 'show', 'status'], { stdio: 'pipe' }).includes('up and running');
		} catch {
			return false;
		}
	});
	return child;
}

function inNamespace(namespace: string, ...command: readonly string[]): ChildProcess {
	return spawn('ip', ['netns', 'exec', namespace, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function firstLine(child: ChildProcess): Promise<unknown> {
	if (child.stdout === null) throw new Error('no pipe');
	const lines = createInterface({ input: child.stdout });
	const timer = setTimeout(() => lines.close(), LIMIT_MS);
	try {
		for await (const line of lines) return JSON.parse(line);
		throw new Error(`${child.spawnargs.slice(4).join(' ')} gave no answer`);
	} finally {
		clearTimeout(timer);
	}
}

async function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	child.kill('SIGKILL');
	await once(child, 'exit');
}

function residentMb(child: ChildProcess): number {
	const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
	return Number(line?.[1]) / 1024;
}

function median(runs: readonly Run[], field: keyof Run): number {
	const sorted = runs.map((entry) => entry[field]).sort((a, b) => a - b);
	return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function until(condition: () => boolean): Promise<void> {
	const deadline = performance.now() + LIMIT_MS;
	while (!condition()) {
		if (performance.now() > deadline) throw new Error('the router did not start');
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}

function makeWire({ router, peers }: Place): void {
	ip('netns', 'add', router);
	ip('netns', 'add', peers);
	ip('-n', router, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peers);
	ip('-n', router, 'addr', 'add', `${ROUTER}/24`, 'dev', 'eth0');
	for (const { address } of [SENDER, RECEIVER]) ip('-n', peers, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
	for (const namespace of [router, peers]) ip('-n', namespace, 'link', 'set', 'eth0', 'up');
}

function ip(...command: readonly string[]): void {
	execFileSync('ip', command, { stdio: ['ignore', 'ignore', 'inherit'] });
}
