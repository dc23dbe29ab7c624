import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompiledRule } from '#policy';
import { RunningDataplane } from '../support/dataplane-process.ts';
import { ALLOW, DENY, DesiredState, endpointIdOf, policyName, rule, setId, TCP, tier, UDP } from '../support/desired-state.ts';
import { addressOf, NODE_ADDRESS, NODE_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, type Pod, PodBed } from '../support/pod-bed.ts';
import { ask, datagramSocket, EchoServer, eventually, probeExpecting, type Transport } from '../support/probe.ts';

const PORTS = [80, 81, 8080].flatMap((port) => [
	{ protocol: 'tcp' as const, port },
	{ protocol: 'udp' as const, port },
]);

/** A node with a client and a server pod, and a dataplane that has both. */
class TwoPods implements AsyncDisposable {
	readonly bed = new PodBed();
	readonly client = this.bed.addPod('client');
	readonly server = this.bed.addPod('server');
	readonly echo = new EchoServer(this.server.namespace, PORTS);
	readonly running: RunningDataplane;
	readonly desired = new DesiredState();

	constructor(options: ConstructorParameters<typeof RunningDataplane>[1] = {}) {
		this.running = new RunningDataplane(this.bed.node, options);
		this.desired.endpoint(this.client).endpoint(this.server);
	}

	async apply(): Promise<void> {
		const { endpoints } = await this.running.dataplane.apply(this.desired.take());
		for (const [id, state] of endpoints) assert.ok(state.ready, `${id}: ${JSON.stringify(state)}`);
	}

	/** Checks that exactly what is expected comes through, over both families. */
	async expect(cases: Readonly<Record<string, boolean>>, from: Pod = this.client, to: Pod = this.server): Promise<void> {
		const checks = Object.entries(cases).flatMap(([what, expected]) =>
			([4, 6] as const).map(async (family) => {
				const [protocol, port] = what.split('/') as [Transport, string];
				const target = { address: addressOf(to, family), protocol, port: Number(port) };
				assert.equal(await probeExpecting(expected, from.namespace, target), expected, `${what} over IPv${family}`);
			}),
		);
		await Promise.all(checks);
	}

	ping(family: 4 | 6, expected: boolean): void {
		const waits = expected ? ['1', '4', '16'] : ['0.3'];
		const address = addressOf(this.server, family);
		const isAnswered = waits.some((seconds) => this.client.namespace.status('ping', '-c1', `-W${seconds}`, address) === 0);
		assert.equal(isAnswered, expected, `ping over IPv${family}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.running[Symbol.asyncDispose]();
		this.echo[Symbol.dispose]();
		this.bed[Symbol.dispose]();
	}
}

const OPEN = { 'tcp/80': true, 'tcp/81': true, 'udp/80': true, 'udp/81': true };
const CLOSED = { 'tcp/80': false, 'tcp/81': false, 'udp/80': false, 'udp/81': false };

function tcpPort(port: number): CompiledRule {
	return rule({ action: 'Allow', protocol: TCP, destination: { ports: [{ min: port, max: port }] } });
}

test('pods on one node talk over both families when everything is allowed', async () => {
	await using pods = new TwoPods();
	await pods.apply();
	await pods.expect(OPEN);
	pods.ping(4, true);
	pods.ping(6, true);
});

test('a policy for incoming traffic allows what it names and nothing else', async () => {
	await using pods = new TwoPods();
	pods.desired.policy('web', { ingress: [tcpPort(80)] }).endpoint(pods.server, { ingress: tier('web') });
	await pods.apply();
	await pods.expect({ ...CLOSED, 'tcp/80': true });
	pods.ping(4, false);
});

test('a policy for outgoing traffic is kept by the sender, whatever the receiver allows', async () => {
	await using pods = new TwoPods();
	const udp = rule({ action: 'Allow', protocol: UDP });
	pods.desired.policy('out', { egress: [udp] }).endpoint(pods.client, { egress: tier('out') });
	await pods.apply();
	await pods.expect({ ...CLOSED, 'udp/80': true, 'udp/81': true });
});

test('tiers: Pass goes on to the next tier, and the end of a tier denies or passes as it says', async () => {
	await using pods = new TwoPods();
	const pass = (port: number): CompiledRule => rule({ action: 'Pass', protocol: TCP, destination: { ports: [{ min: port, max: port }] } });
	pods.desired
		.policy('first', { ingress: [pass(80), tcpPort(81)] })
		.policy('never', { ingress: [DENY] })
		.policy('second', { ingress: [tcpPort(80)] })
		.endpoint(pods.server, {
			ingress: {
				tiers: [
					{ name: 'admin', defaultAction: 'Deny', policies: [policyName('first')] },
					{ name: 'app', defaultAction: 'Deny', policies: [policyName('second')] },
				],
				profiles: [],
			},
		});
	await pods.apply();
	await pods.expect({ ...CLOSED, 'tcp/80': true, 'tcp/81': true, 'tcp/8080': false });
	pods.desired.endpoint(pods.server, {
		ingress: {
			tiers: [
				{ name: 'admin', defaultAction: 'Pass', policies: [policyName('first'), policyName('never')] },
				{ name: 'app', defaultAction: 'Deny', policies: [policyName('second')] },
			],
			profiles: [],
		},
	});
	await pods.apply();
	await pods.expect({ 'tcp/80': true, 'tcp/81': true, 'tcp/8080': false });
	pods.desired.policy('never', {}).policy('second', { ingress: [ALLOW] });
	await pods.apply();
	await pods.expect({ ...OPEN, 'tcp/8080': true });
});

test('ports by number, range and name are alternatives; excluded ones win', async () => {
	await using pods = new TwoPods();
	const addresses = pods.server.addresses;
	pods.desired
		.ipSet(
			'n:web',
			'ip-port',
			addresses.flatMap((address) => [`${address},tcp:8080`, `${address},udp:81`]),
		)
		.policy('ports', {
			ingress: [
				rule({
					action: 'Allow',
					destination: { ports: [{ min: 80, max: 80 }], namedPorts: [setId('n:web')], notPorts: [{ min: 8000, max: 8079 }] },
				}),
			],
		})
		.endpoint(pods.server, { ingress: tier('ports') });
	await pods.apply();
	await pods.expect({ 'tcp/80': true, 'udp/80': true, 'tcp/81': false, 'udp/81': true, 'tcp/8080': true, 'udp/8080': false });
	pods.desired.ipSet('n:web', 'ip-port', [`${addresses[0]},tcp:81`]);
	await pods.apply();
	const at = (port: number, address = addresses[0] as string): Promise<boolean> =>
		probeExpecting(port === 81 && address === addresses[0], pods.client.namespace, { address, protocol: 'tcp', port });
	assert.deepEqual([await at(81), await at(8080), await at(81, addresses[1])], [true, false, false]);
});

test('nets, excluded nets and sets decide by address, and a set takes prefixes as well', async () => {
	await using pods = new TwoPods();
	const other = pods.bed.addPod('other');
	const wide = rule({
		action: 'Allow',
		source: { nets: ['10.65.0.0/16', 'fd65::/64'] as never, notNets: ['10.65.0.4/31', 'fd65::4/128'] as never },
	});
	pods.desired
		.endpoint(other)
		.policy('nets', { ingress: [wide] })
		.endpoint(pods.server, { ingress: tier('nets') });
	await pods.apply();
	await pods.expect(OPEN);
	await pods.expect(CLOSED, other);

	const bySet = rule({ action: 'Allow', source: { sets: [setId('s:some')], notSets: [setId('s:not')] } });
	pods.desired
		.ipSet(
			's:some',
			'net',
			other.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
		)
		.ipSet('s:not', 'net', [])
		.policy('nets', { ingress: [bySet] });
	await pods.apply();
	await pods.expect(CLOSED);
	await pods.expect(OPEN, other);
	pods.desired.ipSet('s:some', 'net', ['0.0.0.0/0', '::/0']);
	await pods.apply();
	await pods.expect(OPEN);
	pods.desired.ipSet('s:not', 'net', ['10.65.0.0/30', 'fd65::/126']);
	await pods.apply();
	await pods.expect(CLOSED);
	await pods.expect(OPEN, other);
});

test('ICMP by type and code, over both families', async () => {
	await using pods = new TwoPods();
	const echo = (type: number, code?: number): Partial<CompiledRule> => ({ icmp: { type, code } });
	pods.desired
		.policy('icmp', {
			ingress: [rule({ action: 'Allow', ipVersion: 4, protocol: 1, ...echo(8, 0) }), rule({ action: 'Allow', protocol: 58, ...echo(128) })],
		})
		.endpoint(pods.server, { ingress: tier('icmp') });
	await pods.apply();
	pods.ping(4, true);
	pods.ping(6, true);
	pods.desired.policy('icmp', {
		ingress: [
			rule({ action: 'Allow', protocol: 1, notIcmp: { type: 8, code: 0 } }),
			rule({ action: 'Allow', protocol: 58, notIcmp: { type: 128, code: 1 } }),
		],
	});
	await pods.apply();
	pods.ping(4, false);
	pods.ping(6, true);
});

test('neighbour discovery of IPv6 works where policy denies everything', async () => {
	await using pods = new TwoPods();
	pods.desired.policy('none', {}).endpoint(pods.server, { ingress: tier('none'), egress: tier('none') });
	await pods.apply();
	await using echo = {
		server: new EchoServer(pods.bed.node, PORTS),
		[Symbol.asyncDispose]: () => Promise.resolve(echo.server[Symbol.dispose]()),
	};
	// the node to the pod is never policed; the pod must be found, and must find its gateway, by neighbour discovery
	for (const family of [4, 6] as const)
		assert.ok(await probeExpecting(true, pods.bed.node, { address: addressOf(pods.server, family), protocol: 'tcp', port: 80 }));
});

test('denied packets are answered where the deny action is Reject', async () => {
	await using pods = new TwoPods({ denyAction: 'Reject' });
	pods.desired.policy('none', {}).endpoint(pods.server, { ingress: tier('none') });
	await pods.apply();
	const target = { address: addressOf(pods.server, 4), protocol: 'tcp' as const, port: 80 };
	assert.equal((await ask(pods.client.namespace, target, { timeoutMs: 5000 })).outcome, 'refused');
});

test('the node reaches its pods whatever their policy; pods reach the node as the option says', async () => {
	for (const action of ['Drop', 'Accept', 'Return'] as const) {
		await using pods = new TwoPods({ endpointToHostAction: action });
		using _server = new EchoServer(pods.bed.node, PORTS);
		pods.desired.policy('none', {}).endpoint(pods.server, { ingress: tier('none'), egress: tier('none') });
		await pods.apply();
		for (const family of [4, 6] as const) {
			const pod = { address: addressOf(pods.server, family), protocol: 'tcp' as const, port: 80 };
			assert.ok(await probeExpecting(true, pods.bed.node, pod), `node to pod, IPv${family}, ${action}`);
			const node = { ...pod, address: family === 4 ? NODE_ADDRESS : NODE_ADDRESS6 };
			const expected = action !== 'Drop';
			assert.equal(await probeExpecting(expected, pods.client.namespace, node), expected, `pod to node, IPv${family}, ${action}`);
			assert.equal(await probeExpecting(false, pods.server.namespace, node), false, 'egress policy comes first');
		}
	}
});

test('spoofed sources are dropped, and allowed ones are not', async () => {
	await using pods = new TwoPods();
	await pods.apply();
	for (const [source, target] of [
		['10.65.0.77', addressOf(pods.server, 4)],
		['fd65::77', addressOf(pods.server, 6)],
	] as const) {
		const prefix = source.includes(':') ? 128 : 32;
		pods.client.namespace.addAddress('eth0', `${source}/${prefix}`);
		const send = (from: string, text: string): void => {
			const socket = datagramSocket(pods.client.namespace, from, 0);
			socket.send(text, 80, target, () => socket.close());
		};
		const own = addressOf(pods.client, prefix === 32 ? 4 : 6);
		const count = (text: string): number => pods.echo.received.filter((datagram) => datagram.text === text).length;
		send(source, `spoofed ${source}`);
		await eventually('a datagram with the own source arrives', () => {
			send(own, `own ${source}`);
			return count(`own ${source}`) > 0;
		});
		assert.equal(count(`spoofed ${source}`), 0);
		pods.desired.endpoint(pods.client, {}, { allowedSources: ['10.65.0.64/26', 'fd65::40/122'] as never });
		await pods.apply();
		await eventually('a datagram with a further source arrives', () => {
			send(source, `further ${source}`);
			return count(`further ${source}`) > 0;
		});
		pods.desired.endpoint(pods.client);
		await pods.apply();
	}
});

test('an interface without an endpoint neither sends nor receives', async () => {
	await using pods = new TwoPods();
	const stranger = pods.bed.addPod('strange');
	using _echo = new EchoServer(stranger.namespace, PORTS);
	using node = new EchoServer(pods.bed.node, PORTS);
	await pods.apply();
	// as the CNI plugin leaves it before its endpoint is known
	for (const address of stranger.addresses)
		pods.bed.node.addRoute(`${address}/${address.includes(':') ? 128 : 32}`, stranger.interfaceName);
	pods.bed.node.sysctl(1, 'ipv4', 'conf', stranger.interfaceName, 'proxy_arp');
	pods.bed.node.sysctl(1, 'ipv4', 'conf', stranger.interfaceName, 'forwarding');
	await pods.expect(CLOSED, stranger, pods.server);
	await pods.expect(CLOSED, pods.client, stranger);
	for (const family of [4, 6] as const) {
		const address = addressOf(stranger, family);
		assert.equal(await probeExpecting(false, pods.bed.node, { address, protocol: 'udp', port: 80 }), false, 'node to stranger');
		const target = family === 4 ? NODE_ADDRESS : NODE_ADDRESS6;
		assert.equal(await probeExpecting(false, stranger.namespace, { address: target, protocol: 'udp', port: 80 }), false);
	}
	assert.deepEqual(node.received, []);
	pods.desired.endpoint(stranger);
	await pods.apply();
	await pods.expect(OPEN, stranger, pods.server);
	await pods.expect(OPEN, pods.client, stranger);
	pods.desired.removeEndpoint(stranger);
	await pods.apply();
	await pods.expect(CLOSED, pods.client, stranger);
});

test('what leaves a pool that masquerades is seen as the node; inside pools pods are seen as themselves', async () => {
	await using pods = new TwoPods();
	using _outside = new EchoServer(pods.bed.outside, PORTS);
	const seenAs = async (address: string): Promise<string | undefined> => {
		const target = { address, protocol: 'tcp' as const, port: 80 };
		return (await ask(pods.client.namespace, target, { timeoutMs: 10_000 })).seenAs;
	};
	pods.desired.pools(['10.65.0.0/16', 'fd65::/64'], ['10.65.0.0/16', 'fd65::/64']);
	await pods.apply();
	assert.equal(await seenAs(OUTSIDE_ADDRESS), NODE_ADDRESS);
	assert.equal(await seenAs(OUTSIDE_ADDRESS6), NODE_ADDRESS6);
	assert.equal(await seenAs(addressOf(pods.server, 4)), addressOf(pods.client, 4));
	pods.desired.pools(['10.65.0.0/16', 'fd65::/64', `${OUTSIDE_ADDRESS}/32`], ['10.65.0.0/16']);
	await pods.apply();
	assert.equal(await seenAs(OUTSIDE_ADDRESS), addressOf(pods.client, 4));
	assert.equal(await seenAs(OUTSIDE_ADDRESS6), addressOf(pods.client, 6));
	pods.desired.pools([], []);
	await pods.apply();
	assert.equal(await seenAs(OUTSIDE_ADDRESS), addressOf(pods.client, 4));
	assert.doesNotMatch(pods.bed.node.exec('nft', 'list', 'ruleset'), /masquerade/);
});

test('a pod cannot reach through policy with tunnel packets', async () => {
	await using pods = new TwoPods();
	using echo = new EchoServer(pods.server.namespace, [
		{ protocol: 'udp', port: 4789 },
		{ protocol: 'udp', port: 4790 },
	]);
	await pods.apply();
	const at = (port: number, expected: boolean): Promise<boolean> =>
		probeExpecting(expected, pods.client.namespace, { address: addressOf(pods.server, 4), protocol: 'udp', port });
	assert.deepEqual([await at(4790, true), await at(4789, false)], [true, false]);
	assert.ok(echo.received.every(({ port }) => port === 4790));
});

test('an endpoint on an interface that is not a workload’s is refused by name, and the others are served', async () => {
	await using pods = new TwoPods();
	pods.desired.endpoint({ ...pods.bed.addPod('x'), interfaceName: 'eth0' });
	const { endpoints } = await pods.running.dataplane.apply(pods.desired.take());
	const state = endpoints.get(endpointIdOf({ ...pods.client, interfaceName: 'eth0' }));
	assert.ok(state !== undefined && !state.ready);
	assert.match(state.message, /interface eth0 does not begin with cali/);
	await pods.expect(OPEN);
});
