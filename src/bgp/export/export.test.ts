import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, cidr, type Ip, ip } from '#net';
import { AttributeTable } from '../attributes/attribute-set.ts';
import { AttributeRewriter } from '../attributes/rewrite.ts';
import { NextHopTable } from '../rib/next-hop.ts';
import { PrefixIndex } from '../rib/prefix-index.ts';
import type { PeerConfig, RouteFilter } from '../router-config.ts';
import { ACCEPT_ALL, peerConfig, routerConfig } from '../testing/config.ts';
import { SimulatedNetwork, type SimulatedRouter } from '../testing/simulation.ts';
import { MessageReader } from '../wire/framing.ts';
import { Member } from './member.ts';
import { UpdateBatch } from './update-batch.ts';
import { wireAttributes } from './wire-attributes.ts';

const HUB = '10.0.0.1';
/** Two internal peers, a route reflector client and two external peers. */
const SPOKES = [
	{ address: '10.0.0.2', asNumber: 64512, client: false },
	{ address: '10.0.0.3', asNumber: 64512, client: false },
	{ address: '10.0.0.4', asNumber: 64512, client: true },
	{ address: '10.0.0.5', asNumber: 65005, client: false },
	{ address: '10.0.0.6', asNumber: 65006, client: false },
];
const BLOCKS = Array.from({ length: 6 }, (_, number) => cidr(`10.65.${number}.0/26`));
const FILTERS: readonly RouteFilter[] = [
	ACCEPT_ALL,
	{ rules: [{ match: { within: cidr('10.65.1.0/24') }, action: 'reject' }], otherwise: 'accept' },
	{ rules: [{ match: { source: 'bgp' }, action: 'accept' }], otherwise: 'reject' },
];

interface Step {
	readonly kind: 'originate' | 'filter' | 'kill' | 'revive' | 'block' | 'unblock' | 'run';
	readonly who: number;
	readonly what: number;
}

/** What the hub owes a spoke, straight from the rules: its best routes, unless learned from the spoke, or internal to internal. */
function owed(hub: SimulatedRouter, spoke: (typeof SPOKES)[number], filter: number): Set<Cidr> {
	const { 4: rib } = hub.speaker.ribs;
	const result = new Set<Cidr>();
	for (const prefix of BLOCKS) {
		const best = rib.best(rib.index.findCidr(prefix));
		if (best < 0) continue;
		const source = rib.sourceOf(best);
		if (source.peer?.address === spoke.address) continue;
		const bothInternal = source.peer?.external === false && spoke.asNumber === 64512;
		if (bothInternal && source.peer?.clusterId === undefined && !spoke.client) continue;
		if (filter === 1 && prefix === BLOCKS[1]) continue;
		if (filter === 2 && source.kind !== 'bgp') continue;
		result.add(prefix);
	}
	return result;
}

/** What a spoke has from the hub. */
function held(spoke: SimulatedRouter): Set<Cidr> {
	const { 4: rib } = spoke.speaker.ribs;
	const has = (prefix: Cidr): boolean =>
		rib.paths(Math.max(0, rib.index.findCidr(prefix))).some(({ source }) => source.peer?.address === HUB);
	return new Set(BLOCKS.filter((prefix) => rib.index.findCidr(prefix) >= 0 && has(prefix)));
}

test('whatever happens, every peer ends up with exactly what it is owed', () => {
	const step: fc.Arbitrary<Step> = fc.record({
		kind: fc.constantFrom('originate', 'originate', 'originate', 'filter', 'kill', 'revive', 'block', 'unblock', 'run'),
		who: fc.nat(SPOKES.length),
		what: fc.nat(63),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
			const network = new SimulatedNetwork();
			const hub = network.add(HUB);
			const filters = SPOKES.map(() => 0);
			const originated = new Map<Ip, number>([HUB, ...SPOKES.map(({ address }) => address)].map((address) => [ip(address), 0]));
			const alive = new Map<Ip, SimulatedRouter>([[ip(HUB), hub]]);
			const originate = (address: Ip) =>
				BLOCKS.filter((_, bit) => ((originated.get(address) ?? 0) >> bit) & 1).map((prefix) => ({ prefix, kind: 'block' as const }));
			const configureHub = (): void =>
				hub.speaker.applyConfig(
					routerConfig(HUB, 64512, {
						originate: originate(ip(HUB)),
						peers: SPOKES.map(({ address, asNumber, client }, index): PeerConfig => {
							const config = peerConfig(address, asNumber, client ? { routeReflectorClusterId: ip('1.1.1.1') } : {});
							const exportFilter = FILTERS[filters[index] ?? 0] ?? ACCEPT_ALL;
							return { ...config, families: config.families.map((entry) => ({ ...entry, exportFilter })) };
						}),
					}),
				);
			const configureSpoke = (index: number): void => {
				const spoke = SPOKES[index];
				const address = ip(spoke?.address ?? HUB);
				alive.get(address)?.speaker.applyConfig(
					routerConfig(address, spoke?.asNumber ?? 0, {
						originate: originate(address),
						peers: [peerConfig(HUB, 64512, { passive: false })],
					}),
				);
			};
			const revive = (index: number): void => {
				const address = ip(SPOKES[index]?.address ?? HUB);
				if (alive.has(address)) return;
				alive.set(address, network.add(address));
				configureSpoke(index);
			};
			configureHub();
			for (const index of SPOKES.keys()) revive(index);
			network.run(6000);
			for (const { kind, who, what } of steps) {
				const index = who % SPOKES.length;
				const spoke = alive.get(ip(SPOKES[index]?.address ?? HUB));
				if (kind === 'originate') {
					const isHub = who === SPOKES.length;
					originated.set(ip(isHub ? HUB : (SPOKES[index]?.address ?? HUB)), what);
					if (isHub) configureHub();
					else configureSpoke(index);
				} else if (kind === 'filter') {
					filters[index] = what % FILTERS.length;
					configureHub();
				} else if (kind === 'kill' && spoke !== undefined) {
					network.kill(spoke);
					alive.delete(spoke.address);
				} else if (kind === 'revive') revive(index);
				else if (kind === 'block' || kind === 'unblock') {
					for (const transport of [...hub.transports].filter((_, position) => position % SPOKES.length === index))
						transport.queuedBytes = kind === 'block' ? 1 << 24 : 0;
				} else if (kind === 'run') network.run(what * 20);
				network.settle();
			}
			for (const transport of hub.transports) transport.queuedBytes = 0;
			for (const index of SPOKES.keys()) revive(index);
			hub.needsWork = true;
			network.run(500_000);
			for (const [index, spoke] of SPOKES.entries()) {
				const router = alive.get(ip(spoke.address)) as SimulatedRouter;
				assert.deepEqual(held(router), owed(hub, spoke, filters[index] ?? 0), spoke.address);
				const status = hub.speaker.status()?.peers[index];
				assert.equal(status?.state, 'Established');
				assert.equal(status?.advertised[4], owed(hub, spoke, filters[index] ?? 0).size, `count to ${spoke.address}`);
			}
		}),
		{ numRuns: 60 },
	);
});

test('peers with equal settings share the very same bytes', () => {
	const network = new SimulatedNetwork();
	const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
	const routers = addresses.map((address) => network.add(address));
	for (const router of routers)
		router.speaker.applyConfig(
			routerConfig(router.address, 64512, {
				peers: addresses.filter((address) => address !== router.address).map((address) => peerConfig(address, 64512)),
			}),
		);
	network.run(3000);
	const [first] = routers as [SimulatedRouter];
	const buffers = new Set<ArrayBufferLike>();
	let count = 0;
	for (const transport of first.transports)
		transport.onSend = (bytes) => {
			count++;
			buffers.add(bytes.buffer);
		};
	first.speaker.addLocalRoute({ prefix: cidr('10.65.0.0/26'), kind: 'static' });
	network.settle();
	assert.equal(count, 3);
	assert.equal(buffers.size, 1);
});

interface Packed {
	readonly prefixes: Cidr[];
	readonly messages: number;
}

test('packed messages hold every prefix once, none is longer than 4096, and each goes to all but one', () => {
	for (const family of [4, 6] as const) {
		const attributes = new AttributeTable(new NextHopTable(() => undefined));
		const rewriter = new AttributeRewriter(attributes);
		const index = new PrefixIndex(family);
		const batch = new UpdateBatch(index, attributes, 4096);
		const nextHop = family === 4 ? '\x0a\x00\x00\x01' : '\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01';
		const sets = [1, 2, 300].map((length) => {
			const set = rewriter.rewrite(rewriter.own(), { nextHop, prepend: Array.from({ length }, (_, n) => n + 1) });
			if (set === undefined) throw new Error('too long');
			attributes.retain(set);
			return set.id;
		});
		const expected = new Map<number, Cidr[]>();
		for (let number = 0; number < 4000; number++) {
			const prefix = cidr(
				family === 4 ? `10.${number >> 8}.${number & 255}.0/${24 + (number % 9)}` : `fd00:${number.toString(16)}::/${32 + (number % 97)}`,
			);
			const except = number % 3;
			batch.add(index.internCidr(prefix), [0, ...sets][number % 4] ?? 0, except);
			expected.set(except, [...(expected.get(except) ?? []), prefix]);
		}
		const found = new Map<number, Packed>();
		for (const { bytes, except } of batch.build(true)) {
			const packed = found.get(except) ?? { prefixes: [], messages: 0 };
			const reader = new MessageReader();
			const problem = reader.read(bytes, (_type, message, start, end) => {
				packed.prefixes.push(...prefixesOf(family, message, start, end));
				return true;
			});
			assert.equal(problem, undefined);
			found.set(except, packed);
		}
		for (const [except, prefixes] of expected) assert.deepEqual(new Set(found.get(except)?.prefixes), new Set(prefixes));
		assert.equal([...found.values()].flatMap(({ prefixes }) => prefixes).length, 4000);
		assert.deepEqual(batch.build(true), []);
	}
});

/** Every prefix in an UPDATE body, withdrawn or announced. */
function prefixesOf(family: 4 | 6, bytes: Uint8Array, start: number, end: number): Cidr[] {
	const index = new PrefixIndex(family);
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const list = (from: number, to: number): Cidr[] => {
		const prefixes: Cidr[] = [];
		for (let offset = from; offset < to; ) {
			const length = bytes[offset] ?? 0;
			prefixes.push(index.cidrOf(index.intern(bytes, offset + 1, length)));
			offset += 1 + Math.ceil(length / 8);
		}
		return prefixes;
	};
	const withdrawnEnd = start + 2 + view.getUint16(start);
	const attributesEnd = withdrawnEnd + 2 + view.getUint16(withdrawnEnd);
	if (family === 4) return [...list(start + 2, withdrawnEnd), ...list(attributesEnd, end)];
	const attribute = withdrawnEnd + 2;
	const type = bytes[attribute + 1];
	const valueEnd = attribute + 4 + view.getUint16(attribute + 2);
	return list(type === 14 ? attribute + 4 + 4 + 16 + 1 : attribute + 7, valueEnd);
}

test('a member that missed prefixes gets each marked one once', () => {
	fc.assert(
		fc.property(fc.array(fc.nat(500), { maxLength: 300 }), fc.integer({ min: 32, max: 100 }), (prefixes, size) => {
			const member = new Member(1, { writable: true, send: () => undefined }, false);
			for (const prefix of prefixes) member.mark(prefix);
			assert.equal(member.inSync, prefixes.length === 0);
			const taken: number[] = [];
			const scratch = new Int32Array(size);
			while (!member.inSync) taken.push(...scratch.subarray(0, member.take(scratch)));
			assert.deepEqual(
				[...taken].sort((a, b) => a - b),
				[...new Set(prefixes)].sort((a, b) => a - b),
			);
		}),
	);
});

test('a speaker of two-octet AS numbers gets AS_TRANS and the true path beside it', () => {
	const attributes = new AttributeTable(new NextHopTable(() => undefined));
	const rewriter = new AttributeRewriter(attributes);
	const set = rewriter.rewrite(rewriter.own(), { nextHop: '\x0a\x00\x00\x01', prepend: [65001, 70000] });
	assert.ok(set !== undefined);
	const narrow = Buffer.from(wireAttributes(set, false)).toString('hex');
	assert.equal(narrow, ['40010100', '40020602' + '02fde95ba0', '4003040a000001', 'c0110a02' + '020000fde900011170'].join(''));
	assert.equal(Buffer.from(wireAttributes(set, true)).toString('latin1'), set.key);
});
