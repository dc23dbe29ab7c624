import assert from 'node:assert/strict';
import { type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cidr } from '#net';
import { peerConfig, routerConfig } from '../../src/bgp/testing/config.ts';
import { BgpLab, type Host, until } from '../support/bgp-lab.ts';

const HEAD = 'protocol device {}\nprotocol direct { ipv4; ipv6; }\n';

function birdConfig(own: Host, peer: Host, routes = 'route 192.0.2.0/24 blackhole; route 192.0.3.0/24 blackhole;'): string {
	return `router id ${own.address};
${HEAD}
protocol static { ipv4; ${routes} }
protocol static { ipv6; route 2001:db8:1::/48 blackhole; }
protocol bgp ours { local ${own.address} as 65002; neighbor ${peer.address} as 65001; graceful restart; connect delay time 1; connect retry time 1;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; next hop address ${own.address6}; };
}
`;
}

function config(ours: Host, theirs: Host, blocks: readonly string[] = ['10.65.0.0/26', 'fd65::/122']) {
	return routerConfig(ours.address, 65001, {
		peers: [peerConfig(theirs.address, 65002)],
		originate: blocks.map((prefix) => ({ prefix: cidr(prefix), kind: 'block' as const })),
	});
}

const ROUTES = ['192.0.2.0/24', '192.0.3.0/24', '2001:db8:1::/48', '10.65.0.0/26', 'fd65::/122'];

function kernelRoutes(host: Host): string {
	return host.run('ip', 'route', 'show', 'proto', 'bird') + host.run('ip', '-6', 'route', 'show', 'proto', 'bird');
}

async function kernelHasAll(host: Host, routes: readonly string[] = ROUTES): Promise<void> {
	await until('all routes are in the kernel', () => (routes.every((route) => kernelRoutes(host).includes(route)) ? true : undefined));
}

/** Every change of routes in a namespace, as `ip monitor` prints it. */
class RouteWatch {
	readonly lines: string[] = [];
	readonly #child: ChildProcess;

	constructor(host: Host) {
		this.#child = host.spawn(['ip', 'monitor', 'route']);
		if (this.#child.stdout !== null) createInterface({ input: this.#child.stdout }).on('line', (line) => this.lines.push(line));
	}

	/** Waits until the monitor reports, so that nothing is missed afterwards. */
	async ready(host: Host): Promise<void> {
		await until('the monitor is running', () => {
			host.run('ip', 'route', 'replace', 'unreachable', '198.18.0.0/32');
			return this.lines.length > 0 ? true : undefined;
		});
	}

	deleted(): string[] {
		return this.lines.filter((line) => line.startsWith('Deleted'));
	}

	[Symbol.dispose](): void {
		this.#child.kill();
	}
}

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
	test(`after ${signal} the peer and the kernel keep our routes, and the next start removes none that stays`, async () => {
		await using lab = new BgpLab();
		const [ours, theirs] = [lab.host(), lab.host()];
		const bird = lab.bird(theirs, birdConfig(theirs, ours));
		const first = lab.daemon(ours);
		await first.configure(config(ours, theirs));
		await first.established(peerConfig(theirs.address, 65002).name);
		await bird.route('fd65::/122');
		await bird.route('10.65.0.0/26');
		await kernelHasAll(ours);
		using watch = new RouteWatch(ours);
		await watch.ready(ours);
		await first.kill(signal);
		await sleep(1500);
		assert.match(bird.ask('show', 'route'), /10\.65\.0\.0\/26/);
		await kernelHasAll(ours);
		bird.configure(birdConfig(theirs, ours, 'route 192.0.2.0/24 blackhole; route 192.0.4.0/24 blackhole;'));
		const second = lab.daemon(ours);
		await second.configure(config(ours, theirs, ['10.65.0.0/26', '10.65.1.0/26']));
		await second.established(peerConfig(theirs.address, 65002).name);
		await bird.route('10.65.1.0/26');
		await bird.route('10.65.0.0/26');
		await bird.route('fd65::/122', false);
		await kernelHasAll(ours, ['192.0.2.0/24', '192.0.4.0/24', '2001:db8:1::/48', '10.65.0.0/26', '10.65.1.0/26']);
		await until('what is gone has left the kernel', () => (/192\.0\.3\.0|fd65/.test(kernelRoutes(ours)) ? undefined : true));
		assert.equal((await second.inspect()).value?.recovering, false);
		const deleted = watch.deleted().map((line) => /[0-9a-f.:]+\/\d+/.exec(line)?.[0]);
		assert.deepEqual(new Set(deleted), new Set(['192.0.3.0/24', 'fd65::/122']));
	});

test('a restart writes nothing for routes that are as they should be, shared ones and black holes included', async () => {
	await using lab = new BgpLab();
	const [ours, first, second] = [lab.host(), lab.host(), lab.host()];
	const birds = [first, second].map((host) => lab.bird(host, birdConfig(host, ours)));
	const both = routerConfig(ours.address, 65001, {
		peers: [first, second].map(({ address }) => peerConfig(address, 65002)),
		originate: ['10.65.0.0/26', 'fd65::/122'].map((prefix) => ({ prefix: cidr(prefix), kind: 'block' as const })),
	});
	let daemon = lab.daemon(ours);
	await daemon.configure(both);
	await until('both next hops are there, in both families', () => {
		const hops = kernelRoutes(ours).match(/nexthop via/g)?.length ?? 0;
		return hops === 6 ? true : undefined;
	});
	await kernelHasAll(ours);
	using watch = new RouteWatch(ours);
	await watch.ready(ours);
	const before = kernelRoutes(ours);
	await daemon.kill('SIGKILL');
	daemon = lab.daemon(ours);
	await daemon.configure(both);
	for (const { address } of [first, second]) await daemon.established(peerConfig(address, 65002).name);
	await until('recovery has ended', async () => ((await daemon.inspect()).value?.recovering === false ? true : undefined));
	for (const bird of birds) await bird.route('10.65.0.0/26');
	assert.equal(kernelRoutes(ours), before);
	assert.deepEqual(
		watch.lines.filter((line) => !line.includes('198.18.0.0')),
		[],
	);
});

test('when the peer is killed its routes stay, and none flaps when it comes back', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const first = lab.bird(theirs, birdConfig(theirs, ours));
	const daemon = lab.daemon(ours);
	await daemon.configure(config(ours, theirs));
	const { name } = peerConfig(theirs.address, 65002);
	await daemon.established(name);
	await kernelHasAll(ours);
	using watch = new RouteWatch(ours);
	await watch.ready(ours);
	await first.kill('SIGKILL');
	await until('we notice', async () => ((await daemon.peer(name))?.state === 'Established' ? undefined : true));
	await kernelHasAll(ours);
	const second = lab.bird(theirs, birdConfig(theirs, ours, 'route 192.0.2.0/24 blackhole;'), ['-R']);
	await daemon.established(name);
	await second.route('10.65.0.0/26');
	await until('the route that did not come back is removed', () => (kernelRoutes(ours).includes('192.0.3.0') ? undefined : true));
	await kernelHasAll(ours, ['192.0.2.0/24', '2001:db8:1::/48']);
	assert.deepEqual(
		watch.deleted().map((line) => /[0-9a-f.:]+\/\d+/.exec(line)?.[0]),
		['192.0.3.0/24'],
	);
});

test('packets go on without a loss while the daemon is killed and started again, twice', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	theirs.run('ip', 'addr', 'add', '192.0.2.1/32', 'dev', 'lo');
	lab.bird(
		theirs,
		birdConfig(theirs, ours).replace('protocol direct { ipv4; ipv6; }', 'protocol direct { ipv4; ipv6; interface "eth0"; }'),
	);
	let daemon = lab.daemon(ours);
	const { name } = peerConfig(theirs.address, 65002);
	await daemon.configure(config(ours, theirs));
	await kernelHasAll(ours);
	const ping = ours.spawn(['ping', '-q', '-i', '0.01', '192.0.2.1']);
	let output = '';
	ping.stdout?.on('data', (chunk: Buffer) => {
		output += String(chunk);
	});
	for (let round = 0; round < 2; round++) {
		await sleep(500);
		await daemon.kill('SIGKILL');
		await sleep(500);
		daemon = lab.daemon(ours);
		await daemon.configure(config(ours, theirs));
		await daemon.established(name);
		await until('recovery has ended', async () => ((await daemon.inspect()).value?.recovering === false ? true : undefined));
	}
	await sleep(500);
	const ended = new Promise((resolve) => ping.once('exit', resolve));
	ping.kill('SIGINT');
	await ended;
	const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
	assert.ok(Number(sent) > 100, output);
	assert.equal(received, sent, output);
});

test('a second crash before the peers have sent everything still loses nothing', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours));
	const first = lab.daemon(ours);
	await first.configure(config(ours, theirs));
	await bird.route('10.65.0.0/26');
	await kernelHasAll(ours);
	using watch = new RouteWatch(ours);
	await watch.ready(ours);
	await first.kill('SIGKILL');
	for (let round = 0; round < 3; round++) {
		const short = lab.daemon(ours);
		await short.configure(config(ours, theirs));
		await sleep(round * 120);
		await short.kill('SIGKILL');
	}
	const last = lab.daemon(ours);
	await last.configure(config(ours, theirs));
	await last.established(peerConfig(theirs.address, 65002).name);
	await until('recovery has ended', async () => ((await last.inspect()).value?.recovering === false ? true : undefined));
	await kernelHasAll(ours);
	assert.deepEqual(watch.deleted(), []);
});

test('a node whose peer is away for good starts all the same, and cleans up when its time is over', async () => {
	await using lab = new BgpLab();
	const [ours, theirs] = [lab.host(), lab.host()];
	const bird = lab.bird(theirs, birdConfig(theirs, ours));
	const first = lab.daemon(ours);
	await first.configure(config(ours, theirs));
	await kernelHasAll(ours);
	await first.kill('SIGKILL');
	await bird.kill('SIGKILL');
	const second = lab.daemon(ours);
	const base = config(ours, theirs, ['10.65.7.0/26']);
	await second.configure({ ...base, kernel: { ...base.kernel, recoverySeconds: 4 } });
	await until('a new block is there at once', () => (kernelRoutes(ours).includes('10.65.7.0/26') ? true : undefined));
	assert.match(kernelRoutes(ours), /192\.0\.2\.0\/24/);
	await until('the old routes are gone', () => (/192\.0\.2\.0|10\.65\.0\.0/.test(kernelRoutes(ours)) ? undefined : true));
	assert.match(kernelRoutes(ours), /10\.65\.7\.0\/26/);
});
