import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FilterRule, PeerConfig, RouteFilter, RouterConfig } from '#bgp';
import { BirdSink, birdCommand } from '#confd';
import { cidr, ip } from '#net';
import { joinByVeth, NamespaceBed, type TestNamespace } from '../support/netns.ts';
import { eventually } from '../support/node-process.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const ACCEPT: RouteFilter = { rules: [], otherwise: 'accept' };

/** What the router under test announces: a bit of everything that a filter can say. */
const EXPORT_RULES: readonly FilterRule[] = [
	{ match: { source: 'bgp', within: cidr('10.65.0.0/16'), minLength: 27 }, action: 'reject' },
	{ match: { source: 'originated' }, set: { addCommunities: ['64512:1'] } },
	{ match: { within: cidr('10.66.0.0/16') }, action: 'reject' },
	{ match: { interface: '*.calico' }, action: 'reject' },
	{ match: { source: 'kernel' }, set: { addCommunities: ['64512:2:3'], prependAsPath: [64512, 64999] } },
	{ match: { equals: cidr('10.65.1.0/26') }, action: 'accept' },
	{ match: { within: cidr('10.65.1.0/26') }, action: 'reject' },
	{ match: { notWithin: cidr('10.0.0.0/8'), source: 'bgp', maxLength: 24 }, set: { addCommunities: ['64512:4'] }, action: 'accept' },
	{ match: { within: cidr('10.64.0.0/10') }, action: 'accept' },
	{ match: { within: cidr('fd65::/48') }, action: 'accept' },
];

const KERNEL_RULES: readonly FilterRule[] = [
	{ match: { within: cidr('10.68.0.0/16') }, action: 'reject' },
	{ match: { source: 'bgp', within: cidr('203.0.113.0/24'), minLength: 25 }, action: 'reject' },
];

function peer(
	name: string,
	address: string,
	source: string,
	asNumber: number,
	filters: Partial<PeerConfig['families'][number]>,
): PeerConfig {
	const family = address.includes(':') ? 6 : 4;
	return {
		name,
		address: ip(address),
		port: 179,
		asNumber,
		localAsNumber: undefined,
		sourceAddress: ip(source),
		passive: false,
		password: undefined,
		holdTimeSeconds: 90,
		restartTimeSeconds: 120,
		ttlSecurityHops: undefined,
		routeReflectorClusterId: undefined,
		allowedLocalAs: 0,
		nextHop: 'auto',
		families: [{ family, importFilter: ACCEPT, exportFilter: ACCEPT, ...filters }],
	};
}

const exportFilter: RouteFilter = { rules: EXPORT_RULES, otherwise: 'reject' };
const importFilter: RouteFilter = { rules: [{ match: { equals: cidr('192.0.2.0/24') }, action: 'reject' }], otherwise: 'accept' };

const UNDER_TEST: RouterConfig = {
	routerId: ip('10.9.1.1'),
	asNumber: 64512,
	listen: { port: 179, addresses: undefined },
	peers: [
		peer('Global_10_9_1_2', '10.9.1.2', '10.9.1.1', 65001, { importFilter, exportFilter: { rules: [], otherwise: 'reject' } }),
		peer('Global_10_9_2_2', '10.9.2.2', '10.9.2.1', 65002, { exportFilter }),
		peer('Global_fd09_1__2', 'fd09:1::2', 'fd09:1::1', 65001, { exportFilter: { rules: [], otherwise: 'reject' } }),
		peer('Global_fd09_2__2', 'fd09:2::2', 'fd09:2::1', 65002, { exportFilter }),
	],
	originate: [
		{ prefix: cidr('10.65.1.0/26'), kind: 'block' },
		{ prefix: cidr('10.96.0.0/12'), kind: 'service' },
		{ prefix: cidr('fd65::40/122'), kind: 'block' },
	],
	staticRoutes: [{ prefix: cidr('10.9.9.9/32'), gateway: ip('10.9.2.2') }],
	kernel: { table: 254, metric: { 4: 1024, 6: 1024 }, filter: { rules: KERNEL_RULES, otherwise: 'accept' }, recoverySeconds: 5 },
	ignoredInterfaces: ['cali*'],
};

/** A BIRD around the router under test, configured by hand. */
function neighbour(asNumber: number, link: number, statics: readonly string[]): string {
	const routes = (family: 4 | 6): string =>
		statics
			.filter((prefix) => prefix.includes(':') === (family === 6))
			.map((prefix) => `route ${prefix} blackhole;`)
			.join(' ');
	const bgp = (family: 4 | 6, prefix: string, separator: string): string => `protocol bgp b${family} {
		local ${prefix}${separator}2 as ${asNumber}; neighbor ${prefix}${separator}1 as 64512; connect delay time 1; connect retry time 1;
		ipv${family} { import all; export where source = RTS_STATIC; }; }`;
	return `router id 10.9.${link}.2; protocol device { scan time 1; } protocol direct { ipv4; ipv6; }
		protocol static s4 { ipv4; ${routes(4)} } protocol static s6 { ipv6; ${routes(6)} }
		${bgp(4, `10.9.${link}`, '.')} ${bgp(6, `fd09:${link}`, '::')}`;
}

const SOURCE_ROUTES = [
	'10.65.2.0/26',
	'10.65.3.7/32',
	'10.66.0.0/26',
	'10.68.1.0/26',
	'192.0.2.0/24',
	'198.51.100.0/24',
	'203.0.113.128/25',
	'fd65:0:0:1::/64',
	'fd66::/64',
];

/** What a peer of the router learned, and what the router wrote to its kernel. */
interface Outcome {
	readonly learned: readonly string[];
	readonly kernel: readonly string[];
}

class Bed implements AsyncDisposable {
	readonly directory = mkdtempSync(join(tmpdir(), 'tt-equal-'));
	readonly router: TestNamespace;
	readonly #bed = new NamespaceBed();
	readonly #processes: ChildProcess[] = [];

	constructor() {
		this.router = this.#bed.makeNamespace('router');
	}

	/** The router between a source and a watcher, with workloads; without a daemon of its own yet. */
	static async make(): Promise<Bed> {
		const bed = new Bed();
		try {
			bed.#furnish();
			return bed;
		} catch (error) {
			await bed[Symbol.asyncDispose]();
			throw error;
		}
	}

	#furnish(): void {
		for (const [link, label] of [
			[1, 'source'],
			[2, 'watcher'],
		] as const) {
			const other = this.#bed.makeNamespace(label);
			joinByVeth({ namespace: this.router, name: `eth${link}` }, { namespace: other, name: 'eth0' });
			this.router.addAddress(`eth${link}`, `10.9.${link}.1/24`);
			this.router.addAddress(`eth${link}`, `fd09:${link}::1/64`);
			other.addAddress('eth0', `10.9.${link}.2/24`);
			other.addAddress('eth0', `fd09:${link}::2/64`);
			writeFileSync(join(this.directory, `${label}.cfg`), neighbour(65000 + link, link, link === 1 ? SOURCE_ROUTES : []));
			this.spawn(other, 'bird', ['-f', '-c', join(this.directory, `${label}.cfg`), '-s', join(this.directory, `${label}.ctl`)]);
		}
		// A workload inside the block, one with an address from another node's block, and a route into a tunnel.
		for (const [index, [name, destination]] of (
			[
				['cali1', '10.65.1.5/32'],
				['cali2', '10.65.7.5/32'],
				['vxlan.calico', '10.70.0.0/26'],
			] as const
		).entries()) {
			joinByVeth({ namespace: this.router, name }, { namespace: this.#bed.makeNamespace(`far${index}`), name: 'eth0' });
			this.router.addRoute(destination, name);
		}
	}

	spawn(namespace: TestNamespace, program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
		const options = { stdio: 'ignore' as const, env: { ...process.env, ...env } };
		this.#processes.push(namespace.run(() => spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], options)));
	}

	/** The routes that the watcher holds from BGP, with path and communities, and the kernel routes of the router that BGP wrote. */
	async outcome(): Promise<Outcome> {
		const socket = join(this.directory, 'watcher.ctl');
		const learned: string[] = [];
		for (const family of [4, 6])
			for (const { text } of await birdCommand(socket, `show route table master${family} protocol b${family} all`)) {
				const prefix = /^(\S+\/\d+)\s/.exec(text)?.[1];
				if (prefix !== undefined) learned.push(prefix);
				const attribute = /^\s*BGP\.(as_path|community|large_community): (.*)$/.exec(text);
				if (attribute !== null) learned.push(`${learned.pop() ?? ''} ${attribute[1]}=${attribute[2]}`);
			}
		const kernel = [['route'], ['-6', 'route']].flatMap((args) => this.router.exec('ip', ...args, 'show', 'proto', 'bird').split('\n'));
		return {
			learned: learned.toSorted(),
			kernel: kernel
				.map((line) =>
					line
						.replace(/ pref medium| dev lo/g, '')
						// A neighbour on the link tells both its addresses; either leads to it.
						.replace(/ via (?:fe80|fd09:1)::\S+/, ' via the source')
						.replaceAll(/ +/g, ' ')
						.trim(),
				)
				.filter((line) => line !== '')
				.toSorted(),
		};
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const child of this.#processes) {
			if (child.exitCode !== null || child.signalCode !== null) continue;
			child.kill('SIGKILL');
			await once(child, 'exit');
		}
		this.#bed[Symbol.dispose]();
		rmSync(this.directory, { recursive: true });
	}
}

/** Waits until everything that is to come has come: the last route of each family, and then no change for a second. */
async function settled(bed: Bed): Promise<Outcome> {
	const outcome = async (): Promise<Outcome> => bed.outcome().catch(() => ({ learned: [], kernel: [] }));
	await eventually('routes of both families come through', async () => {
		const { learned } = await outcome();
		return ['198.51.100.0/24', '10.65.1.0/26', 'fd65::40/122', 'fd65:0:0:1::/64'].every((prefix) =>
			learned.some((route) => route.startsWith(prefix)),
		);
	});
	for (let last = await outcome(); ; ) {
		await sleep(1000);
		const now = await outcome();
		if (JSON.stringify(now) === JSON.stringify(last)) return now;
		last = now;
	}
}

test('the same router model makes our daemon and BIRD announce and install the same', { timeout: 240_000 }, async () => {
	const byBird = await (async () => {
		await using bed = await Bed.make();
		const options = { program: 'bird', configFile: join(bed.directory, 'bird.cfg'), controlSocket: join(bed.directory, 'bird.ctl') };
		await new BirdSink(options).apply(UNDER_TEST, AbortSignal.timeout(30_000));
		bed.spawn(bed.router, 'bird', ['-f', '-R', '-c', options.configFile, '-s', options.controlSocket]);
		return await settled(bed);
	})();
	const byOurs = await (async () => {
		await using bed = await Bed.make();
		mkdirSync(join(bed.directory, 'root'));
		writeFileSync(join(bed.directory, 'router.json'), JSON.stringify(UNDER_TEST));
		bed.spawn(bed.router, process.execPath, [MAIN, 'bgpd', '--config', join(bed.directory, 'router.json')], {
			CALICO_HOST_ROOT: join(bed.directory, 'root'),
		});
		return await settled(bed);
	})();
	assert.deepEqual(byOurs, byBird);
	assert.ok(byBird.learned.includes('10.65.1.0/26 as_path=64512 community=(64512,1)'), byBird.learned.join('\n'));
	assert.ok(
		!byBird.learned.some((route) => /^(?:10\.66|10\.65\.3\.7|10\.70|10\.65\.1\.5|192\.0\.2)/.test(route)),
		byBird.learned.join('\n'),
	);
	assert.ok(byBird.kernel.includes('blackhole 10.65.1.0/26 metric 1024'), byBird.kernel.join('\n'));
	assert.ok(!byBird.kernel.some((route) => /10\.68\.|203\.0\.113|10\.96\./.test(route)), byBird.kernel.join('\n'));
});
