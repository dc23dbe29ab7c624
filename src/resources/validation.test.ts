import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KindName, parseResource, ResourceInvalidError } from './index.ts';
import { EXAMPLES } from './testing/examples.ts';

/** Fields to set in the valid example of a kind (undefined removes one), and the problems to find: `path: allowed`. */
type Case = readonly [changes: Readonly<Record<string, unknown>>, ...problems: string[]];

const NAME = 'at most 253 lower-case letters, digits, - and ., each part between dots with a letter or digit at both ends';
const NETWORK = 'an address or a CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32';
const CIDR = 'a CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32';
const COMMUNITY = 'a community aa:nn (each 0 to 65535) or aa:nn:mm (each 0 to 4294967295)';
const PORT = 'a port from 1 to 65535, a range "min:max", or the name of a port';
const PROTOCOL = 'TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number from 1 to 255';
const LABEL_VALUE = 'at most 63 letters, digits, -, _ and ., with a letter or digit at both ends, or nothing';
const LABEL_KEY =
	'as a key: a name of at most 63 letters, digits, -, _ and . with a letter or digit at both ends, optionally after a DNS name and /';
const OPERATOR = 'a selector: an operator: ==, !=, in, not in, contains, starts with or ends with';
const AS_NUMBER = 'a whole number from 1 to 4294967295';
const PRIORITY = 'a whole number from 1 to 2147483646';
const GO_DURATION = 'a duration, such as 90s, 1m30s or 250ms';

const rule = (fields: object): Readonly<Record<string, unknown>> => ({ 'spec.ingress': [{ action: 'Allow', ...fields }] });
const egressRule = (fields: object): Readonly<Record<string, unknown>> => ({
	'spec.ingress': undefined,
	'spec.types': undefined,
	'spec.egress': [{ action: 'Allow', ...fields }],
});

const RULES: readonly Case[] = [
	[rule({ action: undefined }), 'spec.ingress[0].action: one of Allow, Deny, Log, Pass'],
	[rule({ action: 'allow' }), 'spec.ingress[0].action: one of Allow, Deny, Log, Pass'],
	[rule({ ipVersion: 5 }), 'spec.ingress[0].ipVersion: 4 or 6'],
	[rule({ protocol: 'TPC' }), `spec.ingress[0].protocol: ${PROTOCOL}`],
	[rule({ protocol: 0 }), `spec.ingress[0].protocol: ${PROTOCOL}`],
	[rule({ notProtocol: 256 }), `spec.ingress[0].notProtocol: ${PROTOCOL}`],
	[rule({ icmp: { type: 8 } }), 'spec.ingress[0].protocol: ICMP or ICMPv6, as icmp is set'],
	[rule({ protocol: 6, notICMP: { type: 8 } }), 'spec.ingress[0].protocol: ICMP or ICMPv6, as notICMP is set'],
	[rule({ protocol: 'ICMP', icmp: { code: 0 } }), 'spec.ingress[0].icmp.type: a type, as code is set'],
	[rule({ protocol: 'ICMP', icmp: { type: 255 } }), 'spec.ingress[0].icmp.type: a whole number from 0 to 254'],
	[rule({ protocol: 'ICMP', icmp: { type: 1, code: 256 } }), 'spec.ingress[0].icmp.code: a whole number from 0 to 255'],
	[rule({ protocol: 'ICMP', ipVersion: 6 }), 'spec.ingress[0].ipVersion: 4 or nothing, as protocol is ICMP'],
	[rule({ notProtocol: 58, ipVersion: 4 }), 'spec.ingress[0].ipVersion: 6 or nothing, as notProtocol is ICMPv6'],
	[rule({ source: { nets: ['10.0.0.0/8', '10.0.0.0/8'] } }), 'spec.ingress[0].source.nets[1]: each value once'],
	[rule({ source: { nets: ['10.0.0.1/8'] } }), `spec.ingress[0].source.nets[0]: ${NETWORK}`],
	[rule({ source: { notNets: [''] } }), `spec.ingress[0].source.notNets[0]: ${NETWORK}`],
	[
		rule({ source: { nets: Array.from({ length: 257 }, (_, index) => `10.0.${index >> 8}.${index & 255}`) } }),
		'spec.ingress[0].source.nets: a list of at most 256',
	],
	[
		rule({ destination: { notNets: ['0.0.0.0/0'] } }),
		'spec.ingress[0].destination.notNets[0]: a network that leaves some addresses to match',
	],
	[rule({ destination: { notNets: ['::/0'] } }), 'spec.ingress[0].destination.notNets[0]: a network that leaves some addresses to match'],
	[
		rule({ source: { nets: ['10.0.0.0/8'] }, destination: { notNets: ['2001:db8::/32'] } }),
		'spec.ingress[0].destination.notNets[0]: an IPv4 network, as 10.0.0.0/8 in this rule is',
	],
	[rule({ ipVersion: 6, source: { nets: ['10.0.0.0/8'] } }), 'spec.ingress[0].source.nets[0]: an IPv6 network, as ipVersion is 6'],
	[rule({ source: { selector: 'a = "b"' } }), `spec.ingress[0].source.selector: ${OPERATOR}`],
	[rule({ source: { selector: 'global()' } }), 'spec.ingress[0].source.selector: a selector without global()'],
	[rule({ source: { notSelector: '!global()' } }), 'spec.ingress[0].source.notSelector: a selector without global()'],
	[
		rule({ source: { namespaceSelector: 'global() || has(a)' } }),
		'spec.ingress[0].source.namespaceSelector: global() alone, or a selector without it',
	],
	[rule({ source: { selector: `a == "${'x'.repeat(1024)}"` } }), 'spec.ingress[0].source.selector: at most 1024 characters'],
	[rule({ protocol: 'TCP', source: { ports: [0] } }), `spec.ingress[0].source.ports[0]: ${PORT}`],
	[rule({ protocol: 'TCP', source: { ports: ['3:1'] } }), `spec.ingress[0].source.ports[0]: ${PORT}`],
	[rule({ protocol: 'TCP', source: { ports: ['65536'] } }), `spec.ingress[0].source.ports[0]: ${PORT}`],
	[rule({ protocol: 'TCP', source: { notPorts: ['a b'] } }), `spec.ingress[0].source.notPorts[0]: ${PORT}`],
	[
		rule({ protocol: 'TCP', source: { ports: Array.from({ length: 51 }, (_, index) => index + 1) } }),
		'spec.ingress[0].source.ports: a list of at most 50',
	],
	[rule({ destination: { ports: [80] } }), 'spec.ingress[0].protocol: TCP, UDP or SCTP, as destination.ports holds the number 80'],
	[
		rule({ destination: { notPorts: ['1:2'] } }),
		'spec.ingress[0].protocol: TCP, UDP or SCTP, as destination.notPorts holds the number 1:2',
	],
	[
		rule({ protocol: 'UDPLite', destination: { ports: ['http'] } }),
		'spec.ingress[0].destination.ports[0]: no ports, as protocol is UDPLite',
	],
	[rule({ protocol: 47, destination: { ports: [80] } }), 'spec.ingress[0].destination.ports[0]: no ports, as protocol is 47'],
	[rule({ source: { serviceAccounts: { names: ['A'] } } }), `spec.ingress[0].source.serviceAccounts.names[0]: ${NAME}`],
	[rule({ source: { serviceAccounts: { selector: 'a' } } }), `spec.ingress[0].source.serviceAccounts.selector: ${OPERATOR}`],
	[rule({ source: { services: { namespace: 'n' } } }), 'spec.ingress[0].source.services.name: the name of a service'],
	[
		rule({ destination: { services: { name: 's', namespace: 'n' } } }),
		'spec.ingress[0].destination.services: no services here: ingress rules match services in source',
	],
	[
		egressRule({ source: { services: { name: 's', namespace: 'n' } } }),
		'spec.egress[0].source.services: no services here: egress rules match services in destination',
	],
	...(['selector', 'notSelector', 'namespaceSelector'] as const).map(
		(field): Case => [
			egressRule({ destination: { services: { name: 's', namespace: 'n' }, [field]: 'has(a)' } }),
			`spec.egress[0].destination.${field}: nothing, as services is set`,
		],
	),
	...(['nets', 'notNets'] as const).map(
		(field): Case => [
			egressRule({ destination: { services: { name: 's', namespace: 'n' }, [field]: ['10.0.0.0/8'] } }),
			`spec.egress[0].destination.${field}: nothing, as services is set`,
		],
	),
	[
		egressRule({ destination: { services: { name: 's', namespace: 'n' }, serviceAccounts: { names: ['a'] } } }),
		'spec.egress[0].destination.serviceAccounts: nothing, as services is set',
	],
	[
		egressRule({ protocol: 'TCP', destination: { services: { name: 's', namespace: 'n' }, ports: [80] } }),
		"spec.egress[0].destination.ports: nothing, as services is set: a service's own ports are matched",
	],
	[
		egressRule({ protocol: 'TCP', destination: { services: { name: 's', namespace: 'n' }, notPorts: ['http'] } }),
		"spec.egress[0].destination.notPorts: nothing, as services is set: a service's own ports are matched",
	],
	[egressRule({ http: { methods: ['GET'] } }), 'spec.egress[0].http: nothing: HTTP is matched in ingress rules only'],
	[rule({ action: 'Deny', http: { methods: ['GET'] } }), 'spec.ingress[0].action: Allow, as http is set'],
	[rule({ protocol: 'UDP', http: { methods: ['GET'] } }), 'spec.ingress[0].protocol: TCP or nothing, as http is set'],
	[rule({ http: { methods: ['GET', 'GET'] } }), 'spec.ingress[0].http.methods[1]: each value once'],
	[
		rule({ http: { methods: Array.from({ length: 21 }, (_, index) => `M${index}`) } }),
		'spec.ingress[0].http.methods: a list of at most 20',
	],
	[rule({ http: { paths: [{}] } }), 'spec.ingress[0].http.paths[0]: one of exact and prefix'],
	[rule({ http: { paths: [{ exact: '/a', prefix: '/b' }] } }), 'spec.ingress[0].http.paths[0]: one of exact and prefix'],
	...['a', '/a?b', '/a#b', '/a b'].map(
		(path): Case => [
			rule({ http: { paths: [{ exact: path }] } }),
			'spec.ingress[0].http.paths[0].exact: a path that starts with / and has no ?, # or blank',
		],
	),
	[rule({ http: { paths: [{ prefix: `/${'x'.repeat(1024)}` }] } }), 'spec.ingress[0].http.paths[0].prefix: at most 1024 characters'],
	[rule({ metadata: { annotations: { 'a b': 'x' } } }), `spec.ingress[0].metadata.annotations["a b"]: ${LABEL_KEY}`],
	[
		rule({ metadata: { annotations: { a: 'x'.repeat(262_144) } } }),
		'spec.ingress[0].metadata.annotations: at most 262144 bytes of keys and values in all',
	],
	[
		rule({ protcol: 'TCP' }),
		'spec.ingress[0].protcol: one of the fields action, ipVersion, protocol, notProtocol, icmp, notICMP, source, destination, http, metadata',
	],
	[rule({ source: null, destination: 5 }), 'spec.ingress[0].destination: an object'],
	[{ 'spec.ingress': Array.from({ length: 1025 }, () => ({ action: 'Allow' })) }, 'spec.ingress: a list of at most 1024'],
	[{ 'spec.ingress': [null] }, 'spec.ingress[0]: an object'],
];

const POLICIES: readonly Case[] = [
	[{ 'spec.types': [] }, 'spec.types: a list of at least 1'],
	[{ 'spec.types': ['Ingress', 'Ingress'] }, 'spec.types[1]: each value once'],
	[{ 'spec.types': ['ingress'] }, 'spec.types[0]: one of Ingress, Egress'],
	[{ 'spec.performanceHints': ['Fast'] }, 'spec.performanceHints[0]: AssumeNeededOnEveryNode'],
	[{ 'spec.order': '1' }, 'spec.order: a number'],
	[{ 'spec.order': Number.NaN }, 'spec.order: a number'],
	[{ 'spec.tier': 'A' }, `spec.tier: ${NAME}`],
	[{ 'spec.selector': 'has(a' }, `spec.selector: ${OPERATOR}`],
	[{ 'spec.selector': 'global()' }, 'spec.selector: a selector without global()'],
	[{ 'spec.serviceAccountSelector': 'a ==' }, 'spec.serviceAccountSelector: a selector: a string in quotes'],
];

const CASES: { readonly [Name in KindName]: readonly Case[] } = {
	NetworkPolicy: [
		...RULES,
		...POLICIES,
		[
			{ 'metadata.name': 'a.b.c' },
			'metadata.name: lower-case letters, digits and -, in one part or two joined by a dot (knp.default.… and ossg.default.… are for converted policies)',
		],
		[{ 'metadata.namespace': undefined }, 'metadata.namespace: the namespace of the NetworkPolicy'],
		[{ 'metadata.namespace': 'A' }, `metadata.namespace: ${NAME}`],
		[{ 'metadata.labels': { '-a': 'x', a: '-' } }, `metadata.labels["-a"]: ${LABEL_KEY}`, `metadata.labels.a: ${LABEL_VALUE}`],
		[{ 'metadata.labels': { a: 1 } }, 'metadata.labels.a: a text'],
		[{ 'metadata.labels': ['a'] }, 'metadata.labels: an object whose values are texts'],
		[{ 'metadata.annotations': { 'A/b/c': 'x' } }, `metadata.annotations["A/b/c"]: ${LABEL_KEY}`],
		[{ 'metadata.annotations': { a: 'x'.repeat(262_144) } }, 'metadata.annotations: at most 262144 bytes of keys and values in all'],
		[{ 'metadata.lables': {} }, 'metadata.lables: a field of this kind'],
		[{ metadata: undefined }, 'metadata: an object'],
		[{ spec: [] }, 'spec: an object'],
		[
			{ 'spec.preDNAT': true },
			'spec.preDNAT: one of the fields tier, order, selector, serviceAccountSelector, types, ingress, egress, performanceHints',
		],
		[{ specs: {} }, 'specs: one of the fields apiVersion, kind, metadata, spec'],
		[{ status: {} }, 'status: one of the fields apiVersion, kind, metadata, spec'],
		[{ apiVersion: 'v1' }, 'apiVersion: projectcalico.org/v3'],
	],
	GlobalNetworkPolicy: [
		...RULES,
		...POLICIES,
		[{ 'metadata.name': 'knp.default.a' }, 'metadata.name: lower-case letters, digits and -, in one part or two joined by a dot'],
		[{ 'metadata.namespace': 'n' }, 'metadata.namespace: nothing, as a GlobalNetworkPolicy belongs to no namespace'],
		[{ 'spec.namespaceSelector': 'global()' }, 'spec.namespaceSelector: a selector without global()'],
		[
			rule({ source: { services: { name: 's' } } }),
			'spec.ingress[0].source.services.namespace: the namespace of the service, as this policy has none',
		],
		[{ 'spec.doNotTrack': true, 'spec.applyOnForward': false }, 'spec.applyOnForward: true, as doNotTrack is true'],
		[{ 'spec.preDNAT': true, 'spec.egress': undefined, 'spec.applyOnForward': undefined }, 'spec.applyOnForward: true, as preDNAT is true'],
		[{ 'spec.preDNAT': true, 'spec.doNotTrack': true, 'spec.egress': undefined }, 'spec.preDNAT: false, as doNotTrack is true'],
		[{ 'spec.preDNAT': true }, 'spec.egress: no egress rules, as preDNAT is true', 'spec.types[0]: Ingress only, as preDNAT is true'],
		[{ 'spec.preDNAT': true, 'spec.egress': [], 'spec.types': ['Ingress', 'Egress'] }, 'spec.types[1]: Ingress only, as preDNAT is true'],
	],
	Profile: [
		[rule({ protocol: 'ICMP', ipVersion: 6 }), 'spec.ingress[0].ipVersion: 4 or nothing, as protocol is ICMP'],
		[{ 'spec.labelsToApply': { a: '#' } }, `spec.labelsToApply.a: ${LABEL_VALUE}`],
		[{ 'metadata.name': 'projectcalico-default-allow' }, 'metadata.name: any other name: this profile is built in and cannot be written'],
	],
	Tier: [
		[{ 'metadata.name': 'a.b' }, 'metadata.name: at most 63 lower-case letters, digits and -, with a letter or digit at both ends'],
		[
			{ 'metadata.name': 'a'.repeat(64) },
			'metadata.name: at most 63 lower-case letters, digits and -, with a letter or digit at both ends',
		],
		[{ 'spec.defaultAction': 'Allow' }, 'spec.defaultAction: one of Deny, Pass'],
		[
			{ 'metadata.name': 'default' },
			'spec.order: 1000000, as the tier default is built in',
			'spec.defaultAction: Deny, as the tier default is built in',
		],
		[{ 'metadata.name': 'kube-admin' }, 'spec.order: 1000, as the tier kube-admin is built in'],
		[{ 'metadata.name': 'kube-baseline' }, 'spec.order: 10000000, as the tier kube-baseline is built in'],
		[
			{ status: { conditions: [{ type: 'Ready', status: 'Yes' }] } },
			'status.conditions[0].status: one of True, False, Unknown',
			'status.conditions[0].reason: a reason in one word',
			'status.conditions[0].message: a text',
			'status.conditions[0].lastTransitionTime: a text',
		],
	],
	NetworkSet: [
		[{ 'spec.nets': ['10.0.0.0/33'] }, 'spec.nets[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
		[{ 'spec.nets': ['10.0.0.1', '10.0.0.1'] }, 'spec.nets[1]: each value once'],
		[
			{ 'metadata.labels': { 'projectcalico.org/namespace': 'x' } },
			'metadata.labels["projectcalico.org/namespace"]: no such label: it is implied by the namespace',
		],
	],
	GlobalNetworkSet: [
		[{ 'spec.nets': [''] }, 'spec.nets[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
		[
			{ 'metadata.labels': { 'projectcalico.org/namespace': '' } },
			'metadata.labels["projectcalico.org/namespace"]: no such label: it is implied by the namespace',
		],
	],
	IPPool: [
		[{ 'spec.cidr': undefined }, `spec.cidr: ${CIDR}`],
		[{ 'spec.cidr': '10.0.0.0' }, `spec.cidr: ${CIDR}`],
		[{ 'spec.cidr': '10.0.0.1/8' }, `spec.cidr: ${CIDR}`],
		[{ 'spec.cidr': '169.254.0.0/20' }, 'spec.cidr: a network outside 169.254.0.0/16, which is link-local'],
		[
			{ 'spec.cidr': 'fe80::/8'.replace('fe80', 'fe00'), 'spec.blockSize': 122, 'spec.ipipMode': 'Never' },
			'spec.cidr: a network outside fe80::/10, which is link-local',
		],
		[{ 'spec.blockSize': 19 }, 'spec.blockSize: 20 to 32 for an IPv4 pool'],
		[{ 'spec.blockSize': 33 }, 'spec.blockSize: 20 to 32 for an IPv4 pool'],
		[{ 'spec.blockSize': 129 }, 'spec.blockSize: a whole number from 0 to 128'],
		[{ 'spec.blockSize': 26.5 }, 'spec.blockSize: a whole number from 0 to 128'],
		[{ 'spec.cidr': 'fd00::/64', 'spec.ipipMode': 'Never', 'spec.blockSize': 115 }, 'spec.blockSize: 116 to 128 for an IPv6 pool'],
		[{ 'spec.cidr': '10.0.0.0/27' }, 'spec.cidr: a network that holds a block: a prefix of at most 26 bits'],
		[{ 'spec.vxlanMode': 'CrossSubnet' }, 'spec.vxlanMode: Never, as ipipMode is set: one encapsulation at a time'],
		[{ 'spec.cidr': 'fd00::/64', 'spec.blockSize': undefined }, 'spec.ipipMode: Never, as the pool is IPv6'],
		[{ 'spec.ipipMode': 'always' }, 'spec.ipipMode: one of Never, Always, CrossSubnet'],
		[{ 'spec.nodeSelector': 'global()' }, 'spec.nodeSelector: a selector without global()'],
		[{ 'spec.namespaceSelector': 'has(a)' }, 'spec.namespaceSelector: nothing, as allowedUses has Tunnel'],
		[{ 'spec.allowedUses': ['Workload', 'Workload'] }, 'spec.allowedUses[1]: each value once'],
		[{ 'spec.allowedUses': ['Pods'] }, 'spec.allowedUses[0]: one of Workload, Tunnel, LoadBalancer'],
		[
			{ 'spec.allowedUses': ['LoadBalancer', 'Workload'], 'spec.ipipMode': undefined },
			'spec.allowedUses: LoadBalancer alone, or Workload and Tunnel without it',
		],
		[
			{ 'spec.allowedUses': ['LoadBalancer'], 'spec.disableBGPExport': true, 'spec.nodeSelector': 'has(a)' },
			'spec.ipipMode: Never, as allowedUses is LoadBalancer',
			'spec.disableBGPExport: false, as allowedUses is LoadBalancer',
			'spec.nodeSelector: all(), as allowedUses is LoadBalancer',
		],
		[{ 'spec.assignmentMode': 'Auto' }, 'spec.assignmentMode: one of Automatic, Manual'],
		[{ 'spec.natOutgoing': 'yes' }, 'spec.natOutgoing: true or false'],
	],
	IPReservation: [
		[{ 'spec.reservedCIDRs': ['10.0.0.0/8', '10.0.0.0/8'] }, 'spec.reservedCIDRs[1]: each value once'],
		[{ 'spec.reservedCIDRs': ['x'] }, 'spec.reservedCIDRs[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
	],
	IPAMConfiguration: [
		[{ 'metadata.name': 'other' }, 'metadata.name: default'],
		[{ 'spec.strictAffinity': undefined }, 'spec.autoAllocateBlocks: true, as strictAffinity is false'],
		[{ 'spec.maxBlocksPerHost': 1_000_001 }, 'spec.maxBlocksPerHost: a whole number from 0 to 1000000'],
		[{ 'spec.ipCooldownSeconds': 1201 }, 'spec.ipCooldownSeconds: a whole number from 0 to 1200'],
		[{ 'spec.kubeVirtVMAddressPersistence': 'On' }, 'spec.kubeVirtVMAddressPersistence: one of Enabled, Disabled'],
	],
	ClusterInformation: [
		[{ 'metadata.name': 'other' }, 'metadata.name: default'],
		[{ 'spec.datastoreReady': 'true' }, 'spec.datastoreReady: true or false'],
	],
	BGPConfiguration: [
		[
			{ 'metadata.name': 'node.a' },
			...(['nodeToNodeMeshEnabled', 'asNumber', 'serviceClusterIPs', 'nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const).map(
				(field) => `spec.${field}: nothing: this is set for the whole cluster, in the BGPConfiguration named default`,
			),
		],
		...(['serviceExternalIPs', 'serviceLoadBalancerIPs'] as const).map(
			(field): Case => [
				{ metadata: { name: 'node.a' }, spec: { [field]: [] } },
				`spec.${field}: nothing: this is set for the whole cluster, in the BGPConfiguration named default`,
			],
		),
		[
			{ 'spec.nodeToNodeMeshEnabled': false },
			'spec.nodeMeshPassword: nothing, as nodeToNodeMeshEnabled is false',
			'spec.nodeMeshMaxRestartTime: nothing, as nodeToNodeMeshEnabled is false',
		],
		[{ 'spec.nodeMeshPassword': { secretKeyRef: {} } }, 'spec.nodeMeshPassword.secretKeyRef.key: a text'],
		[{ 'spec.nodeMeshMaxRestartTime': '2 minutes' }, `spec.nodeMeshMaxRestartTime: ${GO_DURATION}`],
		[{ 'spec.asNumber': 0 }, `spec.asNumber: ${AS_NUMBER}`],
		[{ 'spec.asNumber': '65536.1' }, `spec.asNumber: ${AS_NUMBER}`],
		[{ 'spec.asNumber': 4_294_967_296 }, `spec.asNumber: ${AS_NUMBER}`],
		[{ 'spec.prefixAdvertisements': undefined }, 'spec.prefixAdvertisements: at least one prefix, as communities are defined'],
		[
			{ 'spec.prefixAdvertisements': [{ cidr: '10.0.0.0/8', communities: ['none'] }] },
			`spec.prefixAdvertisements[0].communities[0]: a name defined in spec.communities, or ${COMMUNITY}`,
		],
		[{ 'spec.prefixAdvertisements': [{ cidr: '10.0.0.1/8' }] }, `spec.prefixAdvertisements[0].cidr: ${CIDR}`],
		[{ 'spec.communities': [{ name: 'bgp-large', value: '65536:1' }] }, `spec.communities[0].value: ${COMMUNITY}`],
		[{ 'spec.communities': [{ name: 'bgp-large', value: '1:2:4294967296' }] }, `spec.communities[0].value: ${COMMUNITY}`],
		[{ 'spec.serviceClusterIPs': [{ cidr: '10.0.0.0' }] }, `spec.serviceClusterIPs[0].cidr: ${CIDR}`],
		[{ 'spec.serviceClusterIPs': [{}] }, `spec.serviceClusterIPs[0].cidr: ${CIDR}`],
		[{ 'spec.ignoredInterfaces': ['*'] }, 'spec.ignoredInterfaces[0]: an interface name or a pattern with *, but not * alone'],
		[{ 'spec.ignoredInterfaces': ['a'.repeat(16)] }, 'spec.ignoredInterfaces[0]: an interface name or a pattern with *, but not * alone'],
		[{ 'spec.ignoredInterfaces': ['a', 'a'] }, 'spec.ignoredInterfaces[1]: each value once'],
		[{ 'spec.bindMode': 'All' }, 'spec.bindMode: one of None, NodeIP'],
		[{ 'spec.listenPort': 65_536 }, 'spec.listenPort: a whole number from 1 to 65535'],
		[{ 'spec.ipv4NormalRoutePriority': 0 }, `spec.ipv4NormalRoutePriority: ${PRIORITY}`],
		[{ 'spec.ipv6NormalRoutePriority': 2_147_483_647 }, `spec.ipv6NormalRoutePriority: ${PRIORITY}`],
		[{ 'spec.localWorkloadPeeringIPV4': '::1' }, 'spec.localWorkloadPeeringIPV4: an IPv4 address'],
		[{ 'spec.localWorkloadPeeringIPV6': '10.0.0.1' }, 'spec.localWorkloadPeeringIPV6: an IPv6 address'],
		[{ 'spec.logSeverityScreen': 'loud' }, 'spec.logSeverityScreen: one of Trace, Debug, Info, Warning, Error, Fatal'],
		[{ 'spec.programClusterRoutes': 'Yes' }, 'spec.programClusterRoutes: one of Enabled, Disabled, EnabledIPIPOnly, EnabledNoEncapOnly'],
		[{ 'spec.serviceLoadBalancerAggregation': 'Yes' }, 'spec.serviceLoadBalancerAggregation: one of Enabled, Disabled'],
	],
	BGPPeer: [
		[{ 'spec.node': 'a' }, 'spec.nodeSelector: nothing, as node is set'],
		[{ 'spec.peerSelector': 'has(a)', 'spec.asNumber': undefined }, 'spec.peerSelector: nothing, as peerIP is set'],
		[
			{ 'spec.peerSelector': 'has(a)', 'spec.peerIP': undefined },
			'spec.asNumber: nothing, as peerSelector is set: the selected nodes have their AS numbers',
		],
		[
			{ 'spec.localWorkloadSelector': 'has(a)', 'spec.asNumber': undefined },
			'spec.peerIP: nothing, as localWorkloadSelector is set',
			'spec.asNumber: an AS number, as localWorkloadSelector is set',
		],
		[
			{ 'spec.localWorkloadSelector': 'has(a)', 'spec.peerIP': undefined, 'spec.peerSelector': 'has(b)' },
			'spec.asNumber: nothing, as peerSelector is set: the selected nodes have their AS numbers',
			'spec.peerSelector: nothing, as localWorkloadSelector is set',
		],
		[{ 'spec.reachableBy': '::1' }, 'spec.reachableBy: an IPv4 address, as peerIP is'],
		[{ 'spec.reachableBy': '10.0.0.1', 'spec.peerIP': undefined }, 'spec.reachableBy: nothing, as peerIP is not set'],
		[{ 'spec.reachableBy': '10.0.0.1/8' }, 'spec.reachableBy: an IP address'],
		[{ 'spec.keepOriginalNextHop': true, 'spec.nextHopMode': 'Keep' }, 'spec.nextHopMode: nothing, as keepOriginalNextHop is true'],
		...['192.0.2.1:0', '192.0.2.1:65536', '2001:db8::1:179x', '[192.0.2.1]:179', '[2001:db8::1]', 'host'].map(
			(address): Case => [
				{ 'spec.peerIP': address },
				'spec.peerIP: an IP address, optionally with a port: 192.0.2.1, 192.0.2.1:1179, 2001:db8::1 or [2001:db8::1]:1179',
			],
		),
		[{ 'spec.nodeSelector': 'a' }, `spec.nodeSelector: ${OPERATOR}`],
		[{ 'spec.filters': ['A'] }, `spec.filters[0]: ${NAME}`],
		[{ 'spec.localASNumber': -1 }, `spec.localASNumber: ${AS_NUMBER}`],
		[{ 'spec.numAllowedLocalASNumbers': 0x8000_0000 }, 'spec.numAllowedLocalASNumbers: a whole number from -2147483648 to 2147483647'],
		[{ 'spec.ttlSecurity': 256 }, 'spec.ttlSecurity: a whole number from 0 to 255'],
		[{ 'spec.keepaliveTime': '-1s' }, `spec.keepaliveTime: ${GO_DURATION}`],
		[{ 'spec.maxRestartTime': '10' }, `spec.maxRestartTime: ${GO_DURATION}`],
		[{ 'spec.nextHopMode': 'auto' }, 'spec.nextHopMode: one of Auto, Self, Keep'],
		[{ 'spec.sourceAddress': 'NodeIP' }, 'spec.sourceAddress: one of UseNodeIP, None'],
		[{ 'spec.reversePeering': 'None' }, 'spec.reversePeering: one of Auto, Manual'],
	],
	BGPFilter: [
		[{ 'spec.exportV4[0].matchOperator': undefined }, 'spec.exportV4[0].matchOperator: Equal, NotEqual, In or NotIn, as cidr is set'],
		[
			{ 'spec.exportV4[0].cidr': undefined },
			'spec.exportV4[0].cidr: a network, as matchOperator is set',
			'spec.exportV4[0].prefixLength: nothing, as cidr is not set',
		],
		[{ 'spec.exportV4[0].cidr': '2001:db8::/32' }, 'spec.exportV4[0].cidr: an IPv4 network'],
		[{ 'spec.importV6[0].cidr': '10.0.0.0/8' }, 'spec.importV6[0].cidr: an IPv6 network'],
		[{ 'spec.exportV4[0].cidr': '10.0.0.1/8' }, `spec.exportV4[0].cidr: ${CIDR}`],
		[{ 'spec.exportV4[0].prefixLength': { min: 33 } }, 'spec.exportV4[0].prefixLength.min: a whole number from 0 to 32'],
		[{ 'spec.importV6[0].prefixLength': { max: 129 } }, 'spec.importV6[0].prefixLength.max: a whole number from 0 to 128'],
		[{ 'spec.exportV4[0].action': 'Reject' }, 'spec.exportV4[0].operations: nothing, as action is not Accept'],
		[{ 'spec.exportV4[0].action': 'accept' }, 'spec.exportV4[0].action: one of Accept, Reject'],
		[{ 'spec.exportV4[0].operations': [{}] }, 'spec.exportV4[0].operations[0]: exactly one of addCommunity, prependASPath and setPriority'],
		[
			{ 'spec.exportV4[0].operations': [{ setPriority: { value: 1 }, addCommunity: { value: '1:1' } }] },
			'spec.exportV4[0].operations[0]: exactly one of addCommunity, prependASPath and setPriority',
		],
		[{ 'spec.exportV4[0].operations': [] }, 'spec.exportV4[0].operations: a list of at least 1'],
		[
			{ 'spec.exportV4[0].operations': Array.from({ length: 11 }, () => ({ setPriority: { value: 1 } })) },
			'spec.exportV4[0].operations: a list of at most 10',
		],
		[
			{ 'spec.exportV4[0].operations': [{ prependASPath: { prefix: [] } }] },
			'spec.exportV4[0].operations[0].prependASPath.prefix: a list of at least 1',
		],
		[{ 'spec.exportV4[0].operations': [{ setPriority: { value: 0 } }] }, `spec.exportV4[0].operations[0].setPriority.value: ${PRIORITY}`],
		[
			{ 'spec.exportV4[0].operations': [{ addCommunity: { value: '1' } }] },
			`spec.exportV4[0].operations[0].addCommunity.value: ${COMMUNITY}`,
		],
		[{ 'spec.exportV4[0].communities': { values: ['1:1', '2:2'] } }, 'spec.exportV4[0].communities.values: a list of at most 1'],
		[{ 'spec.exportV4[0].communities': {} }, 'spec.exportV4[0].communities.values: a list'],
		[{ 'spec.exportV4[0].asPathPrefix': [0] }, `spec.exportV4[0].asPathPrefix[0]: ${AS_NUMBER}`],
		[{ 'spec.exportV4[0].interface': 'a b' }, 'spec.exportV4[0].interface: an interface name or a pattern with *'],
		[{ 'spec.exportV4[0].peerType': 'ebgp' }, 'spec.exportV4[0].peerType: one of eBGP, iBGP'],
		[{ 'spec.exportV4[0].source': 'Peers' }, 'spec.exportV4[0].source: RemotePeers'],
		[{ 'spec.exportV4[0].priority': 0 }, `spec.exportV4[0].priority: ${PRIORITY}`],
	],
	Node: [
		[{ 'spec.bgp': {} }, 'spec.bgp: at least one of its fields, or no bgp at all'],
		[{ 'spec.bgp.ipv4Address': '2001:db8::1' }, 'spec.bgp.ipv4Address: an IPv4 address or CIDR, such as 192.0.2.1/24'],
		[{ 'spec.bgp.ipv6Address': '10.0.0.1/8' }, 'spec.bgp.ipv6Address: an IPv6 address or CIDR, such as 2001:db8::1/64'],
		[{ 'spec.bgp.ipv4IPIPTunnelAddr': '10.0.0.1/32' }, 'spec.bgp.ipv4IPIPTunnelAddr: an IPv4 address'],
		[{ 'spec.bgp.routeReflectorClusterID': '1' }, 'spec.bgp.routeReflectorClusterID: an IPv4 address'],
		[{ 'spec.bgp.asNumber': 'x' }, `spec.bgp.asNumber: ${AS_NUMBER}`],
		[{ 'spec.vxlanTunnelMACAddr': '66:4a' }, 'spec.vxlanTunnelMACAddr: a MAC address, such as ee:ee:ee:ee:ee:ee'],
		[{ 'spec.ipv6VXLANTunnelAddr': '10.0.0.1' }, 'spec.ipv6VXLANTunnelAddr: an IPv6 address'],
		[{ 'spec.wireguard': { interfaceIPv4Address: 'x' } }, 'spec.wireguard.interfaceIPv4Address: an IPv4 address'],
		[{ 'spec.addresses[0].type': 'Public' }, 'spec.addresses[0].type: one of CalicoNodeIP, InternalIP, ExternalIP'],
		[{ 'spec.addresses[0].address': 'x' }, 'spec.addresses[0].address: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
		[{ 'spec.interfaces[0].addresses': ['x'] }, 'spec.interfaces[0].addresses[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
		[{ 'status.wireguardPublicKey': 'abc=' }, 'status.wireguardPublicKey: a WireGuard key: 32 bytes in base64'],
		[{ 'status.podCIDRs': ['x'] }, 'status.podCIDRs[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8'],
		[{ 'metadata.name': 'Worker' }, `metadata.name: ${NAME}`],
		[{ 'metadata.name': undefined }, 'metadata.name: a text'],
	],
	WorkloadEndpoint: [
		[
			{ 'metadata.name': 'worker-1-k8s-web-eth0' },
			'metadata.name: worker--1-k8s-web--7d8f-eth0, as spec.node, orchestrator, pod (or container or workload) and endpoint make it',
		],
		[
			{ 'spec.endpoint': undefined },
			'metadata.name: a name made of spec.node, orchestrator, pod (or container or workload) and endpoint, of which one is missing or begins or ends with -',
		],
		[{ 'spec.serviceAccountName': 'A' }, `spec.serviceAccountName: ${NAME}`],
		[{ 'spec.containerID': '-x' }, 'spec.containerID: letters, digits and -, with a letter or digit at both ends'],
		[{ 'spec.ipNetworks': ['192.168.21.67/31', 'fd00::1'] }, 'spec.ipNetworks[0]: one address, with /32 or /128'],
		[{ 'spec.ipNATs[0].externalIP': '::1' }, 'spec.ipNATs[0].externalIP: an address of the family of 192.168.21.67'],
		[{ 'spec.ipNATs[0].internalIP': '192.168.21.68' }, 'spec.ipNATs[0].internalIP: an address in spec.ipNetworks'],
		[{ 'spec.ipNATs[0].internalIP': '' }, 'spec.ipNATs[0].internalIP: an IP address'],
		[{ 'spec.ipv4Gateway': '::1' }, 'spec.ipv4Gateway: an IPv4 address'],
		[{ 'spec.ipv6Gateway': '10.0.0.1' }, 'spec.ipv6Gateway: an IPv6 address'],
		[{ 'spec.profiles': ['A'] }, `spec.profiles[0]: ${NAME}`],
		[{ 'spec.interfaceName': 'a'.repeat(16) }, 'spec.interfaceName: 1 to 15 letters, digits, _, . and -'],
		[{ 'spec.mac': 'ee' }, 'spec.mac: a MAC address, such as ee:ee:ee:ee:ee:ee'],
		[{ 'spec.ports[0].port': 0 }, 'spec.ports[0].port: a whole number from 1 to 65535'],
		[{ 'spec.ports[0].protocol': 'ICMP' }, 'spec.ports[0].protocol: TCP, UDP or SCTP'],
		[{ 'spec.ports[0].protocol': undefined }, `spec.ports[0].protocol: ${PROTOCOL}`],
		[{ 'spec.ports[0].name': '' }, 'spec.ports[0].name: a name, as hostPort is not set'],
		[{ 'spec.ports[0].name': 'a b' }, 'spec.ports[0].name: 1 to 128 letters, digits, _, . and -'],
		[{ 'spec.ports[0].hostIP': 'x' }, 'spec.ports[0].hostIP: an IP address'],
		[
			{ 'spec.allowSpoofedSourcePrefixes': ['x'] },
			'spec.allowSpoofedSourcePrefixes[0]: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8',
		],
		[{ 'spec.qosControls.dscp': 64 }, 'spec.qosControls.dscp: a DSCP value from 0 to 63, or its name'],
		[{ 'spec.qosControls.dscp': 'EE' }, 'spec.qosControls.dscp: a DSCP value from 0 to 63, or its name'],
		[{ 'spec.qosControls.ingressBurst': -1 }, 'spec.qosControls.ingressBurst: a whole number of at least 0'],
	],
	FelixConfiguration: [
		[{ 'spec.nodeSelector': 'has(a)' }, 'spec.nodeSelector: nothing: default is for all nodes, and node.<name> for one'],
		[
			{ 'metadata.name': 'node.a', 'spec.nodeSelector': 'has(a)' },
			'spec.nodeSelector: nothing: default is for all nodes, and node.<name> for one',
		],
		[{ 'spec.routeTableRange': { min: 1, max: 250 } }, 'spec.routeTableRange: nothing, as routeTableRanges is set'],
		[
			{ 'spec.routeTableRanges': undefined, 'spec.routeTableRange': { min: 9, max: 8 } },
			'spec.routeTableRange.max: at least 9, which is min',
		],
		[
			{ 'spec.routeTableRanges': undefined, 'spec.routeTableRange': { min: 1, max: 251 } },
			'spec.routeTableRange.max: a whole number from 1 to 250',
		],
		[{ 'spec.routeTableRanges[0].max': 0 }, 'spec.routeTableRanges[0].max: a whole number from 1 to 4294967295'],
		[{ 'spec.routeTableRanges': [{ min: 9, max: 8 }] }, 'spec.routeTableRanges[0].max: at least 9, which is min'],
		[
			{
				'spec.routeTableRanges': [
					{ min: 1, max: 65_535 },
					{ min: 70_000, max: 70_000 },
				],
			},
			'spec.routeTableRanges: at most 65535 tables in all; these are 65536',
		],
		[{ 'spec.reportingInterval': '30' }, 'spec.reportingInterval: a duration in h, m, s and ms, such as 90s or 1m30s'],
		[{ 'spec.bpfConntrackTimeouts': { udpTimeout: 'never' } }, 'spec.bpfConntrackTimeouts.udpTimeout: a duration such as 60s, or Auto'],
		[{ 'spec.logSeverityScreen': 'Loud' }, 'spec.logSeverityScreen: one of Trace, Debug, Info, Warning, Error, Fatal'],
		[{ 'spec.chainInsertMode': 'Prepend' }, 'spec.chainInsertMode: one of Insert, Append'],
		[{ 'spec.failsafeInboundHostPorts[0].protocol': 'ICMP' }, 'spec.failsafeInboundHostPorts[0].protocol: one of TCP, UDP, SCTP'],
		[{ 'spec.failsafeInboundHostPorts[0].port': 65_536 }, 'spec.failsafeInboundHostPorts[0].port: a whole number from 0 to 65535'],
		[
			{ 'spec.failsafeInboundHostPorts[0].net': 'x' },
			'spec.failsafeInboundHostPorts[0].net: an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8',
		],
		[{ 'spec.kubeNodePortRanges': Array.from({ length: 8 }, (_, index) => index) }, 'spec.kubeNodePortRanges: a list of at most 7'],
		[{ 'spec.kubeNodePortRanges': ['http'] }, 'spec.kubeNodePortRanges[0]: a port from 0 to 65535 or a range "min:max"'],
		[{ 'spec.natPortRange': '9:8' }, 'spec.natPortRange: a port from 0 to 65535 or a range "min:max"'],
		[{ 'spec.healthPort': 65_536 }, 'spec.healthPort: a whole number from 0 to 65535'],
		[{ 'spec.healthHost': 'a b' }, 'spec.healthHost: a host name or address of at most 64 characters'],
		[{ 'spec.natOutgoingAddress': '::1' }, 'spec.natOutgoingAddress: an IPv4 address'],
		[{ 'spec.deviceRouteSourceAddressIPv6': '10.0.0.1' }, 'spec.deviceRouteSourceAddressIPv6: an IPv6 address'],
		[{ 'spec.externalNodesList': ['2001:db8::/32'] }, 'spec.externalNodesList[0]: an IPv4 address or CIDR, such as 192.0.2.1/24'],
		[{ 'spec.logPrefix': 'a;b' }, 'spec.logPrefix: letters, digits, blanks, %, :, /, _ and -'],
		[
			{ 'spec.logActionRateLimit': '0/second' },
			'spec.logActionRateLimit: a rate from 1 to 9999, such as 10/second, 5/minute, 1/hour or 1/day',
		],
		[{ 'spec.logActionRateLimitBurst': 10_000 }, 'spec.logActionRateLimitBurst: a whole number from 0 to 9999'],
		[{ 'spec.interfacePrefix': 'cali,' }, 'spec.interfacePrefix: a list of prefixes, each of 1 to 15 letters, digits, _ and -'],
		[
			{ 'spec.wireguardInterfaceName': 'a'.repeat(16) },
			'spec.wireguardInterfaceName: an interface name of at most 15 characters, + as a wildcard',
		],
		[{ 'spec.openstackRegion': 'a'.repeat(47) }, 'spec.openstackRegion: a DNS label of at most 46 characters'],
		[{ 'spec.metadataAddr': 'a b' }, 'spec.metadataAddr: a host name or IPv4 address'],
		[{ 'spec.featureDetectOverride': 'a=b' }, 'spec.featureDetectOverride: a list key=true,key=false,…'],
		[{ 'spec.featureGates': 'a' }, 'spec.featureGates: a list key=value,…'],
		[{ 'spec.iptablesMarkMask': 4_294_967_296 }, 'spec.iptablesMarkMask: a whole number from 0 to 4294967295'],
		[{ 'spec.wireguardRoutingRulePriority': 32_766 }, 'spec.wireguardRoutingRulePriority: a whole number from 1 to 32765'],
		[{ 'spec.istioDSCPMark': 64 }, 'spec.istioDSCPMark: a DSCP value from 0 to 63, or its name'],
		[{ 'spec.bpfMapSizeConntrackCleanupQueue': 0 }, 'spec.bpfMapSizeConntrackCleanupQueue: a whole number from 1 to 2147483647'],
		[
			{ 'spec.prometheusMetricsClientAuth': 'None' },
			'spec.prometheusMetricsClientAuth: one of RequireAndVerifyClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, NoClientCert',
		],
		[{ 'spec.bpfEnable': true }, 'spec.bpfEnable: a field of this kind'],
	],
};

for (const kind of Object.keys(CASES) as KindName[])
	test(`every rule of ${kind} is kept, and what breaks it is named with what is allowed`, () => {
		for (const [changes, ...expected] of CASES[kind]) {
			const resource = changed(EXAMPLES[kind], changes);
			assert.deepEqual(problemsOf(resource), [...expected].sort(), JSON.stringify(changes).slice(0, 300));
		}
	});

test('what has no rule against it is accepted', () => {
	const accepted: readonly (readonly [KindName, Readonly<Record<string, unknown>>])[] = [
		['NetworkPolicy', { 'metadata.name': 'knp.default.a.b.c' }],
		['NetworkPolicy', { 'metadata.name': 'tier.policy', 'metadata.annotations': { 'Example.COM/Key': 'any text at all' } }],
		['NetworkPolicy', rule({ destination: { ports: ['http'] } })],
		['NetworkPolicy', rule({ protocol: 'sctp', source: { ports: ['80', 1, '1:65535'] } })],
		['NetworkPolicy', rule({ protocol: 1, icmp: { type: 8, code: 0 }, ipVersion: 4 })],
		['NetworkPolicy', rule({ protocol: 'icmpv6', icmp: { type: 128 }, notICMP: { type: 1, code: 3 }, ipVersion: 6 })],
		['NetworkPolicy', egressRule({ destination: { services: { name: 's' } } })],
		['NetworkPolicy', rule({ http: { methods: ['GET'], paths: [{ prefix: '/' }] }, protocol: 6 })],
		['NetworkPolicy', rule({ source: { nets: ['0.0.0.0/0'], serviceAccounts: { names: ['a'], selector: 'has(b)' } } })],
		['GlobalNetworkPolicy', { 'spec.doNotTrack': true }],
		['GlobalNetworkPolicy', { 'spec.preDNAT': true, 'spec.egress': undefined }],
		['IPPool', { 'spec.cidr': '10.0.0.0/27', 'spec.disabled': true }],
		['IPPool', { 'spec.cidr': 'fd00::/64', 'spec.ipipMode': undefined, 'spec.blockSize': undefined, 'spec.vxlanMode': 'Always' }],
		['IPPool', { 'spec.namespaceSelector': 'has(a)', 'spec.allowedUses': ['Workload'] }],
		['IPPool', { 'spec.allowedUses': ['LoadBalancer'], 'spec.ipipMode': 'Never', 'spec.nodeSelector': ' all( ) ' }],
		['Tier', { 'metadata.name': 'default', spec: { order: 1_000_000 } }],
		['BGPConfiguration', { metadata: { name: 'node.a' }, spec: { logSeverityScreen: 'debug', listenPort: 1790 } }],
		['BGPPeer', { 'spec.peerIP': '[2001:db8::1]:1179', 'spec.reachableBy': '2001:db8::2' }],
		['BGPPeer', { spec: { localWorkloadSelector: 'has(a)', asNumber: '64512' } }],
		['BGPPeer', { spec: undefined }],
		['FelixConfiguration', { 'metadata.name': 'gpu', 'spec.nodeSelector': 'has(gpu)' }],
		['FelixConfiguration', { 'spec.iptablesLockTimeout': '10s', 'spec.bpfEnforceRPF': 'loose' }],
		['Node', { 'spec.bgp': undefined }],
		['WorkloadEndpoint', { 'spec.ports': [{ protocol: 'TCP', port: 80, hostPort: 8080 }] }],
		['WorkloadEndpoint', { 'metadata.name': 'worker--1-cni-4c1f-eth0', 'spec.orchestrator': 'cni' }],
	];
	for (const [kind, changes] of accepted) assert.deepEqual(problemsOf(changed(EXAMPLES[kind], changes)), [], JSON.stringify(changes));
});

test('a mistyped word comes with the one that was meant', () => {
	const hints: readonly (readonly [KindName, Readonly<Record<string, unknown>>, string | undefined])[] = [
		['NetworkPolicy', rule({ protcol: 'TCP' }), 'there is no such field; did you mean protocol?'],
		['NetworkPolicy', { 'spec.zzz': 1 }, 'there is no such field'],
		['NetworkPolicy', rule({ action: 'alow' }), 'did you mean Allow?'],
		['NetworkPolicy', { Spec: {} }, 'there is no such field; did you mean spec?'],
		['NetworkPolicy', rule({ source: { nets: ['10.1.2.3/8'] } }), 'did you mean 10.0.0.0/8?'],
		['NetworkPolicy', { kind: 'NetworkPolciy' }, 'did you mean NetworkPolicy?'],
		['NetworkPolicy', { kind: 'Pod' }, undefined],
		['NetworkPolicy', { 'spec.selector': 'a = "b"' }, 'selector "a = \\"b\\"": found "= \\"b\\"" at character 3'],
	];
	for (const [kind, changes, hint] of hints) assert.equal(errorOf(changed(EXAMPLES[kind], changes))?.problems[0]?.hint, hint);
});

function problemsOf(resource: unknown): string[] {
	return (errorOf(resource)?.problems ?? []).map(({ path, allowed }) => `${path}: ${allowed}`).sort();
}

function errorOf(resource: unknown): ResourceInvalidError | undefined {
	try {
		parseResource(resource);
	} catch (error) {
		if (error instanceof ResourceInvalidError) return error;
		throw error;
	}
	return undefined;
}

/** A copy with fields, named by their paths, set or (with undefined) removed. */
function changed(resource: unknown, changes: Readonly<Record<string, unknown>>): unknown {
	const copy = structuredClone(resource);
	for (const [path, value] of Object.entries(changes)) {
		const steps = path.split(/[.[\]]+/).filter((step) => step !== '');
		const last = steps.pop() as string;
		let at = copy as Record<string, unknown>;
		for (const step of steps) at = at[step] as Record<string, unknown>;
		if (value === undefined) delete at[last];
		else at[last] = value;
	}
	return copy;
}
