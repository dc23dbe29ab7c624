import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { Client, MemoryBackend, systemClock } from '#datastore';
import { ip, splitCidr } from '#net';
import { API_VERSION, type IPPool, type Node } from '#resources';
import { type Environment, nodeSettings } from '../settings.ts';
import { detectAddress, type HostInterface } from './address-detection.ts';
import { writeDefaults } from './default-configuration.ts';
import { createDefaultPools, freeRange } from './default-pools.ts';
import { parseDetectionMethod } from './detection-method.ts';
import { writeNode } from './node-resource.ts';
import { type StartUpSettings, startUpSettings } from './start-up-settings.ts';

const SIGNAL = new AbortController().signal;
const logger = pino({ level: 'silent' });

function host(...interfaces: readonly (readonly [string, ...string[]])[]): HostInterface[] {
	return interfaces.map(([name, ...addresses]) => ({ name, addresses: addresses.flatMap((address) => splitCidr(address) ?? []) }));
}

const HOST = host(
	['lo', '127.0.0.1/8', '::1/128'],
	['docker0', '172.17.0.1/16'],
	['cali1234', '10.1.1.1/32'],
	['eth0', '169.254.7.7/16', '10.0.0.1/24', 'fe80::1/64', 'fd00::1/64'],
	['eth1', '192.168.5.1/24', 'fd05::1/64'],
);

test('the node’s address is found by each method', async () => {
	const table: readonly (readonly [string, 4 | 6, string | undefined])[] = [
		['first-found', 4, '10.0.0.1'],
		['first-found', 6, 'fd00::1'],
		['interface=eth1', 4, '192.168.5.1'],
		['interface=nope,eth1,eth0', 4, '192.168.5.1'],
		['interface=docker0', 4, '172.17.0.1'],
		['skip-interface=eth0', 6, 'fd05::1'],
		['skip-interface=eth', 4, undefined],
		['cidr=192.168.0.0/16', 4, '192.168.5.1'],
		['cidr=172.16.0.0/12', 4, undefined],
		['can-reach=192.0.2.1', 4, '192.168.5.1'],
		['can-reach=nowhere', 4, undefined],
	];
	for (const [method, family, expected] of table) {
		const sourceTo = (destination: string) => Promise.resolve(destination === 'nowhere' ? undefined : ip('192.168.5.1'));
		const { found } = await detectAddress(parseDetectionMethod(method, 'IP_AUTODETECTION_METHOD'), family, HOST, sourceTo);
		assert.equal(found?.address, expected, `${method} for IPv${family}`);
	}
});

function settings(env: Environment): StartUpSettings {
	return startUpSettings(env, nodeSettings({ NODENAME: 'n1', ...env }, undefined));
}

interface Bed {
	readonly client: Client;
	readonly write: (env: Environment, interfaces?: readonly HostInterface[]) => Promise<Node>;
}

function bed(): Bed {
	const client = new Client({ backend: new MemoryBackend(), clock: systemClock });
	const write = (env: Environment, interfaces: readonly HostInterface[] = HOST): Promise<Node> =>
		writeNode(client, settings(env), { interfaces: () => interfaces, sourceTo: () => Promise.resolve(undefined), logger }, SIGNAL);
	return { client, write };
}

function bgpNode(name: string, bgp: NonNullable<Node['spec']['bgp']>): Node {
	return { apiVersion: API_VERSION, kind: 'Node', metadata: { name }, spec: { bgp } };
}

test('a new node is stored with the address found, its AS and its Kubernetes name', async () => {
	const { write } = bed();
	const { spec } = await write({ AS: '64600', CALICO_K8S_NODE_REF: 'k1', IP6: 'autodetect' });
	assert.deepEqual(spec.bgp, { asNumber: 64_600, ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' });
	assert.deepEqual(spec.orchRefs, [{ nodeName: 'k1', orchestrator: 'k8s' }]);
	assert.deepEqual(spec.addresses, [
		{ address: '10.0.0.1/24', type: 'CalicoNodeIP' },
		{ address: 'fd00::1/64', type: 'CalicoNodeIP' },
	]);
});

test('a stored node keeps what it has, but for what the settings say', async () => {
	const { client, write } = bed();
	await client.resources.create({
		...bgpNode('n1', { ipv4Address: '10.9.9.9/24', asNumber: 65_000, routeReflectorClusterID: '224.0.0.1' }),
		metadata: { name: 'n1', labels: { rack: 'a' } },
	});
	const kept = await write({});
	assert.deepEqual(kept.spec.bgp, { asNumber: 65_000, ipv4Address: '10.9.9.9/24', routeReflectorClusterID: '224.0.0.1' });
	assert.deepEqual(kept.metadata.labels, { rack: 'a' });
	const again = await write({});
	assert.equal(again.metadata.resourceVersion, kept.metadata.resourceVersion, 'nothing is written where nothing changes');
	assert.equal((await write({ IP: 'autodetect' })).spec.bgp?.ipv4Address, '10.0.0.1/24');
	assert.equal((await write({ IP: 'none', IP6: 'fd00::1' })).spec.bgp?.ipv4Address, undefined);
});

test('a given address without a length has that of the interface, or is a host’s', async () => {
	assert.equal((await bed().write({ IP: '192.168.5.1' })).spec.bgp?.ipv4Address, '192.168.5.1/24');
	assert.equal((await bed().write({ IP: '192.0.2.9' })).spec.bgp?.ipv4Address, '192.0.2.9/32');
});

test('no address is an error that says what was looked at, unless there is no BGP', async () => {
	await assert.rejects(bed().write({}, host(['lo', '127.0.0.1/8'], ['docker0', '172.17.0.1/16'])), {
		code: 'NODE_NO_ADDRESS',
		message: /docker0/,
	});
	await assert.rejects(bed().write({ IP: 'none' }), { code: 'NODE_NO_ADDRESS' });
	assert.equal((await bed().write({ IP: 'none', CALICO_NETWORKING_BACKEND: 'none' })).spec.bgp, undefined);
});

test('an address that another node has is refused, and the other node named', async () => {
	const { client, write } = bed();
	await client.resources.create(bgpNode('n2', { ipv4Address: '10.0.0.1/16' }));
	await assert.rejects(write({}), { code: 'NODE_ADDRESS_CONFLICT', message: /n2/ });
	assert.equal((await write({ DISABLE_NODE_IP_CHECK: 'true' })).metadata.name, 'n1');
});

test('default pools are made for families that have none', async () => {
	const { client } = bed();
	const { pools } = settings({ CALICO_IPV6POOL_CIDR: 'fd65::/48' });
	const modules = { interfaces: () => HOST, randomBytes: () => new Uint8Array([1, 2, 3, 4, 5]), logger };
	await createDefaultPools(client, pools, modules, SIGNAL);
	const names = async (): Promise<string[]> =>
		(await client.resources.list('IPPool')).items.map(({ metadata, spec }) => `${metadata.name} ${spec.cidr}`);
	// 192.168.0.0/16 is this host's, by eth1.
	assert.deepEqual(await names(), ['default-ipv4-ippool 172.16.0.0/16', 'default-ipv6-ippool fd65::/48']);
	await createDefaultPools(client, pools, modules, SIGNAL);
	assert.equal((await names()).length, 2);
	const { natOutgoing, blockSize }: IPPool['spec'] = (await client.resources.get('IPPool', { name: 'default-ipv4-ippool' })).spec;
	assert.deepEqual({ natOutgoing, blockSize }, { natOutgoing: true, blockSize: 26 });
	assert.equal(freeRange(6, modules), 'fd01:203:405::/48');
	const full = host(['eth0', '192.168.0.1/16', '172.16.0.1/12']);
	assert.throws(() => freeRange(4, { ...modules, interfaces: () => full }), { code: 'NODE_NO_POOL_RANGE' });
});

test('default configuration is made, and completed without touching what users set', async () => {
	const { client } = bed();
	await client.resources.create({
		apiVersion: API_VERSION,
		kind: 'FelixConfiguration',
		metadata: { name: 'default' },
		spec: { logSeverityScreen: 'Debug', interfacePrefix: 'tap' },
	});
	await writeDefaults(client, 'n1', SIGNAL);
	await writeDefaults(client, 'n1', SIGNAL);
	const { spec } = await client.resources.get('FelixConfiguration', { name: 'default' });
	assert.deepEqual(spec, { logSeverityScreen: 'Debug', interfacePrefix: 'tap', reportingInterval: '0s' });
	const own = await client.resources.get('FelixConfiguration', { name: 'node.n1' });
	assert.deepEqual(own.spec, { defaultEndpointToHostAction: 'Return' });
	assert.equal((await client.resources.get('IPAMConfiguration', { name: 'default' })).spec.autoAllocateBlocks, true);
	assert.ok(await client.resources.get('BGPConfiguration', { name: 'default' }));
});
