import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PeerConfig } from '#bgp';
import { cidr, ip } from '#net';
import { ACCEPT_ALL, peerConfig, routerConfig } from '../../src/bgp/testing/config.ts';
import { BgpLab, type Host, until } from '../support/bgp-lab.ts';

const HEAD = 'protocol device {}\nprotocol direct { ipv4; ipv6; }\n';

/** A BIRD with routes of both families and one session. `options` are lines of the BGP protocol. */
function birdConfig(own: Host, peer: Host, as: readonly [own: number, peer: number], options = '', channel = ''): string {
	const filters = `import all; export where source = RTS_STATIC; ${channel}`;
	return `router id ${own.address};
${HEAD}
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol static { ipv6; route 2001:db8:1::/48 blackhole; }
protocol bgp ours { local ${own.address} as ${as[0]}; neighbor ${peer.address} as ${as[1]}; ${options}
  ipv4 { ${filters} };
  ipv6 { ${filters} next hop address ${own.address6}; };
}
`;
}

function nameOf(host: Host): string {
	return `Node_${host.address.replaceAll('.', '_')}`;
}

const blocks = (...prefixes: readonly string[]) => prefixes.map((prefix) => ({ prefix: cidr(prefix), kind: 'block' as const }));

function kernelRoutes(host: Host): string {
	return host.run('ip', 'route', 'show') + host.run('ip', '-6', 'route', 'show');
}

async function kernelHas(host: Host, text: string, present = true): Promise<void> {
	await until(`the kernel of ${host.address} ${present ? 'has' : 'lost'} ${text}`, () =>
		kernelRoutes(host).includes(text) === present ? true : undefined,
	);
}

test('routes of both families pass both ways over one external session, into both kernels’ hands', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001]));
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)], originate: blocks('10.65.0.0/26', 'fd65::/122') }),
	);
	await daemon.established(nameOf(theirs));
	await bird.route('10.65.0.0/26');
	await bird.route('fd65::/122');
	await kernelHas(ours, `192.0.2.0/24 via ${theirs.address} dev eth0 proto bird`);
	await kernelHas(ours, `2001:db8:1::/48 via ${theirs.address6} dev eth0 proto bird`);
	assert.match(kernelRoutes(ours), /blackhole 10\.65\.0\.0\/26 proto bird/);
	assert.match(kernelRoutes(ours), /blackhole fd65::\/122 dev lo proto bird/);
	assert.match(bird.ask('show', 'route', 'all', '10.65.0.0/26'), /BGP\.as_path: 65001\n.*\n?.*BGP\.next_hop: 10\.99\.0\.1/s);
	bird.configure(birdConfig(theirs, ours, [65002, 65001]).replace('route 192.0.2.0/24 blackhole;', ''));
	await kernelHas(ours, '192.0.2.0/24', false);
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)] }));
	await bird.route('10.65.0.0/26', false);
	assert.doesNotMatch(kernelRoutes(ours), /blackhole/);
});

test('inside an AS, with path identifiers, local preference and sessions of each family', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const channel = 'import all; export where source = RTS_STATIC; add paths on;';
	const bird = lab.bird(
		theirs,
		`router id ${theirs.address};
${HEAD}
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol static { ipv6; route 2001:db8:1::/48 blackhole; }
protocol bgp four { local ${theirs.address} as 64512; neighbor ${ours.address} as 64512; graceful restart; ipv4 { ${channel} }; }
protocol bgp six { local ${theirs.address6} as 64512; neighbor ${ours.address6} as 64512; graceful restart; ipv6 { ${channel} }; }
`,
	);
	const daemon = lab.daemon(ours);
	const only = (family: 4 | 6): Partial<PeerConfig> => ({
		families: [
			{
				family,
				importFilter: ACCEPT_ALL,
				exportFilter: {
					rules: [{ match: { source: 'originated' }, set: { localPreference: 2147482623 }, action: 'accept' }],
					otherwise: 'reject',
				},
			},
		],
	});
	await daemon.configure(
		routerConfig(ours.address, 64512, {
			peers: [peerConfig(theirs.address, 64512, only(4)), peerConfig(theirs.address6, 64512, only(6))],
			originate: blocks('10.65.0.0/26', 'fd65::/122'),
		}),
	);
	await bird.route('10.65.0.0/26');
	await bird.route('fd65::/122');
	await kernelHas(ours, `192.0.2.0/24 via ${theirs.address} dev eth0 proto bird`);
	await kernelHas(ours, `2001:db8:1::/48 via ${theirs.address6} dev eth0 proto bird`);
	assert.match(bird.ask('show', 'route', 'all', '10.65.0.0/26'), /BGP\.local_pref: 2147482623/);
	assert.match(bird.ask('show', 'protocols', 'all', 'four'), /Neighbor capabilities.*ADD-PATH\s+RX: ipv4/s);
});

test('a session with a password comes up with the right key only, also when it is changed later', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(
		theirs,
		birdConfig(theirs, ours, [65002, 65001], 'password "rack-7-secret"; connect delay time 1; connect retry time 2;'),
	);
	const daemon = lab.daemon(ours);
	const config = (password: string) => routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002, { password })] });
	await daemon.configure(config('wrong'));
	await sleep(3000);
	assert.notEqual((await daemon.peer(nameOf(theirs)))?.state, 'Established');
	await daemon.configure(config('rack-7-secret'));
	await daemon.established(nameOf(theirs));
	await until('BIRD sees the session', () => (/Established/.test(bird.ask('show', 'protocols', 'ours')) ? true : undefined));
	assert.doesNotMatch(JSON.stringify(daemon.logs), /rack-7-secret|wrong/);
});

test('a passive session with a password accepts a peer that connects with the key', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'password "k"; connect delay time 1; connect retry time 1;'));
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002, { password: 'k', passive: true })] }),
	);
	await daemon.established(nameOf(theirs));
});

test('with TTL security on both sides the session comes up; a peer that sends from too far away is not heard', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const secure = birdConfig(theirs, ours, [65002, 65001], 'ttl security on; multihop 1; connect delay time 1; connect retry time 1;');
	const bird = lab.bird(theirs, secure);
	const daemon = lab.daemon(ours);
	const peer = peerConfig(theirs.address, 65002, { ttlSecurityHops: 1 });
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peer] }));
	await daemon.established(nameOf(theirs));
	bird.configure(secure.replace('ttl security on; multihop 1;', 'multihop 3;'));
	await until('the session is lost', async () => ((await daemon.peer(nameOf(theirs)))?.state === 'Established' ? undefined : true));
	await sleep(3000);
	assert.notEqual((await daemon.peer(nameOf(theirs)))?.state, 'Established');
	bird.configure(secure);
	await daemon.established(nameOf(theirs));
});

test('a peer with a wrong AS is refused and both sides say so', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours, [65009, 65001], 'connect delay time 1;'));
	const daemon = lab.daemon(ours);
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)] }));
	const info = await until('we say why', async () => {
		const peer = await daemon.peer(nameOf(theirs));
		return peer !== undefined && peer.info.includes('AS') ? peer.info : undefined;
	});
	assert.match(info, /Wrong AS: the peer says it is AS 65009, configured is AS 65002|bad peer AS/);
	await until('BIRD says why', () => (/Bad peer AS/.test(bird.ask('show', 'protocols', 'ours')) ? true : undefined));
});

test('a peer that stops answering is given up after the hold time, and comes back', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(
		theirs,
		birdConfig(theirs, ours, [65002, 65001], 'hold time 3; keepalive time 1; connect delay time 1; error wait time 1, 2;'),
	);
	const daemon = lab.daemon(ours);
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)] }));
	await daemon.established(nameOf(theirs));
	await kernelHas(ours, '192.0.2.0/24');
	bird.signal('SIGSTOP');
	const info = await until('the hold timer expires', async () => {
		const peer = await daemon.peer(nameOf(theirs));
		return peer?.state === 'Established' ? undefined : peer?.info;
	});
	assert.match(info, /Hold timer expired/);
	await kernelHas(ours, '192.0.2.0/24', false);
	bird.signal('SIGCONT');
	await daemon.established(nameOf(theirs));
	await kernelHas(ours, '192.0.2.0/24');
});

test('when both sides connect at once one connection is left, whoever has the higher router ID', async () => {
	for (const routerId of ['1.1.1.1', '250.1.1.1']) {
		await using lab = new BgpLab();
		const [ours, theirs] = [lab.host(), lab.host()];
		const daemon = lab.daemon(ours);
		const bird = lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1; connect retry time 1;'));
		await daemon.configure(routerConfig(routerId, 65001, { peers: [peerConfig(theirs.address, 65002)] }));
		await daemon.established(nameOf(theirs));
		await until('BIRD agrees', () => (/Established/.test(bird.ask('show', 'protocols', 'ours')) ? true : undefined));
		await sleep(1500);
		assert.equal((await daemon.peer(nameOf(theirs)))?.state, 'Established');
		const connections = ours
			.run('ss', '-Htn', 'state', 'established')
			.split('\n')
			.filter((line) => line.includes(':179'));
		assert.equal(connections.length, 1);
	}
});

test('a configuration for one peer leaves the session of another alone', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	const birds = [first, second].map((host, index) =>
		lab.bird(host, birdConfig(host, ours, [65002 + index, 65001], 'connect delay time 1;')),
	);
	const daemon = lab.daemon(ours);
	const peers = [peerConfig(first.address, 65002), peerConfig(second.address, 65003)] as const;
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peers[0]] }));
	const { sinceMs } = await daemon.established(nameOf(first));
	const uptime = birds[0]?.ask('show', 'protocols', 'ours').split('\n')[2];
	await daemon.configure(routerConfig(ours.address, 65001, { peers, originate: blocks('10.65.0.0/26') }));
	await daemon.established(nameOf(second));
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peers[0]], originate: blocks('10.65.0.0/26') }));
	await birds[0]?.route('10.65.0.0/26');
	assert.equal((await daemon.peer(nameOf(first)))?.sinceMs, sinceMs);
	assert.equal(birds[0]?.ask('show', 'protocols', 'ours').split('\n')[2], uptime);
});

test('two external paths share the traffic, and one is left when the other goes', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	const birds = [first, second].map((host, index) =>
		lab.bird(host, birdConfig(host, ours, [65002 + index, 65001], 'connect delay time 1;')),
	);
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, { peers: [peerConfig(first.address, 65002), peerConfig(second.address, 65003)] }),
	);
	await until('both next hops are there', () => {
		const route = ours.run('ip', 'route', 'show', '192.0.2.0/24');
		const route6 = ours.run('ip', '-6', 'route', 'show', '2001:db8:1::/48');
		return [first, second].every(({ address, address6 }) => route.includes(`via ${address} `) && route6.includes(`via ${address6} `))
			? true
			: undefined;
	});
	await birds[1]?.kill('SIGTERM');
	await kernelHas(ours, `192.0.2.0/24 via ${first.address} dev eth0 proto bird`);
	await kernelHas(ours, `2001:db8:1::/48 via ${first.address6} dev eth0 proto bird`);
});

test('routes of others in the kernel are announced, never changed, and keep their place', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	ours.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '10.99.0.250', 'proto', 'static', 'metric', '50');
	ours.run('ip', 'route', 'add', 'unreachable', '203.0.113.0/24', 'proto', '99');
	ours.run('ip', 'route', 'add', '192.0.2.0/24', 'via', '10.99.0.251', 'proto', 'boot');
	const bird = lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1;'));
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)], originate: blocks('10.65.0.0/26') }),
	);
	await bird.route('198.51.100.0/24');
	await until('we notice whose place it is', () =>
		daemon.logs.some(({ message }) => String(message).includes('another owner')) ? true : undefined,
	);
	assert.match(kernelRoutes(ours), /192\.0\.2\.0\/24 via 10\.99\.0\.251/);
	ours.run('ip', 'route', 'add', '10.77.0.7/32', 'dev', 'eth0', 'proto', 'boot');
	await bird.route('10.77.0.7/32');
	ours.run('ip', 'route', 'del', '10.77.0.7/32');
	await bird.route('10.77.0.7/32', false);
	ours.run('ip', 'route', 'del', '192.0.2.0/24', 'proto', 'boot');
	await kernelHas(ours, `192.0.2.0/24 via ${theirs.address} dev eth0 proto bird`);
	await daemon.kill('SIGKILL');
	assert.match(kernelRoutes(ours), /198\.51\.100\.0\/24 via 10\.99\.0\.250 dev eth0 proto static metric 50/);
	assert.match(kernelRoutes(ours), /unreachable 203\.0\.113\.0\/24/);
});

test('a route of ours that somebody removes comes back, and so do all after the link was down', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1;'));
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)], originate: blocks('10.65.0.0/26') }),
	);
	const route = `192.0.2.0/24 via ${theirs.address} dev eth0 proto bird`;
	await kernelHas(ours, route);
	ours.run('ip', 'route', 'del', '192.0.2.0/24');
	await kernelHas(ours, route);
	ours.run('ip', 'route', 'del', '10.65.0.0/26');
	await kernelHas(ours, 'blackhole 10.65.0.0/26');
	ours.run('ip', 'link', 'set', 'eth0', 'down');
	ours.run('ip', 'link', 'set', 'eth0', 'up');
	await kernelHas(ours, route);
});

test('the tools that talk to BIRD understand our control socket', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1;'));
	const daemon = lab.daemon(ours);
	await daemon.configure(
		routerConfig(ours.address, 65001, {
			peers: [peerConfig(theirs.address, 65002), peerConfig('10.99.0.77', 65077)],
			originate: blocks('10.65.0.0/26'),
		}),
	);
	await daemon.established(nameOf(theirs));
	await kernelHas(ours, '192.0.2.0/24');
	const ask = (...command: readonly string[]): string => ours.run('birdc', '-s', daemon.controlSocket, ...command);
	assert.match(ask('show', 'status'), /Router ID is 10\.99\.0\.1\n.*Daemon is up and running/s);
	const protocols = ask('show', 'protocols');
	assert.match(protocols, /^name\s+proto\s+table\s+state\s+since\s+info$/m);
	assert.match(protocols, /^Node_10_99_0_2 BGP\s+master\s+up\s+\d\d:\d\d:\d\d\s+Established/m);
	assert.match(protocols, /^Node_10_99_0_77 BGP\s+master\s+start\s+\S+\s+(Active|Connect)/m);
	assert.match(ask('show', 'protocols', 'all', 'Node_10_99_0_2'), /BGP state:\s+Established\n\s+Neighbor address: 10\.99\.0\.2/);
	const routes = ask('show', 'route');
	assert.match(
		routes,
		/^192\.0\.2\.0\/24\s+via 10\.99\.0\.2 on eth0 \[Node_10_99_0_2 \S+ from 10\.99\.0\.2\] \* \(100\/0\) \[AS65002i\]$/m,
	);
	assert.match(routes, /^10\.65\.0\.0\/26\s+blackhole \[static1 \S+\] \* \(200\)$/m);
	assert.match(routes, /^10\.99\.0\.0\/24\s+dev eth0 \[direct1 \S+\] \* \(240\)$/m);
	const refusal = (text: string) => (error: unknown) => String((error as { stdout: unknown }).stdout).includes(text);
	assert.throws(() => ask('show', 'protocols', 'nobody'), refusal('No protocols match'));
	assert.throws(() => ask('configure'), refusal('syntax error'));
});

test('a refused configuration is said with its field and the old one goes on', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1;'));
	const daemon = lab.daemon(ours);
	const config = routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002)] });
	await daemon.configure(config);
	const { sinceMs } = await daemon.established(nameOf(theirs));
	await assert.rejects(daemon.configure({ ...config, routerId: ip('0.0.0.0') }), /routerId/);
	await assert.rejects(daemon.configure({ ...config, kernel: { ...config.kernel, table: 99 } }), /kernel\.table/);
	assert.equal((await daemon.peer(nameOf(theirs)))?.sinceMs, sinceMs);
});

test('a port that another daemon still holds is taken over when it is free', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const former = lab.bird(ours, birdConfig(ours, theirs, [65001, 65002]));
	lab.bird(theirs, birdConfig(theirs, ours, [65002, 65001], 'connect delay time 1; connect retry time 1; error wait time 1, 1;'));
	await until('the former daemon is up', () => (/Established/.test(former.ask('show', 'protocols', 'ours')) ? true : undefined));
	const daemon = lab.daemon(ours);
	await daemon.configure(routerConfig(ours.address, 65001, { peers: [peerConfig(theirs.address, 65002, { passive: true })] }));
	await until('we say what is in the way', () =>
		daemon.logs.some(({ reason }) => String(reason).includes('EADDRINUSE')) ? true : undefined,
	);
	await former.kill('SIGKILL');
	await daemon.established(nameOf(theirs));
});
