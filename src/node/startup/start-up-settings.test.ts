import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Environment, nodeSettings } from '../settings.ts';
import { type StartUpSettings, startUpSettings } from './start-up-settings.ts';

function settings(env: Environment): StartUpSettings {
	return startUpSettings(env, nodeSettings({ NODENAME: 'n1' }, undefined));
}

test('IP and IP6 are read as calico-node reads them', () => {
	const none = settings({});
	assert.deepEqual(none.address, { 4: { type: 'detect' }, 6: { type: 'keep' } });
	const both = settings({ IP: '10.0.0.1/24', IP6: 'FD00::1' });
	assert.deepEqual(both.address[4], { type: 'given', address: '10.0.0.1', length: 24 });
	assert.deepEqual(both.address[6], { type: 'given', address: 'fd00::1', length: undefined });
	assert.deepEqual(settings({ IP: 'autodetect', IP6: 'none' }).address, { 4: { type: 'redetect' }, 6: { type: 'none' } });
	assert.throws(() => settings({ IP: 'fd00::1' }), { code: 'NODE_BAD_SETTING', path: 'IP' });
});

test('methods to find the address are read, and bad ones refused by name', () => {
	const of = (text: string): unknown => settings({ IP_AUTODETECTION_METHOD: text }).detection[4];
	assert.deepEqual(of(''), { type: 'first-found' });
	assert.deepEqual(of('interface=eth.*,ens0'), { type: 'interface', names: [/eth.*/, /ens0/] });
	assert.deepEqual(of('skip-interface=foo'), { type: 'skip-interface', names: [/foo/] });
	assert.deepEqual(of('cidr=10.0.0.0/8, 192.168.1.7/24'), { type: 'cidr', ranges: ['10.0.0.0/8', '192.168.1.0/24'] });
	assert.deepEqual(of('can-reach=example.org'), { type: 'can-reach', destination: 'example.org' });
	for (const bad of ['eth0', 'interface=', 'interface=(', 'cidr=10.0.0.0/8,x', 'first-found=1'])
		assert.throws(() => of(bad), { code: 'NODE_BAD_SETTING', path: 'IP_AUTODETECTION_METHOD' }, bad);
});

test('default pools are read with Calico’s odd switches', () => {
	const pools = settings({
		CALICO_IPV4POOL_CIDR: '10.65.0.9/16',
		CALICO_IPV4POOL_IPIP: 'cross-subnet',
		CALICO_IPV4POOL_VXLAN: 'Off',
		CALICO_IPV4POOL_BLOCK_SIZE: '24',
		CALICO_IPV4POOL_NAT_OUTGOING: 'N',
		CALICO_IPV4POOL_DISABLE_BGP_EXPORT: '',
		CALICO_IPV6POOL_CIDR: 'none',
	}).pools;
	assert.deepEqual(pools[4], {
		cidr: '10.65.0.0/16',
		blockSize: 24,
		ipipMode: 'CrossSubnet',
		vxlanMode: 'Never',
		natOutgoing: false,
		nodeSelector: 'all()',
		disableBgpExport: true,
	});
	assert.equal(pools[6], undefined);
	assert.deepEqual(settings({ NO_DEFAULT_POOLS: 'True' }).pools, { 4: undefined, 6: undefined });
	const bad: readonly Environment[] = [
		{ CALICO_IPV4POOL_CIDR: 'fd00::/48' },
		{ CALICO_IPV4POOL_IPIP: 'sometimes' },
		{ CALICO_IPV6POOL_BLOCK_SIZE: '26' },
		{ CALICO_IPV6POOL_NODE_SELECTOR: 'rack ==' },
		{ AS: '0' },
	];
	for (const env of bad) assert.throws(() => settings(env), { code: 'NODE_BAD_SETTING', path: Object.keys(env)[0] });
	assert.equal(settings({ AS: '1.10' }).asNumber, 65_546);
});
