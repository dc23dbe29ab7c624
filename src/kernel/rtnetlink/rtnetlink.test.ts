import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrOf, type Family, formatIp, formatMac, type Ip } from '#net';
import { kernelError } from '../errors.ts';
import { assertSafeDecoder, written } from '../netlink/fixtures.ts';
import { readAddress, writeAddress } from './address-codec.ts';
import { readLink, writeLinkChange, writeLinkSpec } from './link-codec.ts';
import { readEvent } from './monitor.ts';
import { readNeighbour, writeNeighbour } from './neighbour-codec.ts';
import type { Address, Neighbour, NextHop, Route } from './object.ts';
import { readRoute, writeRoute } from './route-codec.ts';

const index = fc.integer({ min: 1, max: 0x7fffffff });
const family = fc.constantFrom<Family>(4, 6);
const address = (family: Family): fc.Arbitrary<Ip> => {
	const length = family === 4 ? 4 : 16;
	return fc.uint8Array({ minLength: length, maxLength: length }).map(formatIp);
};
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac);
const yes = fc.constant(true as const);
const scope = fc.constantFrom('universe' as const, 'site' as const, 'link' as const, 'host' as const, 'nowhere' as const);

/** Optional properties are left out, never undefined, as in a listing. */
function record<T>(required: Record<string, fc.Arbitrary<unknown>>, optional: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<T> {
	return fc.record(
		{ ...required, ...optional },
		{ requiredKeys: Object.keys(required), noNullPrototype: true },
	) as unknown as fc.Arbitrary<T>;
}

const nextHop = (family: Family, more: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<NextHop> =>
	record({}, { gateway: fc.oneof(address(family), address(family === 4 ? 6 : 4)), interfaceIndex: index, onlink: yes, ...more });

const route: fc.Arbitrary<Route> = family.chain((family) => {
	const common = {
		destination: fc.tuple(address(family), fc.nat({ max: family === 4 ? 32 : 128 })).map(([address, length]) => cidrOf(address, length)),
		table: fc.integer({ min: 1, max: 0xffffffff }),
		protocol: fc.nat({ max: 255 }),
		metric: fc.integer({ min: 0, max: 0xffffffff }),
		scope,
	};
	const optional = { prefSrc: address(family), mtu: fc.nat({ max: 65535 }), tos: fc.integer({ min: 1, max: 255 }) };
	const hop = nextHop(family, {});
	const weighted = nextHop(family, { weight: fc.integer({ min: 2, max: 256 }) });
	return fc.oneof(
		record<Route>(
			{ ...common, type: fc.constantFrom('blackhole', 'unreachable', 'prohibit', 'throw'), nextHops: fc.constant([]) },
			optional,
		),
		record<Route>({ ...common, type: fc.constantFrom('unicast', 'local'), nextHops: fc.tuple(hop) }, optional),
		record<Route>({ ...common, type: fc.constant('unicast'), nextHops: fc.array(weighted, { minLength: 2, maxLength: 8 }) }, optional),
	);
});

test('routes are read as they were written', () => {
	fc.assert(
		fc.property(route, (route) => {
			assert.deepEqual(readRoute(written((writer) => writeRoute(writer, route))), route);
		}),
		{ numRuns: 1000 },
	);
});

test('a route has the next hops of its type', () => {
	const hop: NextHop = { interfaceIndex: 2 };
	const common = { destination: cidrOf('10.0.0.0' as Ip, 8), table: 254, protocol: 12, metric: 0, scope: 'universe' as const };
	for (const bad of [
		{ ...common, type: 'unicast', nextHops: [] },
		{ ...common, type: 'blackhole', nextHops: [hop] },
		{ ...common, type: 'unicast', nextHops: [hop, { ...hop, weight: 257 }] },
		{ ...common, type: 'unicast', nextHops: [hop, { ...hop, weight: 0 }] },
	] satisfies Route[])
		assert.throws(
			() => written((writer) => writeRoute(writer, bad)),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
});

const interfaceAddress: fc.Arbitrary<Address> = family.chain((family) =>
	record<Address>(
		{ interfaceIndex: index, address: address(family), prefixLength: fc.nat({ max: family === 4 ? 32 : 128 }), scope },
		{ peer: address(family), broadcast: address(family), label: fc.stringMatching(/^[a-z0-9:]{1,15}$/), noDad: yes, noPrefixRoute: yes },
	).filter(({ address, peer }) => address !== peer),
);

test('interface addresses are read as they were written', () => {
	fc.assert(
		fc.property(interfaceAddress, (address) => {
			assert.deepEqual(readAddress(written((writer) => writeAddress(writer, address))), address);
		}),
	);
});

const state = fc.constantFrom('reachable', 'stale', 'permanent', 'noarp', 'failed', 'none');
const neighbour: fc.Arbitrary<Neighbour> = family.chain((family) =>
	fc.oneof(
		record<Neighbour>({ interfaceIndex: index, address: address(family), state }, { mac }),
		record<Neighbour>({ interfaceIndex: index, mac, state }, { destination: address(family) }),
	),
);

test('neighbours and forwarding entries are read as they were written', () => {
	fc.assert(
		fc.property(neighbour, (neighbour) => {
			assert.deepEqual(readNeighbour(written((writer) => writeNeighbour(writer, neighbour))), neighbour);
		}),
	);
	assert.throws(
		() => written((writer) => writeNeighbour(writer, { interfaceIndex: 1, state: 'permanent' })),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
});

test('a device name that the kernel would cut is refused', () => {
	for (const name of ['', 'cali0123456789ab', 'a\0'])
		assert.throws(
			() => written((writer) => writeLinkSpec(writer, { kind: 'bridge', name })),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
});

test('devices are read with what their kind adds', () => {
	const vxlan = { vni: 4096, port: 4789, learning: false, local: 'fd00::1' as Ip, parentIndex: 3 };
	const name = 'vxlan-v6.calico';
	const link = readLink(written((writer) => writeLinkSpec(writer, { kind: 'vxlan', name, mtu: 1430, vxlan })));
	assert.deepEqual(link, { index: 0, name, kind: 'vxlan', mtu: 1430, up: false, running: false, loopback: false, vxlan });
	const change = readLink(written((writer) => writeLinkChange(writer, 7, { name: 'eth0', up: true, master: 4 })));
	assert.deepEqual(change, { index: 7, name: 'eth0', mtu: 0, up: true, running: false, loopback: false, master: 4 });
});

test('events made of arbitrary bytes give an error of the room or a value, nothing else', () => {
	const [sampleRoute] = fc.sample(
		route.filter(({ nextHops }) => nextHops.length > 2),
		{ numRuns: 1, seed: 1 },
	);
	const vxlan = { vni: 1, port: 4789, learning: true, local: '10.0.0.1' as Ip };
	const decode = (message: Parameters<typeof readEvent>[0]): unknown => readEvent(message, [4, 6]);
	assertSafeDecoder(decode, (writer) => writeLinkSpec(writer, { kind: 'vxlan', name: 'v', vxlan }), 16);
	assertSafeDecoder(decode, (writer) => writeAddress(writer, fc.sample(interfaceAddress, { numRuns: 1, seed: 2 })[0] as Address), 20);
	assertSafeDecoder(decode, (writer) => writeRoute(writer, sampleRoute as Route), 24);
	assertSafeDecoder(decode, (writer) => writeNeighbour(writer, fc.sample(neighbour, { numRuns: 1, seed: 3 })[0] as Neighbour), 28);
});
