import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cidr, cidr, ip } from '#net';
import type { PeerConfig, RouteFilter } from '../router-config.ts';
import { ACCEPT_ALL, peerConfig, routerConfig } from '../testing/config.ts';
import { bestRoutes, SimulatedNetwork, type SimulatedRouter } from '../testing/simulation.ts';

const block = (prefix: string) => ({ prefix: cidr(prefix), kind: 'block' as const });

function states(router: SimulatedRouter): (string | undefined)[] {
	return router.speaker.status()?.peers.map(({ state }) => state) ?? [];
}

function prefixes(router: SimulatedRouter): Cidr[] {
	return [...bestRoutes(router, 4).keys()].sort();
}

function withFilters(
	config: PeerConfig,
	filters: { readonly importFilter?: RouteFilter; readonly exportFilter?: RouteFilter },
): PeerConfig {
	return { ...config, families: config.families.map((entry) => ({ ...entry, ...filters })) };
}

/** Two routers with a session, the first of which originates. */
function pair(
	more: { readonly first?: Partial<PeerConfig>; readonly second?: Partial<PeerConfig>; readonly as?: readonly [number, number] } = {},
) {
	const network = new SimulatedNetwork();
	const [firstAs, secondAs] = more.as ?? [65001, 65002];
	const first = network.add('10.0.0.1');
	const second = network.add('10.0.0.2');
	const firstConfig = routerConfig('10.0.0.1', firstAs, {
		peers: [peerConfig('10.0.0.2', secondAs, more.first)],
		originate: [block('10.65.0.0/26'), block('10.65.1.0/26')],
	});
	const secondConfig = routerConfig('10.0.0.2', secondAs, { peers: [peerConfig('10.0.0.1', firstAs, more.second)] });
	first.speaker.applyConfig(firstConfig);
	second.speaker.applyConfig(secondConfig);
	network.run(3000);
	return { network, first, second, firstConfig, secondConfig };
}

test('a mesh of three carries each block of both families to every node', () => {
	const network = new SimulatedNetwork();
	const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
	const routers = addresses.map((address) => network.add(address));
	for (const [index, router] of routers.entries())
		router.speaker.applyConfig(
			routerConfig(router.address, 64512, {
				peers: addresses.filter((address) => address !== router.address).map((address) => peerConfig(address, 64512)),
				originate: [block(`10.65.${index}.0/26`), block(`fd65:${index}::/122`)],
			}),
		);
	network.run(2000);
	for (const [index, router] of routers.entries()) {
		assert.deepEqual(states(router), ['Established', 'Established']);
		assert.equal(bestRoutes(router, 4).size, 3);
		const other = (index + 1) % 3;
		const expected = { nextHop: addresses[other], source: 'bgp', from: addresses[other] };
		assert.deepEqual(bestRoutes(router, 4).get(cidr(`10.65.${other}.0/26`)), expected);
		assert.equal(bestRoutes(router, 6).get(cidr(`fd65:${other}::/122`))?.nextHop, `fd00::${other + 1}`);
	}
});

test('routes of an internal peer are not passed to internal peers, but to external ones', () => {
	const network = new SimulatedNetwork();
	const as = [64512, 64512, 64512, 65099];
	const routers = as.map((_, index) => network.add(`10.0.0.${index + 1}`));
	const links: readonly (readonly [number, number])[] = [
		[0, 1],
		[1, 2],
		[1, 3],
	];
	for (const [index, router] of routers.entries())
		router.speaker.applyConfig(
			routerConfig(router.address, as[index] ?? 0, {
				peers: links
					.filter((link) => link.includes(index))
					.map(([a, b]) => (a === index ? b : a))
					.map((other) => peerConfig(`10.0.0.${other + 1}`, as[other] ?? 0)),
				originate: index === 0 ? [block('10.65.0.0/26')] : [],
			}),
		);
	network.run(3000);
	const [, , internal, external] = routers as [SimulatedRouter, SimulatedRouter, SimulatedRouter, SimulatedRouter];
	assert.deepEqual(prefixes(internal), []);
	assert.deepEqual(bestRoutes(external, 4).get(cidr('10.65.0.0/26')), { nextHop: '10.0.0.2', source: 'bgp', from: '10.0.0.2' });
});

test('a route reflector passes client routes on with next hop, originator and cluster list, and loops end', () => {
	const network = new SimulatedNetwork();
	const reflectors = ['10.0.0.8', '10.0.0.9'];
	const clients = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
	const routers = new Map([...reflectors, ...clients].map((address) => [address, network.add(address)]));
	for (const reflector of reflectors)
		routers.get(reflector)?.speaker.applyConfig(
			routerConfig(reflector, 64512, {
				peers: [
					...reflectors.filter((other) => other !== reflector).map((other) => peerConfig(other, 64512)),
					...clients.map((client) => peerConfig(client, 64512, { routeReflectorClusterId: ip('244.0.0.1') })),
				],
			}),
		);
	for (const [index, client] of clients.entries())
		routers.get(client)?.speaker.applyConfig(
			routerConfig(client, 64512, {
				peers: reflectors.map((reflector) => peerConfig(reflector, 64512)),
				originate: [block(`10.65.${index}.0/26`)],
			}),
		);
	network.run(4000);
	for (const [index, client] of clients.entries()) {
		const router = routers.get(client) as SimulatedRouter;
		assert.equal(bestRoutes(router, 4).size, 3, client);
		const { 4: rib } = router.speaker.ribs;
		const other = (index + 1) % clients.length;
		const paths = rib.paths(rib.index.findCidr(cidr(`10.65.${other}.0/26`)));
		assert.deepEqual(
			paths.map(({ attributes }) => [attributes.nextHop?.address, attributes.originatorId & 0xff, attributes.clusterListLength]),
			[
				[clients[other], other + 1, 1],
				[clients[other], other + 1, 1],
			],
		);
		const own = rib.paths(rib.index.findCidr(cidr(`10.65.${index}.0/26`)));
		assert.deepEqual(
			own.map(({ source }) => source.kind),
			['originated'],
		);
	}
});

test('a withdrawn block goes away everywhere, and its number is used again', () => {
	const { network, first, second, firstConfig } = pair();
	assert.deepEqual(prefixes(second), ['10.65.0.0/26', '10.65.1.0/26']);
	first.speaker.applyConfig({ ...firstConfig, originate: [block('10.65.1.0/26')] });
	network.run(200);
	assert.deepEqual(prefixes(second), ['10.65.1.0/26']);
	assert.equal(second.speaker.ribs[4].index.size, 1);
	assert.equal(first.speaker.ribs[4].index.size, 1);
});

test('a session whose settings did not change is not touched by a new configuration', () => {
	const { network, first, second, firstConfig } = pair();
	const before = first.speaker.status()?.peers[0]?.sinceMs;
	network.add('10.0.0.3');
	first.speaker.applyConfig({ ...firstConfig, peers: [...firstConfig.peers, peerConfig('10.0.0.3', 65003)], originate: [] });
	network.run(3000);
	assert.equal(first.speaker.status()?.peers[0]?.sinceMs, before);
	assert.deepEqual(prefixes(second), []);
});

test('a changed export filter takes and gives routes without a new session', () => {
	const { network, first, second, firstConfig } = pair();
	const since = second.speaker.status()?.peers[0]?.sinceMs;
	const only: RouteFilter = { rules: [{ match: { within: cidr('10.65.1.0/24') }, action: 'accept' }], otherwise: 'reject' };
	const limited = firstConfig.peers.map((peer) => withFilters(peer, { exportFilter: only }));
	first.speaker.applyConfig({ ...firstConfig, peers: limited });
	network.run(200);
	assert.deepEqual(prefixes(second), ['10.65.1.0/26']);
	first.speaker.applyConfig(firstConfig);
	network.run(200);
	assert.deepEqual(prefixes(second), ['10.65.0.0/26', '10.65.1.0/26']);
	assert.equal(second.speaker.status()?.peers[0]?.sinceMs, since);
});

test('a changed import filter asks the peer for its routes again', () => {
	const { network, second, secondConfig } = pair();
	const since = second.speaker.status()?.peers[0]?.sinceMs;
	const reject: RouteFilter = { rules: [{ match: { within: cidr('10.65.1.0/24') }, action: 'reject' }], otherwise: 'accept' };
	second.speaker.applyConfig({ ...secondConfig, peers: secondConfig.peers.map((peer) => withFilters(peer, { importFilter: reject })) });
	network.run(200);
	assert.deepEqual(prefixes(second), ['10.65.0.0/26']);
	assert.equal(second.speaker.status()?.peers[0]?.received[4], 1);
	second.speaker.applyConfig(secondConfig);
	network.run(200);
	assert.deepEqual(prefixes(second), ['10.65.0.0/26', '10.65.1.0/26']);
	assert.equal(second.speaker.status()?.peers[0]?.sinceMs, since);
});

test('a route that a changed import filter rejects goes at once, whatever the peer does', () => {
	const { first, second, secondConfig } = pair();
	first.speaker.abandon();
	const reject: RouteFilter = { rules: [], otherwise: 'reject' };
	second.speaker.applyConfig({ ...secondConfig, peers: secondConfig.peers.map((peer) => withFilters(peer, { importFilter: reject })) });
	while (second.speaker.work());
	assert.deepEqual(prefixes(second), []);
});

test('filters set preference, communities and path on the way out', () => {
	const { network, first, second, firstConfig } = pair({ as: [64512, 64512] });
	const set: RouteFilter = {
		rules: [
			{ match: { source: 'originated' }, set: { localPreference: 2147482623, addCommunities: ['64512:7'] } },
			{ match: { equals: cidr('10.65.1.0/26') }, set: { prependAsPath: [1, 2] }, action: 'accept' },
		],
		otherwise: 'accept',
	};
	first.speaker.applyConfig({ ...firstConfig, peers: firstConfig.peers.map((peer) => withFilters(peer, { exportFilter: set })) });
	network.run(200);
	const { 4: rib } = second.speaker.ribs;
	const attributes = ['10.65.0.0/26', '10.65.1.0/26'].map((prefix) => rib.paths(rib.index.findCidr(cidr(prefix)))[0]?.attributes);
	assert.deepEqual(
		attributes.map((entry) => [entry?.localPreference, entry?.asPathLength, entry?.neighborAs]),
		[
			[2147482623, 0, 0],
			[2147482623, 2, 1],
		],
	);
	assert.ok(attributes.every((entry) => entry?.key.includes('\xc0\x08\x04\xfc\x00\x00\x07')));
});

test('a password, AS or family change makes a new session, a hold time change does not', () => {
	const table: readonly (readonly [Partial<PeerConfig>, boolean])[] = [
		[{ password: 'secret' }, true],
		[{ ttlSecurityHops: 1 }, true],
		[{ sourceAddress: ip('10.0.0.1') }, true],
		[{ families: [{ family: 4, importFilter: ACCEPT_ALL, exportFilter: ACCEPT_ALL }] }, true],
		[{ holdTimeSeconds: 30 }, false],
		[{ restartTimeSeconds: 30 }, false],
		[{ passive: true }, false],
		[{ nextHop: 'keep' }, false],
		[{ allowedLocalAs: 2 }, false],
	];
	for (const [change, restarts] of table) {
		const { network, first, second, firstConfig } = pair();
		const since = first.speaker.status()?.peers[0]?.sinceMs;
		first.speaker.applyConfig({ ...firstConfig, peers: firstConfig.peers.map((peer) => ({ ...peer, ...change })) });
		network.run(40_000);
		assert.deepEqual(states(first), ['Established'], JSON.stringify(change));
		assert.equal(first.speaker.status()?.peers[0]?.sinceMs !== since, restarts, JSON.stringify(change));
		assert.deepEqual(prefixes(second), ['10.65.0.0/26', '10.65.1.0/26']);
	}
});

test('a removed peer is told, its routes go, and it cannot come back', () => {
	const { network, first, second, secondConfig } = pair();
	second.speaker.applyConfig({ ...secondConfig, peers: [] });
	network.run(30_000);
	assert.deepEqual(prefixes(second), []);
	assert.equal(second.speaker.ribs[4].index.size, 0);
	assert.match(first.speaker.status()?.peers[0]?.info ?? '', /de-configured|refused/);
});

test('when a peer dies its routes stay until it is back, and nothing flaps', () => {
	const { network, first, second, firstConfig } = pair();
	const { 4: rib } = second.speaker.ribs;
	const survivor = rib.index.findCidr(cidr('10.65.1.0/26'));
	second.speaker.follow({
		changed: (family, list, count) => assert.ok(family !== 4 || !list.subarray(0, count).includes(survivor) || rib.best(survivor) >= 0),
		holds: () => false,
	});
	network.kill(first);
	network.run(5000);
	assert.deepEqual(prefixes(second), ['10.65.0.0/26', '10.65.1.0/26']);
	const again = network.add('10.0.0.1', { restarting: true });
	again.speaker.applyConfig({ ...firstConfig, originate: [block('10.65.1.0/26'), block('10.65.2.0/26')] });
	network.run(10_000);
	assert.deepEqual(states(again), ['Established']);
	assert.deepEqual(prefixes(second), ['10.65.1.0/26', '10.65.2.0/26']);
	assert.equal(again.speaker.recovering, false);
});

test('a peer that does not come back within its restart time loses its routes', () => {
	const { network, first, second } = pair({ first: { restartTimeSeconds: 20 } });
	network.kill(first);
	network.run(19_000);
	assert.equal(prefixes(second).length, 2);
	network.run(3000);
	assert.deepEqual(prefixes(second), []);
});

test('a restarted router waits for its peers’ routes before it announces what it learned and says it is done', () => {
	const network = new SimulatedNetwork();
	const middle = network.add('10.0.0.2', { restarting: true });
	const left = network.add('10.0.0.1');
	const right = network.add('10.0.0.3');
	const peers = (...addresses: readonly (readonly [string, number])[]) => addresses.map(([address, as]) => peerConfig(address, as));
	middle.speaker.applyConfig(
		routerConfig('10.0.0.2', 65002, { peers: peers(['10.0.0.1', 65001], ['10.0.0.3', 65003]), originate: [block('10.65.9.0/26')] }),
	);
	right.speaker.applyConfig(routerConfig('10.0.0.3', 65003, { peers: peers(['10.0.0.2', 65002]), originate: [block('10.65.3.0/26')] }));
	network.run(10_000);
	assert.equal(middle.speaker.recovering, true);
	left.speaker.applyConfig(routerConfig('10.0.0.1', 65001, { peers: peers(['10.0.0.2', 65002]) }));
	network.cut.add('10.0.0.1 10.0.0.2');
	assert.deepEqual(prefixes(right), ['10.65.3.0/26', '10.65.9.0/26'], 'blocks of its own are announced at once');
	network.cut.clear();
	network.run(20_000);
	assert.equal(middle.speaker.recovering, false);
	assert.deepEqual(prefixes(left), ['10.65.3.0/26', '10.65.9.0/26']);
});

test('recovery ends after its time even if a peer never comes', () => {
	const network = new SimulatedNetwork();
	const router = network.add('10.0.0.1', { restarting: true });
	const config = routerConfig('10.0.0.1', 65001, { peers: [peerConfig('10.0.0.2', 65002)] });
	router.speaker.applyConfig({ ...config, kernel: { ...config.kernel, recoverySeconds: 30 } });
	network.run(29_000);
	assert.equal(router.speaker.recovering, true);
	network.run(2000);
	assert.equal(router.speaker.recovering, false);
	assert.ok(router.events.some(({ kind }) => kind === 'recovered'));
});

test('a configuration that cannot be is refused with the field, and nothing changes', () => {
	const { first, firstConfig } = pair();
	const [peer] = firstConfig.peers as [PeerConfig];
	const table: readonly (readonly [Partial<typeof firstConfig>, string])[] = [
		[{ asNumber: 0 }, 'asNumber'],
		[{ routerId: ip('0.0.0.0') }, 'routerId'],
		[{ routerId: ip('::1') }, 'routerId'],
		[{ listen: { port: 0, addresses: undefined } }, 'listen.port'],
		[{ peers: [peer, peer] }, 'peers[1].name'],
		[{ peers: [{ ...peer, holdTimeSeconds: 2 }] }, 'peers[0].holdTimeSeconds'],
		[{ peers: [{ ...peer, asNumber: 2 ** 32 }] }, 'peers[0].asNumber'],
		[{ peers: [{ ...peer, families: [] }] }, 'peers[0].families'],
		[{ peers: [{ ...peer, password: 'x'.repeat(81) }] }, 'peers[0].password'],
		[{ peers: [{ ...peer, ttlSecurityHops: 256 }] }, 'peers[0].ttlSecurityHops'],
		[
			{ peers: [withFilters(peer, { exportFilter: { rules: [{ match: {}, set: { addCommunities: ['1:x'] } }], otherwise: 'accept' } })] },
			'peers[0].exportFilter.rules[0].set.addCommunities',
		],
		[{ peers: [{ ...peer, routeReflectorClusterId: ip('1.1.1.1') }] }, 'peers[0].routeReflectorClusterId'],
	];
	for (const [change, path] of table) {
		assert.throws(() => first.speaker.applyConfig({ ...firstConfig, ...change }), { code: 'BGP_BAD_CONFIG', path });
		assert.equal(first.speaker.config, firstConfig);
	}
	const secret = 'top-secret'.repeat(20);
	assert.throws(
		() => first.speaker.applyConfig({ ...firstConfig, peers: [{ ...peer, password: secret }] }),
		(error: unknown) => !JSON.stringify(error).includes('top-secret') && !String(error).includes('top-secret'),
	);
});

test('next hops that get lost take their routes out of use, and bring them back', () => {
	const { network, second } = pair();
	assert.equal(prefixes(second).length, 2);
	network.unreachable.add(ip('10.0.0.1'));
	second.speaker.nextHopsChanged();
	network.run(200);
	assert.deepEqual(prefixes(second), []);
	assert.equal(second.speaker.status()?.routes[4], 2);
	network.unreachable.clear();
	second.speaker.nextHopsChanged();
	network.run(200);
	assert.equal(prefixes(second).length, 2);
});
