import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterSet, PeerConfig } from '#bgp';
import { cidr, ip } from '#net';
import { peerConfig, routerConfig } from '../../src/bgp/testing/config.ts';
import { BgpLab, type Bird, type Host, until } from '../support/bgp-lab.ts';

/** A BIRD with one IPv4 route and one session; `options` are lines of the BGP protocol. */
function birdConfig(own: Host, peer: Host, as: readonly [own: number, peer: number], route = '', options = ''): string {
	const statics = route === '' ? '' : `protocol static { ipv4; route ${route} blackhole; }`;
	return `router id ${own.address};
protocol device {}
protocol direct { ipv4; ipv6; }
${statics}
protocol bgp ours { local ${own.address} as ${as[0]}; neighbor ${peer.address} as ${as[1]}; connect delay time 1; ${options}
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
}

const block = (prefix: string) => ({ prefix: cidr(prefix), kind: 'block' as const });

/** The attributes BIRD has for a route. */
async function attributes(bird: Bird, prefix: string): Promise<string> {
	return await until(`BIRD has ${prefix}`, () => {
		const answer = bird.ask('show', 'route', 'all', prefix);
		return answer.includes('BGP.origin') ? answer : undefined;
	});
}

function exporting(peer: PeerConfig, set: FilterSet): PeerConfig {
	return {
		...peer,
		families: peer.families.map((entry) => ({ ...entry, exportFilter: { rules: [{ match: {}, set }], otherwise: 'accept' } })),
	};
}

test('as a route reflector we pass routes between BIRD clients, with originator and cluster', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	lab.bird(first, birdConfig(first, ours, [64512, 64512], '192.0.2.0/24'));
	const bird = lab.bird(second, birdConfig(second, ours, [64512, 64512]));
	const daemon = lab.daemon(ours);
	const clients = [first, second].map(({ address }) => peerConfig(address, 64512, { routeReflectorClusterId: ip('244.0.0.7') }));
	await daemon.configure(routerConfig(ours.address, 64512, { peers: clients }));
	const found = await attributes(bird, '192.0.2.0/24');
	assert.match(found, /BGP\.originator_id: 10\.99\.0\.2/);
	assert.match(found, /BGP\.cluster_list: 244\.0\.0\.7/);
	assert.match(found, /BGP\.next_hop: 10\.99\.0\.2/);
	assert.match(found, /BGP\.local_pref: 100/);
});

test('without reflection, what an internal peer said stays with us', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	lab.bird(first, birdConfig(first, ours, [64512, 64512], '192.0.2.0/24'));
	const bird = lab.bird(second, birdConfig(second, ours, [64512, 64512]));
	const daemon = lab.daemon(ours);
	const peers = [first, second].map(({ address }) => peerConfig(address, 64512));
	await daemon.configure(routerConfig(ours.address, 64512, { peers, originate: [block('10.65.0.0/26')] }));
	await attributes(bird, '10.65.0.0/26');
	await until('we have the route', async () => ((await daemon.inspect()).value?.peers[0]?.received[4] === 1 ? true : undefined));
	assert.doesNotMatch(bird.ask('show', 'route'), /192\.0\.2\.0/);
});

test('filters add communities of both kinds, prepend, and change while the session stays', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001]));
	const daemon = lab.daemon(ours);
	const base = peerConfig(theirs.address, 65002);
	const config = (set: FilterSet) =>
		routerConfig(ours.address, 65001, { peers: [exporting(base, set)], originate: [block('10.65.0.0/26')] });
	await daemon.configure(config({ addCommunities: ['65001:7', '65001:1:2'], prependAsPath: [65100, 65101] }));
	const found = await attributes(bird, '10.65.0.0/26');
	assert.match(found, /BGP\.as_path: 65001 65100 65101/);
	assert.match(found, /BGP\.community: \(65001,7\)/);
	assert.match(found, /BGP\.large_community: \(65001, 1, 2\)/);
	const { sinceMs } = await daemon.established(base.name);
	await daemon.configure(config({ addCommunities: ['65001:8'] }));
	await until('BIRD has the new community', () =>
		bird.ask('show', 'route', 'all', '10.65.0.0/26').includes('(65001,8)') ? true : undefined,
	);
	assert.match(bird.ask('show', 'route', 'all', '10.65.0.0/26'), /BGP\.as_path: 65001\n/);
	assert.equal((await daemon.peer(base.name))?.sinceMs, sinceMs);
});

test('a changed import filter makes BIRD send its routes again', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], '192.0.2.0/24'));
	const daemon = lab.daemon(ours);
	const base = peerConfig(theirs.address, 65002);
	const importing = (otherwise: 'accept' | 'reject') =>
		routerConfig(ours.address, 65001, {
			peers: [{ ...base, families: base.families.map((entry) => ({ ...entry, importFilter: { rules: [], otherwise } })) }],
		});
	const received = async (count: number) =>
		await until(`${count} routes are received`, async () => ((await daemon.peer(base.name))?.received[4] === count ? true : undefined));
	await daemon.configure(importing('accept'));
	await received(1);
	const { sinceMs } = await daemon.established(base.name);
	await daemon.configure(importing('reject'));
	await received(0);
	await daemon.configure(importing('accept'));
	await received(1);
	assert.equal((await daemon.peer(base.name))?.sinceMs, sinceMs);
});

test('a session may speak for another AS than the router’s own', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours, [65002, 64999]));
	const daemon = lab.daemon(ours);
	const peers = [peerConfig(theirs.address, 65002, { localAsNumber: 64999 })];
	await daemon.configure(routerConfig(ours.address, 65001, { peers, originate: [block('10.65.0.0/26')] }));
	assert.match(await attributes(bird, '10.65.0.0/26'), /BGP\.as_path: 64999\n/);
});

test('our own AS in a path is a loop, unless it is allowed', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const config = birdConfig(theirs, ours, [65002, 65001], '192.0.2.0/24');
	lab.bird(
		theirs,
		config.replace(
			'export where source = RTS_STATIC',
			'export filter { if source != RTS_STATIC then reject; bgp_path.prepend(65001); accept; }',
		),
	);
	const daemon = lab.daemon(ours);
	const peer = peerConfig(theirs.address, 65002);
	const received = async () => (await daemon.peer(peer.name))?.received[4];
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peer] }));
	await daemon.established(peer.name);
	assert.equal(await received(), 0);
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [{ ...peer, allowedLocalAs: 1 }] }));
	await until('the route is taken', async () => ((await received()) === 1 ? true : undefined));
});

test('next hops to external and internal peers, by mode', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	lab.bird(first, birdConfig(first, ours, [65002, 65001], '192.0.2.0/24'));
	for (const [as, nextHop, expected] of [
		[65003, 'auto', ours.address],
		[65003, 'keep', first.address],
		[65001, 'auto', first.address],
		[65001, 'self', ours.address],
	] as const) {
		const bird = lab.bird(second, birdConfig(second, ours, [as, 65001]));
		const daemon = lab.daemon(ours);
		await daemon.configure(
			routerConfig(ours.address, 65001, { peers: [peerConfig(first.address, 65002), peerConfig(second.address, as, { nextHop })] }),
		);
		const found = await attributes(bird, '192.0.2.0/24');
		assert.ok(found.includes(`BGP.next_hop: ${expected}\n`), `AS ${as}, ${nextHop}: ${found}`);
		await bird.kill('SIGKILL');
		await daemon.kill('SIGKILL');
	}
});
