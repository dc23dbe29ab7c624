import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Link, Route } from '#kernel';
import { cidr } from '#net';
import type { EndpointId } from '#policy';
import { isRemovable, isWorkloadRoute, planRoutes, routeKey, wantedRoutes, workloadRoute } from './route-plan.ts';

const OPTIONS = { routeProtocol: 3, routeMetric: 1024, removeExternalRoutes: true };
const NETS = ['10.0.0.1/32', '10.0.0.2/32', 'fd00::1/128', '10.9.0.0/16', 'fe80::/64'].map((text) => cidr(text));

const anyRoute: fc.Arbitrary<Route> = fc
	.record({
		destination: fc.constantFrom(...NETS),
		index: fc.constantFrom(1, 2, 3),
		protocol: fc.constantFrom(2, 3, 4, 80),
		metric: fc.constantFrom(0, 1024),
		scope: fc.constantFrom('link' as const, 'universe' as const),
	})
	.map(({ index, ...route }) => ({ ...route, table: 254, type: 'unicast' as const, nextHops: [{ interfaceIndex: index }] }));

const anyWanted = fc
	.array(fc.tuple(fc.constantFrom(...NETS.slice(0, 3)), fc.constantFrom(1, 2, 3)), { maxLength: 4 })
	.map((pairs) => new Map(pairs));

test('a plan leads to the wanted routes, touches no other, and leaves nothing to do', () => {
	fc.assert(
		fc.property(anyWanted, fc.array(anyRoute, { maxLength: 8 }), (wanted, routes) => {
			const kernel = new Map(routes.map((route) => [routeKey(route), route]));
			const before = new Set(kernel.values());
			const plan = planRoutes(wanted, kernel.values(), () => 0, 0, OPTIONS);
			for (const { route } of plan.removals) assert.ok(kernel.delete(routeKey(route)));
			for (const { route } of plan.additions) {
				for (const [key, other] of kernel) if (other.destination === route.destination && other.metric === route.metric) kernel.delete(key);
				kernel.set(routeKey(route), route);
			}
			for (const [destination, index] of wanted)
				assert.ok([...kernel.values()].some((route) => isWorkloadRoute(route, workloadRoute(destination, index, OPTIONS))));
			for (const route of before) {
				const isReplaced = wanted.has(route.destination) && route.metric === 1024;
				if (!isRemovable(route, OPTIONS) && !isReplaced) assert.ok(kernel.has(routeKey(route)));
			}
			const again = planRoutes(wanted, kernel.values(), () => 0, 0, OPTIONS);
			assert.deepEqual([again.removals, again.additions], [[], []]);
		}),
	);
});

test('an unwanted route stays until its time has come, and the plan tells when', () => {
	const route = { ...workloadRoute(cidr('10.0.0.9/32'), 1, OPTIONS), metric: 0 };
	const early = planRoutes(new Map(), [route], () => 10_000, 4000, OPTIONS);
	assert.deepEqual([early.removals, early.nextRemovalMs], [[], 10_000]);
	assert.equal(planRoutes(new Map(), [route], () => 10_000, 10_000, OPTIONS).removals.length, 1);
});

test('what may be removed', () => {
	const base = workloadRoute(cidr('10.0.0.9/32'), 1, OPTIONS);
	const keep = { ...OPTIONS, removeExternalRoutes: false };
	const table: readonly (readonly [Partial<Route>, boolean, boolean])[] = [
		[{}, true, true],
		[{ protocol: 80 }, true, true],
		[{ protocol: 4 }, true, false],
		[{ protocol: 2 }, false, false],
		[{ type: 'local' }, false, false],
		[{ destination: cidr('fe80::/64') }, false, false],
		[{ destination: cidr('ff00::/8') }, false, false],
	];
	for (const [change, external, own] of table)
		assert.deepEqual(
			[isRemovable({ ...base, ...change }, OPTIONS), isRemovable({ ...base, ...change }, keep)],
			[external, own],
			JSON.stringify(change),
		);
});

test('of two interfaces that claim an address the newer gets it, and one that is down gets none', () => {
	const link = (index: number, name: string, up: boolean): Link => ({ index, name, mtu: 1500, up, running: up, loopback: false });
	const links = new Map([link(5, 'cali5', true), link(7, 'cali7', true), link(9, 'cali9', false)].map((one) => [one.name, one]));
	const workloads = [5, 7, 9, 11].map((index) => ({
		id: `x/${index}` as EndpointId,
		interfaceName: `cali${index}`,
		nets: [cidr('10.0.0.1/32')],
	}));
	assert.deepEqual([...wantedRoutes(workloads, (name) => links.get(name))], [['10.0.0.1/32', 7]]);
});
