import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PeerConfig } from '#bgp';
import { computeRouterConfig } from './router-config.ts';
import { bgpState, type ClusterParts, compute, node, resource, routerOf } from './test-cluster.ts';

const a = node('a', { ipv4Address: '10.0.0.9/24' }, { rack: '1' });
const b = node('b', { ipv4Address: '10.0.0.10/24' }, { rack: '2' });
const reflector = node('r', { ipv4Address: '10.0.0.20/24', routeReflectorClusterID: '224.0.0.1' }, { role: 'rr' });
const otherReflector = node('s', { ipv4Address: '10.0.0.21/24', routeReflectorClusterID: '224.0.0.1' }, { role: 'rr' });

function peers(parts: ClusterParts, nodeName: string): Record<string, Partial<PeerConfig>> {
	return Object.fromEntries(routerOf(parts, nodeName).peers.map((peer) => [peer.name, peer]));
}

function names(parts: ClusterParts, nodeName: string): string[] {
	return routerOf(parts, nodeName).peers.map(({ name }) => name);
}

test('which sessions a node holds', () => {
	const pair = [a, b];
	const withReflector = [a, b, reflector, otherReflector];
	const toReflectors = resource('BGPPeer', 'to-rr', { nodeSelector: '!has(role)', peerSelector: "role == 'rr'" });
	const betweenReflectors = resource('BGPPeer', 'rr-mesh', { nodeSelector: "role == 'rr'", peerSelector: "role == 'rr'" });
	const router = resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 64999 });
	const rackRouter = resource('BGPPeer', 'rack', { nodeSelector: "rack == '1'", peerIP: '192.0.2.7:1790', asNumber: 64999 });
	const table: readonly (readonly [string, ClusterParts, string, readonly string[]])[] = [
		['a mesh with every other node', { nodes: pair }, 'a', ['Mesh_10_0_0_10']],
		['no mesh when it is off', { nodes: pair, configuration: { nodeToNodeMeshEnabled: false } }, 'a', []],
		['no mesh with route reflectors', { nodes: withReflector }, 'a', ['Mesh_10_0_0_10']],
		['no mesh on a route reflector', { nodes: withReflector }, 'r', []],
		['a global peer beside the mesh', { nodes: pair, peers: [router] }, 'a', ['Global_192_0_2_1', 'Mesh_10_0_0_10']],
		['a peer of the nodes with a label', { nodes: pair, peers: [rackRouter] }, 'a', ['Mesh_10_0_0_10', 'Node_192_0_2_7_port_1790']],
		['and of no other', { nodes: pair, peers: [rackRouter] }, 'b', ['Mesh_10_0_0_9']],
		[
			'route reflectors chosen by label',
			{ nodes: withReflector, peers: [toReflectors], configuration: { nodeToNodeMeshEnabled: false } },
			'a',
			['Node_10_0_0_20', 'Node_10_0_0_21'],
		],
		[
			'and back to the nodes without being told',
			{ nodes: withReflector, peers: [toReflectors], configuration: { nodeToNodeMeshEnabled: false } },
			'r',
			['Node_10_0_0_10', 'Node_10_0_0_9'],
		],
		[
			'but not back when reverse peering is manual',
			{ nodes: withReflector, peers: [{ ...toReflectors, spec: { ...toReflectors.spec, reversePeering: 'Manual' } }] },
			'r',
			[],
		],
		['reflectors among each other, not with themselves', { nodes: withReflector, peers: [betweenReflectors] }, 'r', ['Node_10_0_0_21']],
		[
			'an explicit peer in place of the mesh session to the same address',
			{ nodes: pair, peers: [resource('BGPPeer', 'b', { peerIP: '10.0.0.10' })] },
			'a',
			['Global_10_0_0_10'],
		],
		[
			'a global peer ahead of one of a node with the same address',
			{ nodes: [a], peers: [resource('BGPPeer', 'x', { node: 'a', peerIP: '192.0.2.1', asNumber: 1 }), router] },
			'a',
			['Global_192_0_2_1'],
		],
		[
			'nobody of a family in which the node has no address',
			{ nodes: [a, node('six', { ipv6Address: 'fd00::1/64' })], peers: [resource('BGPPeer', 'v6', { peerIP: 'fd00::99', asNumber: 1 })] },
			'a',
			[],
		],
	];
	for (const [what, parts, nodeName, expected] of table) assert.deepEqual(names(parts, nodeName), expected, what);
});

test('of two nodes the one with the address that is greater as text connects', () => {
	assert.equal(peers({ nodes: [a, b] }, 'a')['Mesh_10_0_0_10']?.passive, false);
	assert.equal(peers({ nodes: [a, b] }, 'b')['Mesh_10_0_0_9']?.passive, true);
});

test('what a session is like', () => {
	const configuration = { asNumber: 64600, listenPort: 1179, nodeMeshMaxRestartTime: '90s' } as const;
	const table: readonly (readonly [string, ClusterParts, string, Partial<PeerConfig>])[] = [
		[
			'a mesh session with defaults',
			{ nodes: [a, b] },
			'Mesh_10_0_0_10',
			{ asNumber: 64512, port: 179, sourceAddress: '10.0.0.9' as never, holdTimeSeconds: 240, restartTimeSeconds: 120, nextHop: 'auto' },
		],
		[
			'with the cluster’s own',
			{ nodes: [a, b], configuration },
			'Mesh_10_0_0_10_port_1179',
			{ asNumber: 64600, port: 1179, restartTimeSeconds: 90 },
		],
		[
			'with a node that has an AS of its own',
			{ nodes: [a, node('b', { ipv4Address: '10.0.0.10/24', asNumber: 65001 })] },
			'Mesh_10_0_0_10',
			{ asNumber: 65001 },
		],
		[
			'an explicit peer with everything',
			{
				nodes: [a],
				peers: [
					resource('BGPPeer', 'tor', {
						peerIP: '192.0.2.1:1790',
						asNumber: 64999,
						localASNumber: 65010,
						sourceAddress: 'None',
						keepaliveTime: '10s',
						maxRestartTime: '5m',
						numAllowedLocalASNumbers: 2,
						ttlSecurity: 3,
						keepOriginalNextHop: true,
					}),
				],
			},
			'Global_192_0_2_1_port_1790',
			{
				asNumber: 64999,
				localAsNumber: 65010,
				sourceAddress: undefined,
				holdTimeSeconds: 30,
				restartTimeSeconds: 300,
				allowedLocalAs: 2,
				ttlSecurityHops: 3,
				nextHop: 'keep',
			},
		],
		[
			'a node given by its address, at its port',
			{
				nodes: [a, b],
				peers: [resource('BGPPeer', 'b', { node: 'a', peerIP: '10.0.0.10' })],
				configurations: [resource('BGPConfiguration', 'node.b', { listenPort: 1180 })],
			},
			'Node_10_0_0_10_port_1180',
			{ port: 1180 },
		],
		[
			'a router at port 179 whatever the nodes listen on',
			{ nodes: [a], configuration, peers: [resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 1 })] },
			'Global_192_0_2_1',
			{ port: 179 },
		],
	];
	for (const [what, parts, name, expected] of table) {
		const found = peers(parts, 'a')[name];
		assert.ok(found, `${what}: there is no ${name}`);
		for (const [field, value] of Object.entries(expected)) assert.deepEqual(found[field as keyof PeerConfig], value, `${what}: ${field}`);
	}
});

test('a route reflector has clients, and other reflectors of its cluster are none', () => {
	const parts = {
		nodes: [a, reflector, otherReflector],
		peers: [resource('BGPPeer', 'all', { nodeSelector: 'all()', peerSelector: 'all()' })],
	};
	const found = peers(parts, 'r');
	assert.equal(found['Node_10_0_0_9']?.routeReflectorClusterId, '224.0.0.1');
	assert.equal(found['Node_10_0_0_21']?.routeReflectorClusterId, undefined);
});

test('a session whose password is missing is held down and reported, not opened to anyone', () => {
	const peer = resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 1, password: { secretKeyRef: { name: 'bgp', key: 'tor' } } });
	const without = compute({ nodes: [a], peers: [peer] }, 'a');
	assert.deepEqual(without.config?.peers, []);
	assert.deepEqual(
		without.problems.map(({ subject }) => subject),
		['BGPPeer/tor'],
	);
	const secret = ({ name, key }: { readonly name: string; readonly key: string }): string => `${name}/${key}`;
	const within = compute({ nodes: [a], peers: [peer] }, 'a', { secret });
	assert.equal(within.config?.peers[0]?.password, 'bgp/tor');
	assert.deepEqual(within.problems, []);
});

test('a node without an IPv4 address needs CALICO_ROUTER_ID', () => {
	const nodes = [node('six', { ipv6Address: 'fd00::1/64' })];
	const none = compute({ nodes }, 'six');
	assert.equal(none.config, undefined);
	assert.match(none.problems[0]?.message ?? '', /CALICO_ROUTER_ID/);
	assert.equal(compute({ nodes }, 'six', { routerId: '192.0.2.9' }).config?.routerId, '192.0.2.9');
	// The first four bytes of the SHA-256 of "six".
	const hashed = compute({ nodes }, 'six', { routerId: 'hash' }).config?.routerId;
	assert.match(hashed ?? '', /^\d+\.\d+\.\d+\.\d+$/);
	assert.ok(Number(hashed?.split('.')[0]) <= 223);
	assert.equal(compute({ nodes }, 'gone').config, undefined, 'a node that is not stored has no router');
});

test('an unreadable selector takes its own peer out and no other', () => {
	const bad = resource('BGPPeer', 'bad', { nodeSelector: 'rack ==', peerIP: '192.0.2.1', asNumber: 1 });
	const { config, problems } = compute({ nodes: [a, b], peers: [bad] }, 'a');
	assert.deepEqual(
		config?.peers.map(({ name }) => name),
		['Mesh_10_0_0_10'],
	);
	assert.deepEqual(
		problems.map(({ subject }) => subject),
		['BGPPeer/bad'],
	);
});

test('what is stored and not supported yet is named', () => {
	const { problems } = compute(
		{
			nodes: [a],
			configuration: { programClusterRoutes: 'Disabled' },
			pools: [
				resource('IPPool', 'plain', { cidr: '10.65.0.0/16' }),
				resource('IPPool', 'tunnel', { cidr: '10.66.0.0/16', ipipMode: 'Always' }),
			],
			peers: [resource('BGPPeer', 'vm', { localWorkloadSelector: 'all()', asNumber: 65000 })],
		},
		'a',
	);
	assert.deepEqual(problems.map(({ subject }) => subject).toSorted(), ['BGPConfiguration/default', 'BGPPeer/vm', 'IPPool/tunnel']);
});

test('with bindMode NodeIP the router listens on the node’s own addresses', () => {
	const dual = node('d', { ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' });
	assert.deepEqual(routerOf({ nodes: [dual], configuration: { bindMode: 'NodeIP' } }, 'd').listen, {
		port: 179,
		addresses: ['10.0.0.1', 'fd00::1'],
	});
	assert.deepEqual(routerOf({ nodes: [dual] }, 'd').listen, { port: 179, addresses: undefined });
});

const octet = fc.integer({ min: 1, max: 254 });
const anyNodes = fc
	.uniqueArray(fc.record({ v4: fc.option(octet, { nil: undefined }), v6: fc.option(octet, { nil: undefined }) }), {
		minLength: 2,
		maxLength: 8,
		selector: ({ v4, v6 }) => `${v4} ${v6}`,
	})
	.filter((list) => ['v4', 'v6'].every((family) => new Set(list.map((item) => item[family as 'v4'])).size === list.length))
	.map((list) =>
		list.map(({ v4, v6 }, index) =>
			node(`n${index}`, {
				...(v4 === undefined ? {} : { ipv4Address: `10.0.0.${v4}/24` }),
				...(v6 === undefined ? {} : { ipv6Address: `fd00::${v6.toString(16)}/64` }),
			}),
		),
	);

test('a mesh is symmetric: each session has two ends that agree, of which exactly one connects', () => {
	fc.assert(
		fc.property(anyNodes, (nodes) => {
			const routers = nodes.map((one) => ({ one, config: routerOf({ nodes }, one.metadata.name, { routerId: 'hash' }) }));
			for (const { one, config } of routers)
				for (const peer of config.peers) {
					const remote = routers.find(({ one: other }) =>
						Object.values(other.spec.bgp ?? {}).some((address) => address === `${peer.address}/${peer.address.includes(':') ? 64 : 24}`),
					);
					const back = remote?.config.peers.find(({ address }) => address === peer.sourceAddress);
					assert.ok(back, `${one.metadata.name} has ${peer.name} without its other end`);
					assert.notEqual(back.passive, peer.passive);
					assert.equal(back.asNumber, config.asNumber);
				}
		}),
	);
});

test('the same state gives the same configuration whatever the order in which it was read', () => {
	const pools = [
		resource('IPPool', 'p', { cidr: '10.65.0.0/16' }),
		resource('IPPool', 'q', { cidr: '10.66.0.0/16', disableBGPExport: true }),
	];
	const blocks = ['10.65.1.0/26', '10.65.0.0/26'];
	const forward = bgpState({ nodes: [a, b, reflector], pools, blocks });
	const backward = bgpState({ nodes: [reflector, b, a], pools: pools.toReversed(), blocks: blocks.toReversed() });
	const options = { secret: () => undefined };
	assert.deepEqual(computeRouterConfig(forward, 'a', options), computeRouterConfig(backward, 'a', options));
});
