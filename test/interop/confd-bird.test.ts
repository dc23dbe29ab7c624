import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { FilterRule, PeerConfig, RouterConfig } from '#bgp';
import { BirdSink, renderBird } from '#confd';
import { cidr, cidrOf, formatIp, ip } from '#net';

const NONE = new AbortController().signal;
const accept = { rules: [], otherwise: 'accept' } as const;

class Router {
	readonly namespace: string;
	readonly directory = mkdtempSync(join(tmpdir(), 'tt-bird-'));
	readonly sink: BirdSink;
	#daemon: ReturnType<typeof spawn> | undefined;

	constructor(name: string) {
		this.namespace = `tt-${process.pid}-${name}`;
		execFileSync('ip', ['netns', 'add', this.namespace]);
		this.ip('link', 'set', 'lo', 'up');
		this.sink = new BirdSink({ configFile: this.configFile, controlSocket: this.socket, program: 'bird' });
	}

	get configFile(): string {
		return join(this.directory, 'bird.cfg');
	}

	get socket(): string {
		return join(this.directory, 'bird.ctl');
	}

	ip(...args: string[]): string {
		return execFileSync('ip', ['-n', this.namespace, ...args], { encoding: 'utf8' });
	}

	start(): void {
		this.#daemon = spawn('ip', ['netns', 'exec', this.namespace, 'bird', '-f', '-R', '-c', this.configFile, '-s', this.socket], {
			stdio: 'ignore',
		});
	}

	async stop(): Promise<void> {
		const daemon = this.#daemon;
		if (daemon !== undefined && daemon.exitCode === null) {
			daemon.kill('SIGKILL');
			await new Promise((resolve) => daemon.once('exit', resolve));
		}
		execFileSync('ip', ['netns', 'del', this.namespace]);
		rmSync(this.directory, { recursive: true });
	}

	async session(name: string): Promise<{ readonly state: string; readonly sinceMs: number; readonly received: number } | undefined> {
		const status = await this.sink.status(NONE);
		const peer = status?.peers.find((candidate) => candidate.name === name);
		return peer && { state: peer.state, sinceMs: peer.sinceMs, received: peer.received[4] + peer.received[6] };
	}
}

async function eventually(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
	const deadline = Date.now() + 30_000;
	while (!(await check())) {
		if (Date.now() > deadline) assert.fail(`not within 30 s: ${what}`);
		await sleep(100);
	}
}

function peer(name: string, address: string, source: string, passive: boolean): PeerConfig {
	const family = address.includes(':') ? 6 : 4;
	return {
		name,
		address: ip(address),
		port: 179,
		asNumber: 64512,
		localAsNumber: undefined,
		sourceAddress: ip(source),
		passive,
		password: 'a key of the session',
		holdTimeSeconds: 240,
		restartTimeSeconds: 120,
		ttlSecurityHops: undefined,
		routeReflectorClusterId: undefined,
		allowedLocalAs: 0,
		nextHop: 'auto',
		families: [{ family, importFilter: accept, exportFilter: accept }],
	};
}

function router(number: number, peers: readonly PeerConfig[]): RouterConfig {
	return {
		routerId: ip(`10.9.0.${number}`),
		asNumber: 64512,
		listen: { port: 179, addresses: undefined },
		peers,
		originate: [
			{ prefix: cidr(`10.65.${number}.0/26`), kind: 'block' },
			{ prefix: cidr(`fd65:0:0:${number}::/122`), kind: 'block' },
			{ prefix: cidr(`10.96.${number}.0/24`), kind: 'service' },
		],
		staticRoutes: [],
		kernel: { table: 254, metric: { 4: 1024, 6: 1024 }, filter: accept, recoverySeconds: 30 },
		ignoredInterfaces: ['cali*'],
	};
}

const routers: Router[] = [];
after(async () => {
	for (const one of routers) await one.stop();
});

test('BIRD carries routes of both families by the router model, and a new peer disturbs no session', { timeout: 120_000 }, async () => {
	const first = new Router('a');
	const second = new Router('b');
	routers.push(first, second);
	const link = `tt${process.pid}`;
	first.ip('link', 'add', link, 'type', 'veth', 'peer', 'name', link, 'netns', second.namespace);
	for (const [index, one] of routers.entries()) {
		one.ip('addr', 'add', `10.9.0.${index + 1}/24`, 'dev', link);
		one.ip('addr', 'add', `fd09::${index + 1}/64`, 'dev', link, 'nodad');
		one.ip('link', 'set', link, 'up');
	}
	const toSecond = [peer('Mesh_10_9_0_2', '10.9.0.2', '10.9.0.1', true), peer('Mesh_fd09__2', 'fd09::2', 'fd09::1', true)];
	const toFirst = [peer('Mesh_10_9_0_1', '10.9.0.1', '10.9.0.2', false), peer('Mesh_fd09__1', 'fd09::1', 'fd09::2', false)];
	await first.sink.apply(router(1, toSecond), NONE);
	await second.sink.apply(router(2, toFirst), NONE);
	for (const one of routers) one.start();

	await eventually('both sessions are established', async () => {
		const sessions = await Promise.all(toSecond.map(({ name }) => first.session(name)));
		return sessions.every((session) => session?.state === 'Established' && session.received > 0);
	});
	await eventually('the second router’s blocks are in the first one’s kernel', () => {
		const routes = first.ip('route', 'show') + first.ip('-6', 'route', 'show');
		return routes.includes('10.65.2.0/26 via 10.9.0.2') && routes.includes('fd65:0:0:2::/122 via fd09::2');
	});
	const kernel = first.ip('route', 'show');
	assert.match(kernel, /blackhole 10\.65\.1\.0\/26 proto bird metric 1024/);
	assert.doesNotMatch(kernel, /blackhole 10\.96\./, 'service ranges are announced and not black-holed');
	assert.match(kernel, /10\.96\.2\.0\/24 via 10\.9\.0\.2/);

	const before = await first.session('Mesh_10_9_0_2');
	assert.ok(Math.abs(Date.now() - (before?.sinceMs ?? 0)) < 60_000, 'the time of the last change of state is read');
	await first.sink.apply(router(1, [...toSecond, peer('Mesh_10_9_0_3', '10.9.0.3', '10.9.0.1', true)]), NONE);
	await eventually('the third peer is configured', async () => (await first.session('Mesh_10_9_0_3')) !== undefined);
	assert.deepEqual(await first.session('Mesh_10_9_0_2'), before);
	assert.equal(statSync(first.configFile).mode & 0o777, 0o600);

	const good = readFileSync(first.configFile, 'utf8');
	const bad: RouterConfig = {
		...router(1, toSecond),
		peers: [{ ...peer('Mesh_10_9_0_2', '10.9.0.2', '10.9.0.1', true), name: 'no symbol' }],
	};
	await assert.rejects(first.sink.apply(bad, NONE), { code: 'CONFD_BIRD_REFUSED' });
	assert.equal(readFileSync(first.configFile, 'utf8'), good, 'a refused configuration leaves the file alone');
	assert.deepEqual(await first.session('Mesh_10_9_0_2'), before);
});

const anyCidr = fc
	.tuple(fc.constantFrom(4, 16), fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(128))
	.map(([size, bytes, length]) => cidrOf(formatIp(bytes.subarray(0, size)), length % (size * 8 + 1)));
const anyAs = fc.integer({ min: 1, max: 4_294_967_295 });
const anyRule: fc.Arbitrary<FilterRule> = fc.record(
	{
		match: fc.record(
			{
				within: anyCidr,
				equals: anyCidr,
				notWithin: anyCidr,
				minLength: fc.integer({ min: 0, max: 32 }),
				maxLength: fc.integer({ min: 0, max: 32 }),
				source: fc.constantFrom('bgp', 'originated', 'kernel', 'direct', 'static'),
				interface: fc.constantFrom('cali*', '*.cali', 'eth0'),
			},
			{ requiredKeys: [] },
		),
		set: fc.record(
			{
				localPreference: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
				addCommunities: fc.subarray(['64512:100', '64512:1:2', '4200000000:1:65536']),
				prependAsPath: fc.array(anyAs, { maxLength: 3 }),
			},
			{ requiredKeys: [] },
		),
		action: fc.constantFrom('accept', 'reject'),
	},
	{ requiredKeys: ['match'] },
);
const anyFilter = fc.record({
	rules: fc.array(anyRule, { maxLength: 5 }),
	otherwise: fc.constantFrom('accept' as const, 'reject' as const),
});

/** A session with anything that the model allows. */
const anyPeer: fc.Arbitrary<PeerConfig> = fc
	.record({
		number: fc.integer({ min: 2, max: 250 }),
		family: fc.constantFrom(4 as const, 6 as const),
		ibgp: fc.boolean(),
		asNumber: anyAs,
		localAsNumber: fc.option(anyAs, { nil: undefined }),
		port: fc.integer({ min: 1, max: 65_535 }),
		passive: fc.boolean(),
		hasSource: fc.boolean(),
		password: fc.option(fc.string({ minLength: 1, maxLength: 60 }), { nil: undefined }),
		holdTimeSeconds: fc.integer({ min: 3, max: 65_535 }),
		restartTimeSeconds: fc.integer({ min: 0, max: 4095 }),
		ttlSecurityHops: fc.option(fc.integer({ min: 1, max: 255 }), { nil: undefined }),
		isClient: fc.boolean(),
		allowedLocalAs: fc.integer({ min: 0, max: 10 }),
		nextHop: fc.constantFrom('auto' as const, 'self' as const, 'keep' as const),
		importFilter: anyFilter,
		exportFilter: anyFilter,
	})
	.map(({ number, family, ibgp, isClient, hasSource, importFilter, exportFilter, ...rest }) => {
		const own = family === 4 ? '10.9.0.1' : 'fd09::1';
		const address = family === 4 ? `10.9.0.${number}` : `fd09::${number.toString(16)}`;
		const asNumber = ibgp ? (rest.localAsNumber ?? 64512) : rest.asNumber;
		return {
			...rest,
			name: `Node_${address.replaceAll(/[.:]/g, '_')}`,
			address: ip(address),
			asNumber,
			sourceAddress: hasSource ? ip(own) : undefined,
			routeReflectorClusterId: isClient && asNumber === (rest.localAsNumber ?? 64512) ? ip('224.0.0.1') : undefined,
			families: [{ family, importFilter, exportFilter }],
		};
	});

test('BIRD accepts whatever the renderer writes', { timeout: 120_000 }, () => {
	const directory = mkdtempSync(join(tmpdir(), 'tt-bird-'));
	const file = join(directory, 'bird.cfg');
	const anyRouter = fc.record({
		peers: fc.uniqueArray(anyPeer, { maxLength: 5, selector: ({ name }) => name }),
		bound: fc.boolean(),
		kernelFilter: anyFilter,
		prefixes: fc.uniqueArray(anyCidr, { maxLength: 4 }),
	});
	try {
		fc.assert(
			fc.property(anyRouter, ({ peers, bound, kernelFilter, prefixes }) => {
				const base = router(1, peers);
				const { text } = renderBird({
					...base,
					listen: { port: 1790, addresses: bound ? [ip('10.9.0.1'), ip('fd09::1')] : undefined },
					originate: prefixes.map((prefix, index) => ({ prefix, kind: index % 2 === 0 ? 'block' : 'service' })),
					staticRoutes: [{ prefix: cidr('10.9.9.9/32'), gateway: ip('10.9.0.254') }],
					kernel: { ...base.kernel, table: 100, filter: kernelFilter },
				});
				writeFileSync(file, text);
				execFileSync('bird', ['-p', '-c', file], { encoding: 'utf8', stdio: 'pipe' });
			}),
			{ numRuns: 60 },
		);
	} finally {
		rmSync(directory, { recursive: true });
	}
});

test('a key that BIRD cannot spell takes its session out of the file and nothing else', () => {
	const { text, problems } = renderBird(router(1, [{ ...peer('Mesh_10_9_0_2', '10.9.0.2', '10.9.0.1', false), password: 'a"b' }]));
	assert.equal(problems.length, 1);
	assert.doesNotMatch(text, /protocol bgp|a"b/);
	assert.match(text, /protocol kernel kernel4/);
});
