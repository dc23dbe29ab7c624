import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { hasErrno, type Link, type NextHop, type Route, type RtEvent, type RtGroup, RtnetlinkMonitor } from '#kernel';
import { type Cidr, cidr, ip, type Mac } from '#net';
import { type TestNamespace, testNamespace, until } from './fixtures/namespaces.ts';

const BIRD = 12;
const MAIN = 254;

function route(destination: string, hops: readonly NextHop[], more: Partial<Route> = {}): Route {
	return {
		destination: cidr(destination),
		table: MAIN,
		protocol: BIRD,
		metric: 1024,
		type: 'unicast',
		scope: 'universe',
		nextHops: hops,
		...more,
	};
}

/** A namespace with an interface `eth0` that is up and has 10.0.0.1/24 and fd00::1/64; its peer is in a second namespace. */
function connected(t: TestContext): { readonly near: TestNamespace; readonly far: TestNamespace; readonly eth0: Link } {
	const near = testNamespace(t);
	const far = testNamespace(t);
	near.rtnetlink.createLink({ kind: 'veth', name: 'eth0', peer: { name: 'far0', namespaceFd: far.fd } });
	const eth0 = linkOf(near, 'eth0');
	near.rtnetlink.changeLink(eth0.index, { up: true });
	far.rtnetlink.changeLink(linkOf(far, 'far0').index, { up: true });
	const address = { interfaceIndex: eth0.index, noDad: true };
	const failures = near.rtnetlink.applyNow([
		{ op: 'add', address: { ...address, address: ip('10.0.0.1'), prefixLength: 24 } },
		{ op: 'add', address: { ...address, address: ip('fd00::1'), prefixLength: 64 } },
	]);
	assert.deepEqual(failures, []);
	return { near, far, eth0 };
}

function linkOf(namespace: TestNamespace, name: string): Link {
	const link = namespace.rtnetlink.findLink(name);
	assert.ok(link !== undefined, `${name} exists`);
	return link;
}

function monitored(t: TestContext, namespace: TestNamespace, groups: readonly RtGroup[]): RtEvent[] {
	const events: RtEvent[] = [];
	const monitor = new RtnetlinkMonitor({ namespaceFd: namespace.fd, groups, onEvents: (batch) => events.push(...batch) });
	t.after(() => monitor[Symbol.dispose]());
	return events;
}

test('a veth pair spans two namespaces with the names, MTU and MAC asked for', (t) => {
	const host = testNamespace(t);
	const pod = testNamespace(t);
	const mac = 'ee:ee:ee:ee:ee:ee' as Mac;
	host.rtnetlink.createLink({
		kind: 'veth',
		name: 'cali0123456789a',
		mtu: 1410,
		mac,
		peer: { name: 'eth0', mtu: 1410, mac: '02:00:00:00:00:07' as Mac, namespaceFd: pod.fd },
	});
	const outside = linkOf(host, 'cali0123456789a');
	const inside = linkOf(pod, 'eth0');
	assert.equal(host.rtnetlink.findLink('eth0'), undefined);
	assert.deepEqual([outside.kind, outside.mtu, outside.mac, outside.up], ['veth', 1410, mac, false]);
	assert.deepEqual([inside.mtu, inside.mac, inside.linkIndex], [1410, '02:00:00:00:00:07', outside.index]);
	const { mtu, address } = (JSON.parse(pod.run('ip', '-j', 'link', 'show', 'eth0')) as [{ mtu: number; address: string }])[0];
	assert.deepEqual([mtu, address], [1410, inside.mac]);
	assert.throws(
		() => host.rtnetlink.createLink({ kind: 'veth', name: 'cali0123456789a', peer: { name: 'x' } }),
		(error) => hasErrno(error, 'EEXIST'),
	);
	host.rtnetlink.deleteLink(outside.index);
	assert.equal(pod.rtnetlink.findLink('eth0'), undefined, 'the peer goes with it');
	assert.throws(
		() => host.rtnetlink.deleteLink(outside.index),
		(error) => hasErrno(error, 'ENODEV'),
	);
});

test('a device is set up and down, renamed, given another MTU and MAC, and moved to another namespace', (t) => {
	const here = testNamespace(t);
	const there = testNamespace(t);
	here.rtnetlink.createLink({ kind: 'veth', name: 'a', peer: { name: 'b' } });
	const { index } = linkOf(here, 'a');
	here.rtnetlink.changeLink(index, { name: 'renamed', mtu: 1300, mac: '02:00:00:00:00:01' as Mac });
	here.rtnetlink.changeLink(index, { up: true });
	here.rtnetlink.changeLink(linkOf(here, 'b').index, { up: true });
	const changed = linkOf(here, 'renamed');
	assert.deepEqual([changed.mtu, changed.mac, changed.up, changed.running], [1300, '02:00:00:00:00:01', true, true]);
	here.rtnetlink.changeLink(index, { up: false });
	assert.equal(here.rtnetlink.findLink(index)?.up, false);
	here.rtnetlink.changeLink(index, { namespaceFd: there.fd, name: 'moved' });
	assert.equal(here.rtnetlink.findLink('renamed'), undefined);
	assert.equal(linkOf(there, 'moved').mac, '02:00:00:00:00:01');
});

test('a bridge takes a port, and a VXLAN device has what it was made with', (t) => {
	const { near, eth0 } = connected(t);
	near.rtnetlink.createLink({ kind: 'bridge', name: 'br0' });
	near.rtnetlink.createLink({ kind: 'veth', name: 'port', peer: { name: 'other' } });
	const bridge = linkOf(near, 'br0');
	const port = linkOf(near, 'port');
	near.rtnetlink.changeLink(port.index, { master: bridge.index });
	assert.equal(linkOf(near, 'port').master, bridge.index);
	near.rtnetlink.changeLink(port.index, { master: 0 });
	assert.equal(linkOf(near, 'port').master, undefined);
	const vxlan = { vni: 4096, port: 4789, local: ip('10.0.0.1'), parentIndex: eth0.index, learning: false };
	const vxlan6 = { vni: 4097, port: 4789, local: ip('fd00::1'), learning: true };
	near.rtnetlink.createLink({ kind: 'vxlan', name: 'vxlan.calico', vxlan });
	near.rtnetlink.createLink({ kind: 'vxlan', name: 'vxlan-v6.calico', vxlan: vxlan6 });
	assert.deepEqual(linkOf(near, 'vxlan.calico').vxlan, vxlan);
	assert.deepEqual(linkOf(near, 'vxlan-v6.calico').vxlan, vxlan6);
	assert.deepEqual(
		near.rtnetlink.listLinks().map(({ name }) => name),
		['lo', 'eth0', 'br0', 'other', 'port', 'vxlan.calico', 'vxlan-v6.calico'],
	);
});

test('addresses are added, listed and removed', (t) => {
	const { near, eth0 } = connected(t);
	const list = (): readonly string[] =>
		near.rtnetlink
			.listAddresses({ interfaceIndex: eth0.index })
			.filter(({ scope }) => scope !== 'link')
			.map(({ address, prefixLength, peer }) => `${address}/${prefixLength}${peer === undefined ? '' : ` peer ${peer}`}`);
	const pointToPoint = { interfaceIndex: eth0.index, address: ip('10.9.0.1'), prefixLength: 32, peer: ip('10.9.0.2') };
	assert.deepEqual(near.rtnetlink.applyNow([{ op: 'add', address: pointToPoint }]), []);
	assert.deepEqual(list().toSorted(), ['10.0.0.1/24', '10.9.0.1/32 peer 10.9.0.2', 'fd00::1/64']);
	assert.deepEqual(
		near.rtnetlink.applyNow([{ op: 'add', address: pointToPoint }]).map(({ errno }) => errno),
		['EEXIST'],
	);
	assert.deepEqual(near.rtnetlink.applyNow([{ op: 'delete', address: pointToPoint }]), []);
	assert.deepEqual(
		near.rtnetlink.listAddresses({ family: 6, interfaceIndex: eth0.index }).filter(({ scope }) => scope === 'universe'),
		[{ interfaceIndex: eth0.index, address: 'fd00::1', prefixLength: 64, scope: 'universe', noDad: true }],
	);
	assert.deepEqual(list().toSorted(), ['10.0.0.1/24', 'fd00::1/64']);
});

test('routes of every kind are listed as they were written, by us and by ip', (t) => {
	const { near, eth0 } = connected(t);
	const dev = { interfaceIndex: eth0.index };
	const v4: readonly Route[] = [
		route('0.0.0.0/0', [{ ...dev, gateway: ip('10.0.0.254') }], { metric: 0 }),
		route('10.1.0.0/26', [{ ...dev, gateway: ip('10.0.0.2') }]),
		route('10.2.0.0/26', [], { type: 'blackhole' }),
		route('10.3.0.0/26', [], { type: 'unreachable' }),
		route('10.4.0.0/26', [
			{ ...dev, gateway: ip('10.0.0.2') },
			{ ...dev, gateway: ip('10.0.0.3'), weight: 256 },
		]),
		route('10.5.0.0/26', [{ ...dev, gateway: ip('172.16.9.9'), onlink: true }]),
		route('10.6.0.1/32', [dev], { scope: 'link', prefSrc: ip('10.0.0.1'), mtu: 1300 }),
		route('10.7.0.0/26', [{ ...dev, gateway: ip('fd00::2') }]),
	];
	const v6: readonly Route[] = [
		route('::/0', [{ ...dev, gateway: ip('fd00::fe') }]),
		route('fd01::/122', [{ ...dev, gateway: ip('fd00::2') }]),
		route('fd02::/122', [], { type: 'blackhole' }),
		route('fd03::/122', [
			{ ...dev, gateway: ip('fd00::2') },
			{ ...dev, gateway: ip('fd00::3') },
		]),
		route('fd04::1/128', [dev], { metric: 512 }),
	];
	const other = route('10.1.0.0/26', [{ ...dev, gateway: ip('10.0.0.9') }], { table: 1000 });
	assert.deepEqual(near.rtnetlink.applyNow([...v4, ...v6, other].map((route) => ({ op: 'add', route }))), []);
	const sorted = (routes: readonly Route[]): readonly Route[] => routes.toSorted((a, b) => (a.destination < b.destination ? -1 : 1));
	assert.deepEqual(sorted(near.rtnetlink.listRoutes({ family: 4, protocol: BIRD, table: MAIN })), sorted(v4));
	assert.deepEqual(sorted(near.rtnetlink.listRoutes({ family: 6, protocol: BIRD, table: MAIN })), sorted(v6));
	assert.deepEqual(near.rtnetlink.listRoutes({ family: 4, table: 1000 }), [other]);
	assert.deepEqual(near.rtnetlink.listRoutes({ family: 4, table: 77 }), [], 'a table that was never used');
	assert.equal(near.rtnetlink.listRoutes({ family: 4, table: MAIN, interfaceIndex: 1 }).length, 0);

	interface IpRoute {
		readonly dst: Cidr;
		readonly type: string;
		readonly gateway?: string;
		readonly metric?: number;
		readonly nexthops?: readonly { readonly gateway: string; readonly weight: number }[];
	}
	const shown = [
		...(JSON.parse(near.run('ip', '-j', '-d', '-4', 'route', 'show', 'proto', 'bird')) as IpRoute[]),
		...(JSON.parse(near.run('ip', '-j', '-d', '-6', 'route', 'show', 'proto', 'bird')) as IpRoute[]),
	].map(({ dst, type, gateway, metric, nexthops }) => [dst, type, gateway, metric, nexthops?.map((hop) => `${hop.gateway} ${hop.weight}`)]);
	const expected = [...v4, ...v6].map(({ destination, type, metric, nextHops }) => {
		const gateway = nextHops[0]?.gateway;
		const viaOther = gateway !== undefined && gateway.includes(':') !== destination.includes(':');
		return [
			destination === '0.0.0.0/0' || destination === '::/0' ? 'default' : destination.replace(/\/(32|128)$/, ''),
			type,
			nextHops.length > 1 || viaOther ? undefined : gateway,
			metric === 0 ? undefined : metric,
			nextHops.length > 1 ? nextHops.map((hop) => `${hop.gateway} ${hop.weight ?? 1}`) : undefined,
		];
	});
	assert.deepEqual(shown.map(String).toSorted(), expected.map(String).toSorted());
});

test('each route of a batch stands alone, and failures are named', (t) => {
	const { near, eth0 } = connected(t);
	const hop = [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }];
	const failures = near.rtnetlink.applyNow([
		{ op: 'add', route: route('10.1.0.0/24', hop) },
		{ op: 'add', route: route('10.1.0.0/24', hop) },
		{ op: 'delete', route: route('10.2.0.0/24', hop) },
		{ op: 'add', route: route('10.3.0.0/24', [{ ...hop[0], gateway: ip('192.0.2.1') }]) },
		{ op: 'replace', route: route('10.4.0.0/24', hop) },
	]);
	assert.deepEqual(failures, [
		{ index: 1, errno: 'EEXIST', message: undefined },
		{ index: 2, errno: 'ESRCH', message: undefined },
		{ index: 3, errno: 'ENETUNREACH', message: 'Nexthop has invalid gateway' },
	]);
	assert.equal(near.rtnetlink.listRoutes({ family: 4, protocol: BIRD }).length, 2);
});

test("a delete hits only the route with the owner's protocol and metric", (t) => {
	const { near, eth0 } = connected(t);
	const hop = [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }];
	const foreign = route('10.1.0.0/24', hop, { protocol: 4 });
	const dearer = route('10.1.0.0/24', hop, { metric: 2000 });
	near.rtnetlink.applyNow([foreign, dearer].map((route) => ({ op: 'add', route })));
	assert.deepEqual(
		near.rtnetlink.applyNow([{ op: 'delete', route: route('10.1.0.0/24', hop) }]).map(({ errno }) => errno),
		['ESRCH'],
	);
	assert.deepEqual(near.rtnetlink.applyNow([{ op: 'delete', route: dearer }]), []);
	assert.deepEqual(near.rtnetlink.listRoutes({ family: 4, protocol: 4 }), [foreign]);
});

test('replace changes the next hops of a route at once, blackholes included', (t) => {
	const { near, eth0 } = connected(t);
	for (const [prefix, gateways] of [
		['10.1.0.0/24', ['10.0.0.2', '10.0.0.3']],
		['fd01::/64', ['fd00::2', 'fd00::3']],
	] as const) {
		const hops = gateways.map((gateway) => ({ interfaceIndex: eth0.index, gateway: ip(gateway) }));
		const steps = [
			route(prefix, [], { type: 'blackhole' }),
			route(prefix, hops.slice(0, 1)),
			route(prefix, hops),
			route(prefix, hops.slice(1)),
		];
		for (const step of steps) {
			assert.deepEqual(near.rtnetlink.applyNow([{ op: 'replace', route: step }]), []);
			assert.deepEqual(near.rtnetlink.listRoutes({ family: prefix.includes(':') ? 6 : 4, protocol: BIRD }), [step]);
		}
		assert.deepEqual(near.rtnetlink.applyNow([{ op: 'delete', route: steps[3] as Route }]), []);
	}
});

test('10,000 routes go in and out, a part at a time', async (t) => {
	const { near, eth0 } = connected(t);
	const hop = [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }];
	const routes = Array.from({ length: 10_000 }, (_, index) => route(`10.${100 + (index >> 8)}.${index & 0xff}.0/24`, hop));
	const times = [performance.now()];
	assert.deepEqual(await near.rtnetlink.apply(routes.map((route) => ({ op: 'add', route }))), []);
	times.push(performance.now());
	assert.deepEqual(
		(await near.rtnetlink.apply(routes.slice(9_990).map((route) => ({ op: 'add', route })))).map(({ index }) => index),
		[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
	);
	times.push(performance.now());
	assert.equal(near.rtnetlink.listRoutes({ family: 4, protocol: BIRD }).length, 10_000);
	times.push(performance.now());
	assert.deepEqual(await near.rtnetlink.apply(routes.map((route) => ({ op: 'delete', route }))), []);
	times.push(performance.now());
	const [add, , list, remove] = times.slice(1).map((time, index) => (time - (times[index] as number)).toFixed(0));
	t.diagnostic(`add ${add} ms, list ${list} ms, delete ${remove} ms`);
	await assert.rejects(
		near.rtnetlink.apply(
			routes.map((route) => ({ op: 'add', route })),
			AbortSignal.abort(),
		),
		{ name: 'AbortError' },
	);
	assert.equal(near.rtnetlink.listRoutes({ family: 4, protocol: BIRD }).length, 0);
});

test('the kernel is asked for its way to an address', (t) => {
	const { near, eth0 } = connected(t);
	const found = near.rtnetlink.lookupRoute(ip('10.0.0.77'));
	assert.deepEqual([found.nextHops[0]?.interfaceIndex, found.prefSrc], [eth0.index, '10.0.0.1']);
	assert.throws(
		() => near.rtnetlink.lookupRoute(ip('192.0.2.1')),
		(error) => hasErrno(error, 'ENETUNREACH'),
	);
});

test('permanent neighbours and forwarding entries of a VXLAN device are written and listed', (t) => {
	const { near } = connected(t);
	near.rtnetlink.createLink({
		kind: 'vxlan',
		name: 'vxlan.calico',
		vxlan: { vni: 4096, port: 4789, local: ip('10.0.0.1'), learning: false },
	});
	const { index } = linkOf(near, 'vxlan.calico');
	near.rtnetlink.changeLink(index, { up: true });
	const neighbour = { interfaceIndex: index, address: ip('10.65.0.1'), mac: '66:00:00:00:00:01' as Mac, state: 'permanent' } as const;
	const forwarding = { interfaceIndex: index, mac: '66:00:00:00:00:01' as Mac, destination: ip('10.0.0.2'), state: 'permanent' } as const;
	assert.deepEqual(near.rtnetlink.applyNow([neighbour, forwarding].map((neighbour) => ({ op: 'replace', neighbour }))), []);
	assert.deepEqual(near.rtnetlink.listNeighbours({ family: 4, interfaceIndex: index }), [neighbour]);
	assert.deepEqual(near.rtnetlink.listNeighbours({ family: 'bridge', interfaceIndex: index }), [forwarding]);
	assert.match(near.run('bridge', 'fdb', 'show', 'dev', 'vxlan.calico'), /66:00:00:00:00:01 dst 10\.0\.0\.2 self permanent/);
	assert.deepEqual(near.rtnetlink.applyNow([neighbour, forwarding].map((neighbour) => ({ op: 'delete', neighbour }))), []);
	assert.deepEqual(near.rtnetlink.listNeighbours({ family: 'bridge', interfaceIndex: index }), []);
});

test('changes of devices, addresses, routes and neighbours are reported in order with who made them', async (t) => {
	const { near, eth0 } = connected(t);
	const events = monitored(t, near, ['link', 'address', 'route', 'neighbour']);
	const added = route('10.1.0.0/24', [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }]);
	const moved = route('10.1.0.0/24', [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.3') }]);
	near.rtnetlink.applyNow([
		{ op: 'add', route: added },
		{ op: 'replace', route: moved },
		{ op: 'delete', route: moved },
	]);
	near.run('ip', 'address', 'add', '10.8.0.1/32', 'dev', 'eth0');
	near.run('ip', 'neighbour', 'add', '10.0.0.5', 'lladdr', '02:00:00:00:00:05', 'dev', 'eth0');
	near.run('ip', 'link', 'set', 'eth0', 'mtu', '1400');
	await until(() => events.some((event) => event.kind === 'link' && event.link.mtu === 1400), 'the new MTU');
	const ours = events.filter((event) => event.kind === 'route' && event.portId === near.rtnetlink.portId);
	assert.deepEqual(
		ours.map((event) => event.kind === 'route' && [event.change, event.replaced, event.route]),
		[
			['new', false, added],
			['new', true, moved],
			['delete', false, moved],
		],
	);
	assert.ok(events.some((event) => event.kind === 'address' && event.address.address === '10.8.0.1' && event.change === 'new'));
	assert.ok(events.some((event) => event.kind === 'neighbour' && event.neighbour.mac === '02:00:00:00:00:05'));
});

test('only the families asked for are reported', async (t) => {
	const { near, eth0 } = connected(t);
	const events: RtEvent[] = [];
	const monitor = new RtnetlinkMonitor({
		namespaceFd: near.fd,
		groups: ['route'],
		families: [6],
		onEvents: (batch) => events.push(...batch),
	});
	t.after(() => monitor[Symbol.dispose]());
	near.rtnetlink.applyNow([
		{ op: 'add', route: route('10.1.0.0/24', [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }]) },
		{ op: 'add', route: route('fd01::/64', [{ interfaceIndex: eth0.index, gateway: ip('fd00::2') }]) },
	]);
	await until(() => events.length > 0, 'an event');
	assert.deepEqual(
		events.map((event) => event.kind === 'route' && event.route.destination),
		['fd01::/64'],
	);
});

test('a monitor that cannot keep up asks for a new listing and goes on', async (t) => {
	const { near, eth0 } = connected(t);
	const events = monitored(t, near, ['route']);
	const hop = [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }];
	// all in one go, so that the thread has no time to read
	for (let index = 0; index < 120; index++) {
		const chunk = Array.from({ length: 500 }, (_, at) => route(`11.${index}.${at >> 1}.${(at & 1) * 128}/25`, hop));
		near.rtnetlink.applyNow(chunk.map((route) => ({ op: 'add', route })));
	}
	await until(() => events.some(({ kind }) => kind === 'resync'), 'the loss is reported');
	events.length = 0;
	const late = route('12.0.0.0/8', hop);
	near.rtnetlink.applyNow([{ op: 'add', route: late }]);
	await until(
		() => events.some((event) => event.kind === 'route' && event.route.destination === late.destination),
		'events after the loss',
	);
});

test('a device that goes down takes its routes without a word, so the link event is what counts', async (t) => {
	const { near, eth0 } = connected(t);
	near.rtnetlink.applyNow([{ op: 'add', route: route('10.1.0.0/24', [{ interfaceIndex: eth0.index, gateway: ip('10.0.0.2') }]) }]);
	const events = monitored(t, near, ['link', 'route']);
	near.rtnetlink.changeLink(eth0.index, { up: false });
	await until(() => events.some((event) => event.kind === 'link' && !event.link.up), 'the link event');
	assert.deepEqual(near.rtnetlink.listRoutes({ family: 4, protocol: BIRD }), []);
	assert.ok(!events.some((event) => event.kind === 'route' && event.route.protocol === BIRD));
});
