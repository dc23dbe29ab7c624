import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr, ip } from '#net';
import type { PeerTransport } from '../index.ts';
import { peerConfig, routerConfig } from '../testing/config.ts';
import { encodeKeepalive, frame } from '../wire/framing.ts';
import { encodeOpen } from '../wire/open.ts';
import { encodeRouteRefresh } from '../wire/route-refresh.ts';
import { Speaker } from './speaker.ts';

class Wire implements PeerTransport {
	readonly localAddress = ip('10.0.0.1');
	readonly queuedBytes = 0;
	open = true;
	send(): void {}
	end(): void {
		this.open = false;
	}
	abort(): void {
		this.open = false;
	}
}

interface Victim {
	readonly speaker: Speaker;
	wire: Wire;
	nowMs: number;
	/** Connects and reaches Established, with path identifiers in both families. */
	readonly connect: () => void;
	readonly settle: () => void;
}

function victim(): Victim {
	const name = 'Node_10_0_0_2';
	const speaker = new Speaker(
		{
			now: () => result.nowMs,
			wallClock: () => 0,
			random: () => 0.5,
			connect: () => undefined,
			cancelConnect: () => undefined,
			resolveNextHop: (gateway) => ({ interfaceIndex: 1, gateway, metric: 0 }),
			addressBeside: () => ip('fd00::1'),
			wake: () => undefined,
			onEvent: () => undefined,
		},
		{ restarting: false, keepsForwarding: true },
	);
	const result: Victim = {
		speaker,
		wire: new Wire(),
		nowMs: 0,
		connect: () => {
			result.nowMs += 100_000;
			speaker.tick();
			result.wire = new Wire();
			speaker.accepted(name, result.wire);
			const families = [4, 6] as const;
			speaker.received(
				name,
				result.wire,
				encodeOpen({
					type: 'open',
					asNumber: 65002,
					holdTimeSeconds: 90,
					routerId: 2,
					capabilities: {
						families,
						routeRefresh: true,
						enhancedRouteRefresh: true,
						as4: 65002,
						gracefulRestart: undefined,
						addPath: [{ family: 6, receive: true, send: true }],
						extendedNextHop: [],
					},
				}),
			);
			speaker.received(name, result.wire, encodeKeepalive());
		},
		settle: () => {
			while (speaker.work());
		},
	};
	speaker.applyConfig(
		routerConfig('10.0.0.1', 65001, {
			peers: [peerConfig('10.0.0.2', 65002, { passive: true }), peerConfig('10.0.0.3', 65003, { passive: true })],
			originate: [{ prefix: cidr('10.65.0.0/26'), kind: 'block' }],
		}),
	);
	result.connect();
	return result;
}

const ORIGIN = [0x40, 1, 1, 0];
const AS_PATH = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea];
const NEXT_HOP = [0x40, 3, 4, 10, 0, 0, 2];
const GOOD = [...ORIGIN, ...AS_PATH, ...NEXT_HOP];
const reach = (...nlri: readonly number[]) => [0x80, 14, 21 + nlri.length, 0, 2, 1, 16, 0xfd, ...Array<number>(14).fill(0), 2, 0, ...nlri];
const unreach = (...nlri: readonly number[]) => [0x80, 15, 3 + nlri.length, 0, 2, 1, ...nlri];
const update = (withdrawn: readonly number[], attributes: readonly number[], nlri: readonly number[]) => [
	withdrawn.length >> 8,
	withdrawn.length & 255,
	...withdrawn,
	attributes.length >> 8,
	attributes.length & 255,
	...attributes,
	...nlri,
];

test('messages that broke other routers neither break this one nor leave routes behind', () => {
	const table: readonly (readonly [name: string, body: readonly number[], keepsSession: boolean])[] = [
		['withdrawn length past the end', [0xff, 0xff, 0, 0], false],
		['withdrawn length that leaves one octet', [0, 1, 0, 0], false],
		['attribute length past the end', [0, 0, 0xff, 0xff], false],
		['attribute length that eats NLRI', [0, 0, 0, 60, ...GOOD, 24, 10, 1, 1], false],
		['NLRI with length 33', update([], GOOD, [33, 1, 2, 3, 4, 5]), false],
		['NLRI cut off', update([], GOOD, [32, 1, 2, 3]), false],
		['withdrawn prefix of 255 bits', update([255, 1], [], []), false],
		['IPv6 NLRI of 129 bits', update([], [...ORIGIN, ...AS_PATH, ...reach(0, 0, 0, 1, 129, ...Array<number>(17).fill(1))], []), false],
		['IPv6 NLRI without room for its path identifier', update([], [...ORIGIN, ...AS_PATH, ...reach(0, 0, 1)], []), false],
		['IPv6 withdrawal cut off', update([], unreach(0, 0, 0, 1, 64, 1, 2), []), false],
		['NLRI without any attribute', update([], [], [24, 10, 1, 1]), true],
		['NEXT_HOP of two octets', update([], [...ORIGIN, ...AS_PATH, 0x40, 3, 2, 10, 0], [24, 10, 1, 1]), true],
		['attribute 23 with content of any kind', update([], [...GOOD, 0xc0, 23, 3, 0, 9, 9], [24, 10, 1, 1]), true],
		['AS4_PATH before AS_PATH', update([], [...ORIGIN, 0xc0, 17, 6, 2, 1, 0, 0, 0, 1, ...AS_PATH, ...NEXT_HOP], [24, 10, 1, 1]), true],
		['extended community of odd size', update([], [...GOOD, 0xc0, 16, 3, 0, 2, 1], [24, 10, 1, 1]), true],
		['empty AS_PATH segment', update([], [...ORIGIN, 0x40, 2, 2, 2, 0, ...NEXT_HOP], [24, 10, 1, 1]), true],
		['flow specification', update([], [...GOOD, 0x80, 14, 9, 0, 1, 133, 0, 0, 3, 1, 24, 10], []), true],
		['End-of-RIB of an unknown family', update([], [0x80, 15, 3, 0, 25, 65], []), true],
		[
			'unreachable and reachable in one',
			update([24, 10, 1, 1], [...GOOD, ...reach(0, 0, 0, 1, 16, 0xfd, 1), ...unreach(0, 0, 0, 2, 16, 0xfd, 1)], []),
			true,
		],
	];
	for (const [name, body, keepsSession] of table) {
		const { speaker, wire, settle } = victim();
		speaker.received('Node_10_0_0_2', wire, frame(2, Uint8Array.from(body)));
		settle();
		assert.equal(wire.open, keepsSession, name);
		const expected = name.startsWith('attribute 23') || name.startsWith('AS4_PATH') ? 1 : 0;
		assert.equal(speaker.status()?.peers[0]?.received[4], expected, name);
	}
});

test('no bytes of an established peer make the router throw, hang or keep what a lost session brought', () => {
	const piece = fc.constantFrom<readonly number[]>(
		update([], GOOD, [24, 10, 1, 1, 25, 10, 1, 2, 0]),
		update([24, 10, 1, 1], [], []),
		update([], [...ORIGIN, ...AS_PATH, ...reach(0, 0, 0, 7, 32, 0xfd, 0, 0, 1)], []),
		update([], unreach(0, 0, 0, 7, 32, 0xfd, 0, 0, 1), []),
		update([], [...GOOD, 0xc0, 8, 4, 0xff, 0xff, 0xff, 1, 0x80, 4, 4, 0, 0, 0, 9], [8, 11]),
		[0, 0, 0, 0],
	);
	const message = fc.oneof(
		{
			weight: 8,
			arbitrary: fc.tuple(piece, fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 3 })).map(([body, changes]) => {
				const bytes = Uint8Array.from(body);
				for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
				return frame(2, bytes);
			}),
		},
		{ weight: 2, arbitrary: fc.uint8Array({ minLength: 4, maxLength: 60 }).map((body) => frame(2, body)) },
		{
			weight: 1,
			arbitrary: fc.constantFrom(encodeRouteRefresh(4, 'request'), encodeRouteRefresh(6, 'begin'), encodeRouteRefresh(6, 'end')),
		},
		{ weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
	);
	const target = victim();
	fc.assert(
		fc.property(fc.array(message, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 200 }), (messages, size) => {
			if (!target.wire.open) target.connect();
			const stream = Buffer.concat(messages);
			for (let offset = 0; offset < stream.length; offset += size) {
				target.speaker.received('Node_10_0_0_2', target.wire, stream.slice(offset, offset + size));
				target.settle();
			}
		}),
		{ numRuns: 20_000 },
	);
	target.nowMs += 400_000;
	target.speaker.tick();
	target.speaker.tick();
	target.settle();
	assert.deepEqual(target.speaker.status()?.routes, { 4: 1, 6: 0 });
	assert.ok(target.speaker.attributeSetCount <= 2, `${target.speaker.attributeSetCount} attribute sets are left`);
	assert.equal(target.speaker.ribs[4].index.size, 1);
	assert.equal(target.speaker.ribs[6].index.size, 0);
});
