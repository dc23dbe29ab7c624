import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PeerTransport, type RouterConfig, Speaker } from '#bgp';
import type { NextHop, Route, RtOperation, RtOperationFailure } from '#kernel';
import { type Cidr, cidr, cidrFamily, type Ip, ip } from '#net';
import { Fib, type RouteWriter } from './fib.ts';

const BIRD = 12;

function route(destination: string, more: Partial<Route> & { readonly via?: string } = {}): Route {
	const { via, ...rest } = more;
	const nextHops: NextHop[] = via === undefined ? [] : [{ gateway: ip(via), interfaceIndex: 2 }];
	const type = via === undefined ? 'blackhole' : 'unicast';
	return { destination: cidr(destination), table: 254, protocol: BIRD, metric: 0, type, scope: 'universe', nextHops, ...rest };
}

function text({ destination, type, metric, protocol, nextHops }: Route): string {
	const hops = nextHops.map(({ gateway, interfaceIndex }) => `${gateway}%${interfaceIndex}`).sort();
	return [destination, type, ...hops, `metric ${metric}`, `proto ${protocol}`].join(' ');
}

/** The kernel's table as the real one behaves: one route per destination and metric. */
class FakeKernel implements RouteWriter {
	readonly routes: Route[] = [];
	readonly operations: string[] = [];
	/** Error name for routes to these destinations. */
	readonly refuse = new Map<Cidr, string>();

	applyNow(operations: readonly RtOperation[]): readonly RtOperationFailure[] {
		const failures: RtOperationFailure[] = [];
		for (const [index, operation] of operations.entries()) {
			if (!('route' in operation)) throw new Error('only routes');
			const errno = this.#apply(operation.op, operation.route);
			this.operations.push(`${operation.op} ${text(operation.route)}${errno === undefined ? '' : ` ${errno}`}`);
			if (errno !== undefined) failures.push({ index, errno, message: undefined });
		}
		return failures;
	}

	listRoutes({ family, protocol }: { readonly family: number; readonly protocol: number }): readonly Route[] {
		return this.routes.filter((entry) => cidrFamily(entry.destination) === family && entry.protocol === protocol);
	}

	show(): string[] {
		return this.routes.map(text).sort();
	}

	#apply(op: RtOperation['op'], wanted: Route): string | undefined {
		const refused = this.refuse.get(wanted.destination);
		if (refused !== undefined) return refused;
		const at = this.routes.findIndex(({ destination, metric }) => destination === wanted.destination && metric === wanted.metric);
		if (op === 'delete') {
			if (at < 0 || this.routes[at]?.protocol !== wanted.protocol) return 'ESRCH';
			this.routes.splice(at, 1);
		} else if (at < 0) this.routes.push(wanted);
		else if (op === 'add') return 'EEXIST';
		else this.routes[at] = wanted;
		return undefined;
	}
}

function message(type: number, body: readonly number[]): Uint8Array {
	const length = body.length + 19;
	return Uint8Array.from([...Array<number>(16).fill(0xff), length >> 8, length & 0xff, type, ...body]);
}

const OTHERWISE: RouterConfig = {
	routerId: ip('10.0.0.1'),
	asNumber: 65000,
	listen: { port: 179, addresses: undefined },
	peers: [],
	originate: [],
	staticRoutes: [],
	kernel: { table: 254, metric: { 4: 0, 6: 1024 }, filter: { rules: [], otherwise: 'accept' }, recoverySeconds: 10 },
	ignoredInterfaces: [],
};

const PEERS = [2, 3].map((number) => ({
	name: `p${number}`,
	address: ip(`10.0.0.${number}`),
	port: 179,
	asNumber: 65000 + number,
	localAsNumber: undefined,
	sourceAddress: undefined,
	passive: true,
	password: undefined,
	holdTimeSeconds: 0,
	restartTimeSeconds: 120,
	ttlSecurityHops: undefined,
	routeReflectorClusterId: undefined,
	allowedLocalAs: 0,
	nextHop: 'auto' as const,
	families: [
		{
			family: 4 as const,
			importFilter: { rules: [], otherwise: 'accept' as const },
			exportFilter: { rules: [], otherwise: 'accept' as const },
		},
	],
}));

/** A speaker with two established peers whose routes go to a fake kernel. */
class Scene {
	readonly kernel = new FakeKernel();
	readonly down = new Set<Ip>();
	readonly speaker: Speaker;
	readonly fib: Fib;
	nowMs = 0;
	config: RouterConfig = { ...OTHERWISE, peers: PEERS };
	readonly logs: string[] = [];
	readonly #transports = new Map<string, PeerTransport>();

	constructor(leftovers: readonly Route[] = []) {
		this.kernel.routes.push(...leftovers);
		this.speaker = new Speaker(
			{
				now: () => this.nowMs,
				wallClock: () => 0,
				random: () => 0,
				connect: () => undefined,
				cancelConnect: () => undefined,
				resolveNextHop: (gateway) => (this.down.has(gateway) ? undefined : { interfaceIndex: 2, gateway, metric: 0 }),
				addressBeside: () => undefined,
				wake: () => undefined,
				onEvent: () => undefined,
			},
			{ restarting: leftovers.length > 0, keepsForwarding: true },
		);
		const log = { info: () => undefined, warn: (_: unknown, words: string) => void this.logs.push(words), error: () => undefined };
		const recovering = (): boolean => this.speaker.recovering;
		this.fib = new Fib({ ribs: this.speaker.ribs, writer: this.kernel, log, recovering, wake: () => undefined }, this.config);
		this.fib.adopt(this.kernel.routes.filter(({ protocol }) => protocol === BIRD));
		this.speaker.follow(this.fib);
		this.apply({});
		for (const peer of PEERS) {
			const transport: PeerTransport = {
				localAddress: ip('10.0.0.1'),
				queuedBytes: 0,
				send: () => undefined,
				end: () => undefined,
				abort: () => undefined,
			};
			this.#transports.set(peer.name, transport);
			const as = [peer.asNumber >> 8, peer.asNumber & 0xff];
			const capabilities = [1, 4, 0, 1, 0, 1, 65, 4, 0, 0, ...as, 64, 6, 0, 120, 0, 1, 1, 0x80];
			this.speaker.accepted(peer.name, transport);
			this.feed(
				peer.name,
				message(1, [4, ...as, 0, 0, 10, 0, 0, as[1] ?? 0, capabilities.length + 2, 2, capabilities.length, ...capabilities]),
			);
			this.feed(peer.name, message(4, []));
		}
		this.settle();
	}

	apply(change: Partial<RouterConfig>): void {
		this.config = { ...this.config, ...change };
		this.fib.configure(this.config);
		this.speaker.applyConfig(this.config);
		this.settle();
	}

	feed(peer: string, bytes: Uint8Array): void {
		this.speaker.received(peer, this.#transports.get(peer) as PeerTransport, bytes);
	}

	announce(peer: string, prefix: string, pathLength = 1): void {
		const number = peer === 'p2' ? 2 : 3;
		const path = [2, pathLength, ...Array.from({ length: pathLength }, () => [0, 0, 0xfd, 0xe8 + number]).flat()];
		const attributes = [0x40, 1, 1, 0, 0x40, 2, path.length, ...path, 0x40, 3, 4, 10, 0, 0, number];
		this.feed(peer, message(2, [0, 0, 0, attributes.length, ...attributes, ...nlri(prefix)]));
		this.settle();
	}

	withdraw(peer: string, prefix: string): void {
		const bytes = nlri(prefix);
		this.feed(peer, message(2, [0, bytes.length, ...bytes, 0, 0]));
		this.settle();
	}

	endOfRib(): void {
		for (const { name } of PEERS) this.feed(name, message(2, [0, 0, 0, 0]));
		this.settle();
	}

	settle(): void {
		for (let more = true; more; ) {
			const working = this.speaker.work();
			more = this.fib.write() || working || this.speaker.ribs[4].hasDirty;
		}
	}
}

function nlri(prefix: string): number[] {
	const [address = '', length = ''] = prefix.split('/');
	return [
		Number(length),
		...address
			.split('.')
			.map(Number)
			.slice(0, Math.ceil(Number(length) / 8)),
	];
}

test('best routes are written with their next hops, shared ones as multipath, and go when withdrawn', () => {
	const scene = new Scene();
	scene.announce('p2', '192.0.2.0/24');
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.2%2 metric 0 proto 12']);
	scene.announce('p3', '192.0.2.0/24');
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.2%2 10.0.0.3%2 metric 0 proto 12']);
	scene.announce('p2', '192.0.2.0/24', 2);
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.3%2 metric 0 proto 12']);
	scene.withdraw('p3', '192.0.2.0/24');
	scene.withdraw('p2', '192.0.2.0/24');
	assert.deepEqual(scene.kernel.show(), []);
	assert.deepEqual(
		scene.kernel.operations.map((operation) => operation.split(' ')[0]),
		['add', 'replace', 'replace', 'replace', 'delete'],
	);
	assert.equal(scene.speaker.ribs[4].index.size, 0);
});

test('blocks are black holes, services and single addresses are not written', () => {
	const scene = new Scene();
	const originate = [
		{ prefix: cidr('10.65.0.0/26'), kind: 'block' as const },
		{ prefix: cidr('10.96.0.0/12'), kind: 'service' as const },
		{ prefix: cidr('10.65.9.9/32'), kind: 'block' as const },
		{ prefix: cidr('fd65::/122'), kind: 'block' as const },
		{ prefix: cidr('fd65::9/128'), kind: 'block' as const },
	];
	scene.apply({ originate });
	assert.deepEqual(scene.kernel.show(), ['10.65.0.0/26 blackhole metric 0 proto 12', 'fd65::/122 blackhole metric 1024 proto 12']);
	scene.apply({ originate: originate.map((entry) => ({ ...entry, kind: 'service' })) });
	assert.deepEqual(scene.kernel.show(), []);
});

test('the kernel filter and metric decide, also when they change', () => {
	const scene = new Scene();
	scene.announce('p2', '192.0.2.0/24');
	scene.announce('p2', '10.96.0.0/16');
	const filter = { rules: [{ match: { within: cidr('10.96.0.0/12') }, action: 'reject' as const }], otherwise: 'accept' as const };
	scene.apply({ kernel: { ...scene.config.kernel, filter } });
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.2%2 metric 0 proto 12']);
	scene.kernel.operations.length = 0;
	scene.apply({ kernel: { ...scene.config.kernel, metric: { 4: 77, 6: 1024 } } });
	assert.deepEqual(scene.kernel.operations, [
		'add 192.0.2.0/24 unicast 10.0.0.2%2 metric 77 proto 12',
		'delete 192.0.2.0/24 unicast 10.0.0.2%2 metric 0 proto 12',
	]);
});

test('a route of another owner is left alone, and its place is taken when it goes', () => {
	const foreign = route('192.0.2.0/24', { via: '10.0.0.99', protocol: 4 });
	const scene = new Scene();
	scene.kernel.routes.push(foreign);
	scene.announce('p2', '192.0.2.0/24');
	scene.announce('p2', '192.0.2.0/24', 3);
	scene.fib.audit(false);
	scene.settle();
	assert.deepEqual(scene.kernel.show(), [text(foreign)]);
	assert.deepEqual(scene.logs, ['a route of another owner is in the way of ours']);
	scene.kernel.routes.length = 0;
	scene.fib.removedByOthers(foreign);
	scene.settle();
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.2%2 metric 0 proto 12']);
});

test('what was removed behind our back comes back, at once or with the audit; what is too much goes', () => {
	const scene = new Scene();
	scene.announce('p2', '192.0.2.0/24');
	scene.announce('p2', '192.0.3.0/24');
	const expected = scene.kernel.show();
	const [removed] = scene.kernel.routes.splice(0, 1);
	scene.fib.removedByOthers(removed as Route);
	scene.settle();
	assert.deepEqual(scene.kernel.show(), expected);
	scene.kernel.routes.splice(0, 1);
	scene.kernel.routes.push(route('198.51.100.0/24', { via: '10.0.0.7' }), route('192.0.2.0/24', { via: '10.0.0.7', metric: 9 }));
	scene.kernel.routes.push(route('198.51.100.0/25', { via: '10.0.0.7', protocol: 4 }));
	scene.fib.audit(false);
	scene.settle();
	assert.deepEqual(scene.kernel.show(), [...expected, '198.51.100.0/25 unicast 10.0.0.7%2 metric 0 proto 4'].sort());
});

test('a route that the kernel refuses is tried again with the audit', () => {
	const scene = new Scene();
	scene.kernel.refuse.set(cidr('192.0.2.0/24'), 'ENETUNREACH');
	scene.announce('p2', '192.0.2.0/24');
	assert.deepEqual(scene.kernel.show(), []);
	scene.kernel.refuse.clear();
	scene.fib.audit(false);
	scene.settle();
	assert.deepEqual(scene.kernel.show(), ['192.0.2.0/24 unicast 10.0.0.2%2 metric 0 proto 12']);
});

test('after a restart nothing that stays is written, what changed is replaced and what is gone removed, all after recovery', () => {
	const leftovers = [
		route('192.0.2.0/24', { via: '10.0.0.2' }),
		route('192.0.3.0/24', { via: '10.0.0.3' }),
		route('192.0.4.0/24', { via: '10.0.0.2' }),
		route('192.0.4.0/24', { via: '10.0.0.2', metric: 5 }),
		route('10.65.0.0/26'),
	];
	const scene = new Scene([...leftovers, route('198.51.100.0/24', { via: '10.0.0.99', protocol: 4 })]);
	scene.apply({ originate: [{ prefix: cidr('10.65.0.0/26'), kind: 'block' }] });
	scene.announce('p2', '192.0.2.0/24');
	scene.announce('p2', '192.0.3.0/24');
	scene.announce('p2', '192.0.5.0/24');
	assert.deepEqual(scene.kernel.operations, ['add 192.0.5.0/24 unicast 10.0.0.2%2 metric 0 proto 12']);
	scene.kernel.operations.length = 0;
	scene.endOfRib();
	assert.equal(scene.speaker.recovering, false);
	assert.deepEqual(
		scene.kernel.operations.toSorted(),
		[
			'delete 192.0.4.0/24 unicast 10.0.0.2%2 metric 0 proto 12',
			'delete 192.0.4.0/24 unicast 10.0.0.2%2 metric 5 proto 12',
			'replace 192.0.3.0/24 unicast 10.0.0.2%2 metric 0 proto 12',
		].toSorted(),
	);
});

test('whatever is announced, lost and tampered with, the kernel ends up with the best routes and keeps those of others', () => {
	const prefixes = ['192.0.2.0/24', '192.0.3.0/24', '192.0.4.0/24', '10.65.0.0/26'];
	const step = fc.record({
		kind: fc.constantFrom('announce', 'announce', 'withdraw', 'down', 'up', 'tamper', 'block', 'unblock'),
		peer: fc.constantFrom('p2', 'p3'),
		prefix: fc.constantFrom(...prefixes),
		length: fc.integer({ min: 1, max: 2 }),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 40 }), fc.subarray(prefixes), fc.subarray(prefixes), (steps, left, foreign) => {
			const others = foreign.map((prefix) => route(prefix, { via: '10.0.0.99', protocol: 4, metric: 3 }));
			const scene = new Scene([...left.map((prefix) => route(prefix, { via: '10.0.0.2' })), ...others]);
			if (steps.length % 2 === 0) scene.endOfRib();
			for (const { kind, peer, prefix, length } of steps) {
				const gateway = ip(peer === 'p2' ? '10.0.0.2' : '10.0.0.3');
				if (kind === 'announce') scene.announce(peer, prefix, length);
				else if (kind === 'withdraw') scene.withdraw(peer, prefix);
				else if (kind === 'block') scene.apply({ originate: [{ prefix: cidr('10.65.0.0/26'), kind: 'block' }] });
				else if (kind === 'unblock') scene.apply({ originate: [] });
				else if (kind === 'tamper') {
					const at = scene.kernel.routes.findIndex(({ protocol }) => protocol === BIRD);
					if (at >= 0) scene.kernel.routes.splice(at, 1);
				} else {
					if (kind === 'down') scene.down.add(gateway);
					else scene.down.delete(gateway);
					scene.speaker.nextHopsChanged();
					scene.settle();
				}
			}
			scene.endOfRib();
			scene.fib.audit(false);
			scene.settle();
			const { 4: rib } = scene.speaker.ribs;
			const expected: string[] = others.map(text);
			for (const prefix of prefixes) {
				const paths = rib.multipath(Math.max(0, rib.index.findCidr(cidr(prefix))));
				if (rib.index.findCidr(cidr(prefix)) < 0 || paths.length === 0) continue;
				const hops = paths.flatMap(({ attributes }) => attributes.nextHop?.address ?? []).sort();
				expected.push(
					hops.length === 0
						? `${prefix} blackhole metric 0 proto 12`
						: [prefix, 'unicast', ...hops.map((hop) => `${hop}%2`), 'metric 0 proto 12'].join(' '),
				);
			}
			assert.deepEqual(scene.kernel.show(), expected.sort());
		}),
		{ numRuns: 300 },
	);
});
