import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
	type AnyResource,
	applyDefaults,
	isKindName,
	KIND_NAMES,
	KINDS,
	type KindName,
	kindAliases,
	kindByAlias,
	kindOf,
} from './index.ts';
import { EXAMPLES } from './testing/examples.ts';

test('a kind is found by its name, its plural and every short form that calicoctl knows, in any case', () => {
	const aliases: Readonly<Record<KindName, string>> = {
		BGPConfiguration: 'bgpconfiguration bgpconfigurations bgpconfig bgpconfigs',
		BGPFilter: 'bgpfilter bgpfilters bgpf bgpfs bf bfs',
		BGPPeer: 'bgppeer bgppeers bgpp bgpps bp bps',
		ClusterInformation: 'clusterinformation clusterinformations clusterinfo clusterinfos',
		FelixConfiguration: 'felixconfiguration felixconfigurations felixconfig felixconfigs',
		GlobalNetworkPolicy: 'globalnetworkpolicy globalnetworkpolicies gnp gnps',
		GlobalNetworkSet: 'globalnetworkset globalnetworksets gnetsets',
		IPAMConfiguration: 'ipamconfiguration ipamconfigurations ipamconfig ipamconfigs',
		IPPool: 'ippool ippools ipp ipps pool pools',
		IPReservation: 'ipreservation ipreservations reservation reservations',
		NetworkPolicy: 'networkpolicy networkpolicies policy policies np pol pols',
		NetworkSet: 'networkset networksets netsets',
		Node: 'node nodes no nos',
		Profile: 'profile profiles pro pros',
		Tier: 'tier tiers',
		WorkloadEndpoint: 'workloadendpoint workloadendpoints wep weps',
	};
	for (const [kind, words] of Object.entries(aliases))
		for (const word of words.split(' ')) {
			assert.equal(kindByAlias(word), kind, word);
			assert.equal(kindByAlias(word.toUpperCase()), kind, word);
		}
	assert.equal(kindByAlias('pods'), undefined);
	assert.equal(kindByAlias('constructor'), undefined);
	assert.ok(!isKindName('constructor'));
});

test('no two kinds have a word in common', () => {
	const words = KIND_NAMES.flatMap((name) => KINDS[name].aliases);
	assert.deepEqual(words.toSorted(), [...new Set(words)].sort());
	assert.deepEqual([...kindAliases()].sort(), words.toSorted());
});

test('every schema can be written as JSON Schema', () => {
	for (const name of KIND_NAMES) {
		const { specSchema, statusSchema } = kindOf(name);
		assert.equal(z.toJSONSchema(specSchema).type, 'object');
		if (statusSchema !== undefined) assert.equal(z.toJSONSchema(statusSchema).type, 'object');
	}
});

test('defaults are those of Calico, and leave alone what was set', () => {
	const policy = (spec: object): unknown => applyDefaults<AnyResource>({ ...EXAMPLES.NetworkPolicy, spec }).spec;
	const rules = [{ action: 'Allow' }];
	assert.deepEqual(policy({}), { tier: 'default', types: ['Ingress'] });
	assert.deepEqual(policy({ tier: '', ingress: rules }), { tier: 'default', ingress: rules, types: ['Ingress'] });
	assert.deepEqual(policy({ tier: 't', egress: rules }), { tier: 't', egress: rules, types: ['Egress'] });
	assert.deepEqual(policy({ ingress: rules, egress: rules }), {
		tier: 'default',
		ingress: rules,
		egress: rules,
		types: ['Ingress', 'Egress'],
	});
	assert.deepEqual(policy({ types: ['Egress'], ingress: rules }), { tier: 'default', ingress: rules, types: ['Egress'] });

	const pool = {
		vxlanMode: 'Never',
		ipipMode: 'Never',
		nodeSelector: 'all()',
		allowedUses: ['Workload', 'Tunnel'],
		assignmentMode: 'Automatic',
	};
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.IPPool, spec: { cidr: '10.0.0.0/8' } }).spec, {
		cidr: '10.0.0.0/8',
		blockSize: 26,
		...pool,
	});
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.IPPool, spec: { cidr: 'fd00::/8' } }).spec, {
		cidr: 'fd00::/8',
		blockSize: 122,
		...pool,
	});
	assert.equal(applyDefaults(EXAMPLES.IPPool).spec.ipipMode, 'Always');

	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.Tier, spec: {} }).spec, { order: undefined, defaultAction: 'Deny' });
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.Tier, metadata: { name: 'kube-admin' }, spec: {} }).spec, {
		order: 1000,
		defaultAction: 'Pass',
	});
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.IPAMConfiguration, spec: {} }).spec, {
		strictAffinity: false,
		autoAllocateBlocks: true,
		maxBlocksPerHost: 0,
	});
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.BGPConfiguration, spec: {} }).spec, {
		logSeverityScreen: 'Info',
		serviceLoadBalancerAggregation: 'Enabled',
	});
	assert.deepEqual(applyDefaults<AnyResource>({ ...EXAMPLES.BGPConfiguration, metadata: { name: 'node.a' }, spec: {} }).spec, {});
});

test('tables have the columns of calicoctl', () => {
	const rows: readonly (readonly [KindName, 'ps' | 'wide', string, readonly string[]])[] = [
		['BGPConfiguration', 'ps', 'NAME LOGSEVERITY MESHENABLED ASNUMBER', ['default', 'Info', 'true', '64512']],
		['BGPFilter', 'ps', 'NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6', ['only-pods', '1', '0', '0', '1']],
		['BGPPeer', 'ps', 'NAME PEERIP NODE ASN', ['rack-a', '192.0.2.1:1179', "rack == 'a'", '64567']],
		[
			'ClusterInformation',
			'ps',
			'NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY',
			['default', '1f3c', 'k8s,bgp', 'v3.32.0', 'true'],
		],
		['FelixConfiguration', 'wide', 'NAME', ['default']],
		['GlobalNetworkPolicy', 'wide', 'NAME TIER ORDER SELECTOR', ['deny-egress', 'default', '10', "env == 'prod'"]],
		['GlobalNetworkSet', 'ps', 'NAME', ['partners']],
		['IPAMConfiguration', 'wide', 'NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST', ['default', 'true', 'false', '4']],
		['IPPool', 'ps', 'NAME CIDR SELECTOR', ['default-ipv4-ippool', '192.168.0.0/16', 'all()']],
		[
			'IPPool',
			'wide',
			'NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE',
			['default-ipv4-ippool', '192.168.0.0/16', 'true', 'Always', 'Never', 'false', 'false', 'all()', 'Automatic'],
		],
		['IPReservation', 'wide', 'NAME CIDRS', ['gateways', '192.168.5.1/30,192.168.6.1']],
		['NetworkPolicy', 'ps', 'NAME TIER', ['allow-web', 'default']],
		['NetworkSet', 'wide', 'NAME NETS', ['databases', '10.1.0.0/24']],
		['Node', 'wide', 'NAME ASN IPV4 IPV6', ['worker-1', '64512', '10.0.0.11/24', '2001:db8::11/64']],
		['Profile', 'wide', 'NAME LABELS', ['kns.default', 'pcns.projectcalico.org/name=default']],
		['Tier', 'wide', 'NAME ORDER', ['security', '100']],
		[
			'WorkloadEndpoint',
			'ps',
			'WORKLOAD NODE NETWORKS INTERFACE',
			['web-7d8f', 'worker-1', '192.168.21.67/32,fd00::1/128', 'cali82111e10a96'],
		],
		[
			'WorkloadEndpoint',
			'wide',
			'NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS',
			[
				'worker--1-k8s-web--7d8f-eth0',
				'web-7d8f',
				'worker-1',
				'192.168.21.67/32,fd00::1/128',
				'cali82111e10a96',
				'kns.default,ksa.default.web',
				'172.16.1.3',
			],
		],
	];
	for (const [kind, width, headings, cells] of rows) {
		const columns = kindOf(kind).columns[width];
		assert.equal(columns.map(({ heading }) => heading).join(' '), headings);
		assert.deepEqual(
			columns.map((column) => column.cell(EXAMPLES[kind], { asNumber: 64_513 })),
			cells,
		);
	}
	const bare = { ...EXAMPLES.Node, spec: {} };
	assert.deepEqual(
		KINDS.Node.columns.wide.map((column) => column.cell(bare, { asNumber: 64_513 })),
		['worker-1', '(64513)', '', ''],
	);
	assert.equal(KINDS.BGPPeer.columns.ps[2]?.cell({ ...EXAMPLES.BGPPeer, spec: {} }, { asNumber: 1 }), '(global)');
});
