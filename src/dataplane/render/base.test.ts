import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr, ip } from '#net';
import type { EndpointId, Packet, PolicyId } from '#policy';
import { dataplaneError } from '../errors.ts';
import { DesiredTables } from '../table/desired-tables.ts';
import { type PathResult, runChain } from '../testing/packet-path.ts';
import { checkRenderOptions, DEFAULT_RENDER_OPTIONS, passBit, type RenderOptions } from './options.ts';

const NEW = 8;
const ESTABLISHED = 2;
const open = { tiers: [], profiles: ['Profile//open' as PolicyId] };
const anything = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [], namedPorts: [], notNamedPorts: [] };
const everything = [{ action: 'Allow', source: anything, destination: anything, index: 0 }];

/** `cali1` has an endpoint with an address of each family; `cali2` has none. */
function tables(options: Partial<RenderOptions> = {}): DesiredTables {
	const result = new DesiredTables({ ...DEFAULT_RENDER_OPTIONS, ...options });
	const id = 'x/one' as EndpointId;
	result.apply({
		ipSets: new Map(),
		policies: new Map([
			[open.profiles[0] as PolicyId, { id: open.profiles[0] as PolicyId, tier: '', ingress: everything, egress: everything } as never],
		]),
		endpoints: new Map([
			[
				id,
				{
					id,
					interfaceName: 'cali1',
					mac: undefined,
					nets: [cidr('10.0.0.1/32'), cidr('fd00::1/128')],
					allowedSources: [cidr('10.1.0.0/16')],
					ingress: open,
					egress: open,
				},
			],
		]),
		inSync: true,
	});
	return result;
}

interface Passing {
	readonly chain: string;
	readonly from?: string;
	readonly to?: string;
	readonly source?: string;
	readonly destination?: string;
	readonly icmpv6?: number;
	readonly state?: number;
	readonly options?: Partial<RenderOptions>;
}

function pass({
	chain,
	from = 'eth0',
	to = 'eth0',
	source = '10.0.0.1',
	destination = '10.0.0.9',
	icmpv6,
	state = NEW,
	options,
}: Passing): PathResult['verdict'] {
	const transport =
		icmpv6 === undefined ? { protocol: 6, sourcePort: 1000, destinationPort: 80 } : { protocol: 58, icmpType: icmpv6, icmpCode: 0 };
	const packet: Packet = { source: ip(source), destination: ip(destination), ...transport };
	return runChain(tables(options).inet, chain, { packet, iifname: from, oifname: to, ctState: state, mark: 0 }).verdict;
}

test('what each stage does to packets from and to workload interfaces', () => {
	const cases: readonly (readonly [string, Passing, PathResult['verdict']])[] = [
		['own source', { chain: 'b_raw_pre', from: 'cali1' }, 'accept'],
		['own IPv6 source', { chain: 'b_raw_pre', from: 'cali1', source: 'fd00::1', destination: 'fd00::2' }, 'accept'],
		['further source', { chain: 'b_raw_pre', from: 'cali1', source: '10.1.2.3' }, 'accept'],
		['spoofed source', { chain: 'b_raw_pre', from: 'cali1', source: '10.0.0.2' }, 'drop'],
		['spoofed IPv6 source', { chain: 'b_raw_pre', from: 'cali1', source: 'fd00::2', destination: 'fd00::1' }, 'drop'],
		['source of another interface', { chain: 'b_raw_pre', from: 'cali2' }, 'drop'],
		['link-local source', { chain: 'b_raw_pre', from: 'cali1', source: 'fe80::1', destination: 'fe80::2' }, 'accept'],
		['link-local source of an unknown interface', { chain: 'b_raw_pre', from: 'cali2', source: 'fe80::1', destination: 'fe80::2' }, 'drop'],
		['duplicate address detection', { chain: 'b_raw_pre', from: 'cali1', source: '::', destination: 'ff02::1', icmpv6: 135 }, 'accept'],
		['an echo from nowhere', { chain: 'b_raw_pre', from: 'cali1', source: '::', destination: 'ff02::1', icmpv6: 128 }, 'drop'],
		['not a workload', { chain: 'b_raw_pre', source: '10.0.0.1' }, 'policy'],
		['established to an unknown interface', { chain: 'b_fwd_from', to: 'cali2', state: ESTABLISHED }, 'drop'],
		['established to a known interface', { chain: 'b_fwd_from', to: 'cali1', state: ESTABLISHED }, 'accept'],
		['new from a known interface', { chain: 'b_fwd_from', from: 'cali1' }, 'accept'],
		['new from an unknown interface', { chain: 'b_fwd_from', from: 'cali2' }, 'drop'],
		['new from elsewhere', { chain: 'b_fwd_from' }, 'policy'],
		['new to a known interface', { chain: 'b_fwd_to', to: 'cali1' }, 'accept'],
		['new to an unknown interface', { chain: 'b_fwd_to', to: 'cali2' }, 'drop'],
		['new to elsewhere', { chain: 'b_fwd_to' }, 'policy'],
		['from the host to a known interface', { chain: 'b_out', to: 'cali1' }, 'policy'],
		['from the host to an unknown interface', { chain: 'b_out', to: 'cali2' }, 'drop'],
		['to the host, first policy', { chain: 'b_in', from: 'cali1' }, 'accept'],
		['to the host, then the action', { chain: 'b_in_action', from: 'cali1' }, 'drop'],
		['to the host, a reply', { chain: 'b_in_action', from: 'cali1', state: ESTABLISHED }, 'accept'],
		[
			'to the host, neighbour solicitation',
			{ chain: 'b_in_action', from: 'cali1', source: 'fd00::1', destination: 'ff02::1', icmpv6: 135 },
			'accept',
		],
		[
			'to the host, router advertisement',
			{ chain: 'b_in_action', from: 'cali1', source: 'fe80::1', destination: 'ff02::1', icmpv6: 134 },
			'drop',
		],
		['to the host from elsewhere', { chain: 'b_in_action' }, 'policy'],
	];
	for (const [what, passing, expected] of cases) assert.equal(pass(passing), expected, what);
});

test('packets to the host meet no second stage where the action is to accept or to return', () => {
	for (const endpointToHostAction of ['Accept', 'Return'] as const)
		assert.ok(!tables({ endpointToHostAction }).inet.chains.has('b_in_action'));
});

test('NAT is hooked only while a pool masquerades', () => {
	const result = tables();
	const nothing = { ipSets: new Map(), policies: new Map(), endpoints: new Map(), inSync: true };
	assert.ok(!result.inet.chains.has('b_nat_post'));
	result.apply({ ...nothing, pools: { all: [cidr('10.0.0.0/8')], masquerade: [cidr('10.0.0.0/8')] } });
	assert.equal(result.inet.chains.get('b_nat_post')?.rules.length, 1);
	result.apply({ ...nothing, pools: { all: [cidr('10.0.0.0/8')], masquerade: [] } });
	assert.ok(!result.inet.chains.has('b_nat_post'));
});

test('options that cannot be rendered are refused by name', () => {
	assert.equal(passBit(0xffff0000), 0x20000);
	assert.equal(passBit(0x80000001), 0x80000000);
	for (const [name, value] of [
		['markMask', 0x10000],
		['markMask', 0],
		['markMask', 2 ** 32],
		['interfacePrefix', ''],
		['interfacePrefix', 'a/b'],
		['tableName', 'Table'],
		['logPrefix', 'x'.repeat(41)],
	] as const)
		assert.throws(
			() => checkRenderOptions({ ...DEFAULT_RENDER_OPTIONS, [name]: value }),
			(error) => dataplaneError.is(error, 'DATAPLANE_BAD_OPTION') && error.path === name,
		);
});
