import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouteFilter, RouteSource } from '#bgp';
import { type Cidr, cidr, cidrContains, cidrParts } from '#net';
import { type ClusterParts, node, resource, routerOf } from './test-cluster.ts';

/** A route as a filter sees it. */
interface Route {
	readonly prefix: Cidr;
	readonly source: RouteSource;
	readonly interface?: string;
}

/** What a filter does to a route: the plainest reading of the model. */
function run(
	filter: RouteFilter,
	route: Route,
): { readonly accepted: boolean; readonly communities: string[]; readonly localPreference: number | undefined } {
	const communities: string[] = [];
	let localPreference: number | undefined;
	const { length } = cidrParts(route.prefix);
	for (const { match, set, action } of filter.rules) {
		const holds =
			(match.within === undefined || cidrContains(match.within, route.prefix)) &&
			(match.equals === undefined || match.equals === route.prefix) &&
			(match.notWithin === undefined || !cidrContains(match.notWithin, route.prefix)) &&
			length >= (match.minLength ?? 0) &&
			length <= (match.maxLength ?? 128) &&
			(match.source === undefined || match.source === route.source) &&
			(match.interface === undefined || (route.source === 'kernel' && glob(match.interface, route.interface ?? '')));
		if (!holds) continue;
		communities.push(...(set?.addCommunities ?? []));
		localPreference = set?.localPreference ?? localPreference;
		if (action !== undefined) return { accepted: action === 'accept', communities, localPreference };
	}
	return { accepted: filter.otherwise === 'accept', communities, localPreference };
}

function glob(pattern: string, text: string): boolean {
	return new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(text);
}

const a = node('a', { ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' });
const b = node('b', { ipv4Address: '10.0.0.2/24', ipv6Address: 'fd00::2/64' });
const router = resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 64999 });
const base: ClusterParts = {
	nodes: [a, b],
	peers: [router],
	pools: [
		resource('IPPool', 'main', { cidr: '10.65.0.0/16' }),
		resource('IPPool', 'six', { cidr: 'fd65::/48' }),
		resource('IPPool', 'private', { cidr: '10.66.0.0/16', disableBGPExport: true }),
		resource('IPPool', 'off', { cidr: '10.67.0.0/16', disabled: true }),
		resource('IPPool', 'tunnelled', { cidr: '10.68.0.0/16', vxlanMode: 'Always' }),
	],
	blocks: ['10.65.1.0/26', 'fd65::40/122', '10.65.7.7/32'],
	configuration: { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }], serviceExternalIPs: [{ cidr: '198.51.100.7/32' }] },
};

function exportFilter(parts: ClusterParts, name: string): RouteFilter {
	const filter = routerOf(parts, 'a').peers.find((peer) => peer.name === name)?.families[0]?.exportFilter;
	assert.ok(filter, `there is no ${name}`);
	return filter;
}

test('what a node announces', () => {
	const table: readonly (readonly [string, string, string, RouteSource, string | undefined, boolean])[] = [
		['its block', 'Mesh_10_0_0_2', '10.65.1.0/26', 'originated', undefined, true],
		['to the router too', 'Global_192_0_2_1', '10.65.1.0/26', 'originated', undefined, true],
		['not the pods in it', 'Mesh_10_0_0_2', '10.65.1.3/32', 'kernel', 'cali12345', false],
		['a pod with an address from another node’s block', 'Mesh_10_0_0_2', '10.65.9.3/32', 'kernel', 'cali12345', true],
		['a block of one address by its pod’s route', 'Mesh_10_0_0_2', '10.65.7.7/32', 'kernel', 'cali12345', true],
		['routes of other nodes to the router', 'Global_192_0_2_1', '10.65.2.0/26', 'bgp', undefined, true],
		['nothing of a pool that is not to be exported', 'Global_192_0_2_1', '10.66.0.0/26', 'bgp', undefined, false],
		['nothing of a disabled pool', 'Mesh_10_0_0_2', '10.67.0.0/26', 'kernel', 'cali1', false],
		['nothing outside the pools', 'Mesh_10_0_0_2', '10.0.0.0/24', 'direct', undefined, false],
		['no route into a tunnel to its own AS', 'Mesh_10_0_0_2', '10.68.3.0/26', 'kernel', 'vxlan.calico', false],
		['but to the router', 'Global_192_0_2_1', '10.68.3.0/26', 'kernel', 'vxlan.calico', true],
		['the range of services', 'Mesh_10_0_0_2', '10.96.0.0/12', 'originated', undefined, true],
		['no service address that it may not have', 'Mesh_10_0_0_2', '198.51.100.7/32', 'kernel', 'x', false],
		['an IPv6 block', 'Mesh_fd00__2', 'fd65::40/122', 'originated', undefined, true],
		['no IPv6 pod in it', 'Mesh_fd00__2', 'fd65::41/128', 'kernel', 'cali1', false],
	];
	for (const [what, peer, prefix, source, name, expected] of table) {
		const route = { prefix: cidr(prefix), source, ...(name === undefined ? {} : { interface: name }) };
		assert.equal(run(exportFilter(base, peer), route).accepted, expected, what);
	}
});

test('own routes leave with the priority that Calico’s nodes give theirs, and others’ keep what they have', () => {
	const filter = exportFilter(base, 'Mesh_10_0_0_2');
	assert.equal(run(filter, { prefix: cidr('10.65.1.0/26'), source: 'originated' }).localPreference, 2_147_482_623);
	assert.equal(run(filter, { prefix: cidr('10.65.2.0/26'), source: 'bgp' }).localPreference, undefined);
});

test('what the router model originates and writes to the kernel', () => {
	const config = routerOf(base, 'a');
	assert.deepEqual(config.originate, [
		{ prefix: '10.65.1.0/26', kind: 'block' },
		{ prefix: 'fd65::40/122', kind: 'block' },
		{ prefix: '10.96.0.0/12', kind: 'service' },
	]);
	const table: readonly (readonly [string, boolean])[] = [
		['10.65.2.0/26', true],
		['0.0.0.0/0', true],
		['10.96.0.10/32', false],
		['198.51.100.7/32', false],
		['10.68.0.0/26', false],
		['10.66.0.0/26', true],
	];
	for (const [prefix, expected] of table)
		assert.equal(run(config.kernel.filter, { prefix: cidr(prefix), source: 'bgp' }).accepted, expected, prefix);
});

test('a node that is kept out of load balancers announces no services but programs none either', () => {
	const excluded = node('a', { ipv4Address: '10.0.0.1/24' }, { 'node.kubernetes.io/exclude-from-external-load-balancers': 'true' });
	const config = routerOf({ ...base, nodes: [excluded, b] }, 'a');
	assert.deepEqual(
		config.originate.filter(({ kind }) => kind === 'service'),
		[],
	);
	assert.equal(run(config.kernel.filter, { prefix: cidr('10.96.0.10/32'), source: 'bgp' }).accepted, false);
});

test('communities are added by prefix, named ones resolved and the node’s own list first', () => {
	const configuration = {
		communities: [{ name: 'gold', value: '64512:100' }],
		prefixAdvertisements: [{ cidr: '10.65.0.0/16', communities: ['gold', '64512:1:2', 'unknown'] }],
	};
	const block = { prefix: cidr('10.65.1.0/26'), source: 'originated' } as const;
	assert.deepEqual(run(exportFilter({ ...base, configuration }, 'Mesh_10_0_0_2'), block).communities, ['64512:100', '64512:1:2']);
	const own = resource('BGPConfiguration', 'node.a', { prefixAdvertisements: [{ cidr: '10.65.0.0/16', communities: ['64512:7'] }] });
	assert.deepEqual(run(exportFilter({ ...base, configuration, configurations: [own] }, 'Mesh_10_0_0_2'), block).communities, ['64512:7']);
});

test('a BGP filter decides ahead of the node’s own policy', () => {
	const filters = [
		resource('BGPFilter', 'f', {
			exportV4: [
				{ action: 'Reject', matchOperator: 'In', cidr: '10.65.0.0/16', prefixLength: { min: 27 }, source: 'RemotePeers' },
				{ action: 'Accept', matchOperator: 'NotIn', cidr: '10.0.0.0/8', prefixLength: { max: 30 }, peerType: 'eBGP' },
				{ action: 'Reject', peerType: 'iBGP' },
			],
			importV4: [
				{ action: 'Reject', matchOperator: 'Equal', cidr: '0.0.0.0/0' },
				{ action: 'Reject', matchOperator: 'NotEqual', cidr: '172.16.0.0/12' },
			],
		}),
	];
	const peers = [resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 64999, filters: ['f'] })];
	const families = routerOf({ ...base, peers, filters }, 'a').peers.find(({ name }) => name === 'Global_192_0_2_1')?.families[0];
	assert.ok(families);
	const table: readonly (readonly [keyof typeof families & `${string}Filter`, string, RouteSource, boolean])[] = [
		['exportFilter', '10.65.3.4/32', 'bgp', false],
		['exportFilter', '10.65.3.0/26', 'bgp', true],
		['exportFilter', '203.0.113.0/24', 'kernel', true],
		['exportFilter', '10.9.9.9/32', 'kernel', true],
		['exportFilter', '10.9.9.0/24', 'kernel', false],
		['importFilter', '0.0.0.0/0', 'bgp', false],
		['importFilter', '172.16.0.0/12', 'bgp', true],
		['importFilter', '172.16.0.0/16', 'bgp', false],
		['importFilter', '192.0.2.0/24', 'bgp', false],
	];
	for (const [direction, prefix, source, expected] of table)
		assert.equal(run(families[direction], { prefix: cidr(prefix), source }).accepted, expected, `${direction} ${prefix}`);
});

test('a filter that cannot be kept holds its session down; one that is missing does not', () => {
	const peers = [resource('BGPPeer', 'tor', { peerIP: '192.0.2.1', asNumber: 64999, filters: ['f'] })];
	const config = (filters: ClusterParts['filters']): string[] =>
		routerOf({ ...base, peers, ...(filters === undefined ? {} : { filters }) }, 'a').peers.map(({ name }) => name);
	assert.ok(config(undefined).includes('Global_192_0_2_1'));
	const byPath = resource('BGPFilter', 'f', { importV4: [{ action: 'Reject', asPathPrefix: [65000] }] });
	assert.ok(!config([byPath]).includes('Global_192_0_2_1'));
});
