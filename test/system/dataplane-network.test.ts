import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointState } from '#dataplane';
import { readSysctl } from '#kernel';
import type { EndpointId } from '#policy';
import { RunningDataplane } from '../support/dataplane-process.ts';
import { DesiredState, endpointIdOf } from '../support/desired-state.ts';
import { addressOf, type Pod, PodBed } from '../support/pod-bed.ts';
import { EchoServer, eventually, probeExpecting } from '../support/probe.ts';

class Node implements AsyncDisposable {
	readonly bed = new PodBed();
	readonly states = new Map<EndpointId, EndpointState[]>();
	readonly desired = new DesiredState();
	readonly running: RunningDataplane;

	constructor(options: ConstructorParameters<typeof RunningDataplane>[1] = {}) {
		const onEndpointState = (id: EndpointId, state: EndpointState): void =>
			void this.states.set(id, [...(this.states.get(id) ?? []), state]);
		this.running = new RunningDataplane(this.bed.node, { onEndpointState, ...options });
	}

	apply(): Promise<unknown> {
		return this.running.dataplane.apply(this.desired.take());
	}

	/** Routes to and on workload interfaces, as `ip` prints them. */
	routes(family: 4 | 6): readonly string[] {
		return this.lines(`-${family}`, 'route', 'show', 'table', 'main').filter((line) => line.includes(' cali') && !line.startsWith('fe80:'));
	}

	neighbours(): readonly string[] {
		return this.lines('-4', 'neigh', 'show', 'nud', 'permanent').filter((line) => line.includes(' cali'));
	}

	ip(...args: readonly string[]): string {
		return this.bed.node.exec('ip', ...args);
	}

	lines(...args: readonly string[]): readonly string[] {
		return this.ip(...args)
			.split('\n')
			.map((line) => line.trim().replaceAll(/\s+/g, ' '))
			.filter((line) => line !== '')
			.sort();
	}

	last(pod: Pod): EndpointState | undefined {
		return this.states.get(endpointIdOf(pod))?.at(-1);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.running[Symbol.asyncDispose]();
		this.bed[Symbol.dispose]();
	}
}

test('an endpoint gets routes, an ARP entry and its interface’s settings', async () => {
	await using node = new Node();
	const pod = node.bed.addPod('one');
	node.desired.endpoint(pod);
	await node.apply();
	assert.deepEqual(node.routes(4), ['10.65.0.2 dev calione scope link metric 1024']);
	assert.deepEqual(node.routes(6), ['fd65::2 dev calione metric 1024 pref medium']);
	assert.deepEqual(node.neighbours(), [`10.65.0.2 dev calione lladdr ${pod.mac} PERMANENT`]);
	const read = (...path: readonly string[]): string => readSysctl(['net', ...path], node.bed.node.fd);
	assert.deepEqual(
		[
			read('ipv4', 'ip_forward'),
			read('ipv6', 'conf', 'all', 'forwarding'),
			...['route_localnet', 'proxy_arp', 'forwarding'].map((name) => read('ipv4', 'conf', 'calione', name)),
			read('ipv4', 'neigh', 'calione', 'proxy_delay'),
			...['proxy_ndp', 'forwarding', 'accept_ra'].map((name) => read('ipv6', 'conf', 'calione', name)),
		],
		['1', '1', '1', '1', '1', '0', '1', '1', '0'],
	);
	assert.deepEqual(node.last(pod), { ready: true });
});

test('an endpoint whose interface is not there yet becomes ready when it comes up', async () => {
	await using node = new Node();
	const pod = node.bed.addPod('one');
	const index = node.bed.node.linkIndex(pod.interfaceName);
	node.bed.node.netlink.changeLink(index, { up: false });
	const absent = { ...pod, interfaceName: 'calitwo' };
	node.desired.endpoint(pod).endpoint(absent, {}, { nets: [] });
	await node.apply();
	const reason = (of: Pod): string | undefined => {
		const state = node.last(of);
		return state === undefined || state.ready ? undefined : state.reason;
	};
	assert.deepEqual([reason(pod), reason(absent)], ['interface-down', 'interface-missing']);
	node.bed.node.netlink.changeLink(index, { up: true });
	await eventually('the endpoint is ready', () => node.last(pod)?.ready === true);
	assert.equal(node.routes(4).length + node.routes(6).length, 2);
	const other = node.bed.addPod('other');
	node.bed.node.netlink.changeLink(node.bed.node.linkIndex(other.interfaceName), { up: false });
	node.bed.node.netlink.changeLink(node.bed.node.linkIndex(other.interfaceName), { name: 'calitwo' });
	await eventually('the interface is seen', () => reason(absent) === 'interface-down');
});

test('routes and ARP entries that others delete or change come back', async () => {
	await using node = new Node();
	const pod = node.bed.addPod('one');
	node.desired.endpoint(pod);
	await node.apply();
	const wanted = [...node.routes(4), ...node.routes(6), ...node.neighbours()];
	const now = (): string => [...node.routes(4), ...node.routes(6), ...node.neighbours()].join('\n');
	for (const [what, ...args] of [
		['an IPv4 route deleted', 'route', 'del', '10.65.0.2'],
		['an IPv4 route led elsewhere', 'route', 'replace', '10.65.0.2', 'dev', 'eth0', 'metric', '1024'],
		['an IPv6 route deleted', '-6', 'route', 'del', 'fd65::2'],
		['an ARP entry deleted', 'neigh', 'del', '10.65.0.2', 'dev', 'calione'],
		['an ARP entry changed', 'neigh', 'replace', '10.65.0.2', 'lladdr', '02:00:00:00:00:99', 'dev', 'calione', 'nud', 'permanent'],
		['the interface taken down', 'link', 'set', 'calione', 'down'],
		['the interface brought up', 'link', 'set', 'calione', 'up'],
	] as const) {
		node.ip(...args);
		if (what !== 'the interface taken down') await eventually(what, () => now() === wanted.join('\n'));
	}
});

test('what an endpoint had goes with it, and with an address it gives up', async () => {
	await using node = new Node();
	const [one, two] = [node.bed.addPod('one'), node.bed.addPod('two')];
	node.desired.endpoint(one).endpoint(two);
	await node.apply();
	node.desired.endpoint(one, {}, { nets: ['fd65::2/128'] as never }).removeEndpoint(two);
	await node.apply();
	assert.deepEqual(node.routes(4), []);
	assert.deepEqual(node.routes(6), ['fd65::2 dev calione metric 1024 pref medium']);
	assert.deepEqual(node.neighbours(), []);
});

test('tracked connections of an address end with it, so that its next owner inherits nothing', async () => {
	await using node = new Node();
	const [one, two] = [node.bed.addPod('one'), node.bed.addPod('two')];
	using _echo = new EchoServer(two.namespace, [{ protocol: 'udp', port: 80 }]);
	node.desired.endpoint(one).endpoint(two);
	await node.apply();
	for (const family of [4, 6] as const)
		assert.ok(await probeExpecting(true, one.namespace, { address: addressOf(two, family), protocol: 'udp', port: 80 }));
	const tracked = (): string => ['ipv4', 'ipv6'].map((family) => node.bed.node.exec('conntrack', '-L', '-f', family)).join('');
	assert.match(tracked(), /dst=10\.65\.0\.3/);
	assert.match(tracked(), /dst=fd65::3/);
	node.desired.removeEndpoint(two);
	await node.apply();
	assert.equal(tracked(), '');
});

test('of two interfaces with one address the newer has the route; the other gets it back', async () => {
	await using node = new Node();
	const [one, two] = [node.bed.addPod('one'), node.bed.addPod('two')];
	const nets = { nets: ['10.65.0.9/32'] as never };
	node.desired.endpoint(one, {}, nets).endpoint(two, {}, nets);
	await node.apply();
	assert.deepEqual(node.routes(4), ['10.65.0.9 dev calitwo scope link metric 1024']);
	node.ip('link', 'set', 'calitwo', 'down');
	await eventually('the other has it', () => node.routes(4)[0]?.includes('calione') === true);
	node.ip('link', 'set', 'calitwo', 'up');
	await eventually('the newer has it again', () => node.routes(4)[0]?.includes('calitwo') === true);
	node.desired.removeEndpoint(two);
	await node.apply();
	assert.deepEqual(node.routes(4), ['10.65.0.9 dev calione scope link metric 1024']);
});

test('routes that the CNI plugin wrote ahead are left for a while; what nobody wants goes then, and foreign routes stay', async () => {
	await using node = new Node({ routeGraceMs: 1500 });
	const pod = node.bed.addPod('one');
	const bed = node.bed.node;
	bed.addRoute('10.65.0.2/32', 'calione');
	bed.addRoute('10.65.0.50/32', 'calione');
	bed.addRoute('fd65::50/128', 'calione');
	bed.addRoute('10.200.0.0/16', 'eth0');
	const foreign = ['default via 172.16.0.2 dev eth0 onlink', '10.200.0.0/16 dev eth0 scope link'];
	await node.apply();
	assert.equal(node.routes(4).length, 2);
	node.desired.endpoint(pod);
	await node.apply();
	assert.ok(node.routes(4).includes('10.65.0.50 dev calione scope link'));
	await eventually('only the wanted routes are left', () => node.routes(4).length === 1 && node.routes(6).length === 1);
	assert.deepEqual(node.routes(4), ['10.65.0.2 dev calione scope link metric 1024']);
	const all = node.lines('-4', 'route', 'show', 'table', 'main');
	for (const route of foreign) assert.ok(all.includes(route), `${route} in ${all.join(', ')}`);
});

test('external routes on workload interfaces stay where the option says so', async () => {
	await using node = new Node({ routeGraceMs: 0, removeExternalRoutes: false });
	const pod = node.bed.addPod('one');
	node.desired.endpoint(pod);
	await node.apply();
	node.ip('route', 'add', '10.66.0.0/24', 'dev', 'calione', 'proto', 'static');
	node.ip('route', 'add', '10.67.0.0/24', 'dev', 'calione', 'proto', '80');
	await eventually('Felix’s route goes', () => !node.routes(4).some((route) => route.startsWith('10.67')));
	assert.ok(node.routes(4).includes('10.66.0.0/24 dev calione proto static scope link'));
});

test('the host does not claim a workload’s own address, so its duplicate address detection finds it free', async () => {
	await using node = new Node();
	const pod = node.bed.addPod('one');
	node.desired.endpoint(pod);
	await node.apply();
	// as arping -D does: who has 10.65.0.2 asks on the pod's link, and the host has proxy_arp on
	const asker = node.bed.addPod('ask');
	node.desired.endpoint(asker);
	await node.apply();
	const table = node.bed.node.exec('nft', 'list', 'table', 'arp', 'tortie');
	assert.match(table, /"calione" \. 10\.65\.0\.2/);
	pod.namespace.exec('ip', 'addr', 'del', '10.65.0.2/32', 'dev', 'eth0');
	pod.namespace.exec('ip', 'addr', 'add', '10.65.0.200/32', 'dev', 'eth0');
	pod.namespace.exec('ip', 'neigh', 'flush', 'all');
	pod.namespace.exec('ip', 'route', 'replace', '10.65.0.2/32', 'dev', 'eth0', 'scope', 'link');
	pod.namespace.exec('ip', 'route', 'replace', '10.65.0.3/32', 'dev', 'eth0', 'scope', 'link');
	const resolves = async (address: string): Promise<boolean> => {
		pod.namespace.status('ping', '-c1', '-W1', address);
		return / REACHABLE| STALE| DELAY/.test(pod.namespace.exec('ip', '-4', 'neigh', 'show', address));
	};
	assert.equal(await resolves('10.65.0.3'), true, 'proxy ARP answers for others');
	assert.equal(await resolves('10.65.0.2'), false, 'and not for the workload itself');
});

test('a thousand routes at once', async (context) => {
	await using node = new Node();
	const pod = node.bed.addPod('one');
	const nets = Array.from({ length: 1000 }, (_, index) => `10.70.${index >> 8}.${index & 255}/32`);
	node.desired.endpoint(pod, {}, { nets: nets as never });
	const started = performance.now();
	await node.apply();
	context.diagnostic(`${Math.round(performance.now() - started)} ms`);
	assert.equal(node.routes(4).length, 1000);
	node.desired.removeEndpoint(pod);
	await node.apply();
	assert.equal(node.routes(4).length, 0);
});
