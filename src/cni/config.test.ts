import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseNetworkConfig, peekCniVersion } from './config.ts';
import { cniError, cniErrorResult } from './errors.ts';

const MINIMAL = { cniVersion: '1.0.0', name: 'k8s-pod-network', type: 'calico', ipam: { type: 'calico-ipam' } };

const parse = (conf: object) => parseNetworkConfig(JSON.stringify(conf));

test('a minimal configuration has the defaults that Calico has', () => {
	assert.deepEqual(parse(MINIMAL), {
		cniVersion: '1.0.0',
		name: 'k8s-pod-network',
		ipam: { type: 'calico-ipam', assignIpv4: true, assignIpv6: false, ipv4Pools: [], ipv6Pools: [] },
		mtu: 0,
		requireMtuFile: false,
		policyType: '',
		policySetupTimeoutSeconds: 0,
		allowIpForwarding: false,
		nodeName: undefined,
		labels: {},
		ports: [],
		prevResult: undefined,
		validAttachments: undefined,
	});
});

test('the configuration of an MCP host is understood, its unknown keys included', () => {
	const conf = parse({
		nodeName: 'unknown-key',
		name: 'k8s-pod-network',
		cniVersion: '0.3.0',
		type: 'calico',
		etcd_endpoints: 'https://10.0.0.1:4001',
		etcd_key_file: '/etc/calico/key',
		log_level: 'info',
		mtu: 1500,
		ipam: { type: 'calico-ipam', assign_ipv4: 'true', assign_ipv6: 'true', ipv4_pools: ['10.0.0.0/8'] },
		policy: { type: 'k8s' },
		kubernetes: { kubeconfig: '/etc/kubernetes/kubelet.kubeconfig', node_name: 'worker-1' },
	});
	assert.equal(conf.policyType, 'k8s');
	assert.equal(conf.nodeName, 'worker-1');
	assert.equal(conf.mtu, 1500);
	assert.deepEqual(conf.ipam, { type: 'calico-ipam', assignIpv4: true, assignIpv6: true, ipv4Pools: ['10.0.0.0/8'], ipv6Pools: [] });
});

test('labels and named ports come by the convention of args.cni', () => {
	const conf = parse({
		...MINIMAL,
		args: {
			cni: {
				labels: [{ key: 'app', value: 'web' }],
				ports: [
					{ name: 'http', port: 80 },
					{ name: 'dns', protocol: 'UDP', port: 53 },
				],
			},
		},
	});
	assert.deepEqual(conf.labels, { app: 'web' });
	assert.deepEqual(conf.ports, [
		{ name: 'http', protocol: 'TCP', port: 80 },
		{ name: 'dns', protocol: 'UDP', port: 53 },
	]);
});

test('garbage collection reads the key of the specification and the one of early libraries', () => {
	const list = [{ containerID: 'abc', ifname: 'eth0' }];
	assert.deepEqual(parse({ ...MINIMAL, 'cni.dev/valid-attachments': list }).validAttachments, list);
	assert.deepEqual(parse({ ...MINIMAL, 'cni.dev/attachments': list }).validAttachments, list);
});

for (const { what, conf, code, path } of [
	{ what: 'an unknown version', conf: { ...MINIMAL, cniVersion: '2.0.0' }, code: 1, path: 'cniVersion' },
	{ what: 'another IPAM plugin', conf: { ...MINIMAL, ipam: { type: 'host-local' } }, code: 2, path: 'ipam.type' },
	{ what: 'another dataplane', conf: { ...MINIMAL, dataplane_options: { type: 'grpc' } }, code: 2, path: 'dataplane_options.type' },
	{ what: 'a version of another type', conf: { ...MINIMAL, cniVersion: 1 }, code: 7, path: 'cniVersion' },
	{ what: 'no name', conf: { ...MINIMAL, name: undefined }, code: 7, path: 'name' },
	{ what: 'a name that is none', conf: { ...MINIMAL, name: 'a/b' }, code: 7, path: 'name' },
	{ what: 'no IPAM', conf: { ...MINIMAL, ipam: undefined }, code: 7, path: 'ipam' },
	{ what: 'an MTU that no device has', conf: { ...MINIMAL, mtu: 65_536 }, code: 7, path: 'mtu' },
	{
		what: 'an MTU too small for IPv6',
		conf: { ...MINIMAL, mtu: 1000, ipam: { ...MINIMAL.ipam, assign_ipv6: 'true' } },
		code: 7,
		path: 'mtu',
	},
	{ what: 'no address family', conf: { ...MINIMAL, ipam: { ...MINIMAL.ipam, assign_ipv4: 'false' } }, code: 7, path: 'ipam.assign_ipv4' },
	{
		what: 'a boolean in other words',
		conf: { ...MINIMAL, ipam: { ...MINIMAL.ipam, assign_ipv4: 'yes' } },
		code: 7,
		path: 'ipam.assign_ipv4',
	},
	{ what: 'a negative time limit', conf: { ...MINIMAL, policy_setup_timeout_seconds: -1 }, code: 7, path: 'policy_setup_timeout_seconds' },
	{
		what: 'a port out of range',
		conf: { ...MINIMAL, args: { cni: { ports: [{ name: 'a', port: 0 }] } } },
		code: 7,
		path: 'args.cni.ports.0.port',
	},
	{
		what: 'an attachment without ID',
		conf: { ...MINIMAL, 'cni.dev/valid-attachments': [{ ifname: 'eth0' }] },
		code: 7,
		path: 'cni.dev/valid-attachments.0.containerID',
	},
	{ what: 'a list', conf: [], code: 7, path: 'the configuration' },
]) {
	test(`${what} is refused with code ${code} at ${path}`, () => {
		assert.throws(
			() => parse(conf),
			(error) => {
				assert.ok(cniError.is(error));
				assert.equal(error.path, path);
				const result = cniErrorResult(error, '1.0.0');
				assert.equal(result.code, code);
				assert.ok(result.msg.startsWith(path), result.msg);
				return true;
			},
		);
	});
}

test('what is not JSON is refused with code 6', () => {
	assert.throws(
		() => parseNetworkConfig('{'),
		(error) => cniErrorResult(error, '1.0.0').code === 6,
	);
});

test('no text makes the parser fail in another way', () => {
	const mutated = fc.tuple(
		fc.constantFrom(...Object.keys(MINIMAL), 'mtu', 'args', 'policy', 'prevResult', 'cni.dev/valid-attachments'),
		fc.jsonValue(),
	);
	fc.assert(
		fc.property(
			fc.oneof(
				fc.string(),
				fc.json(),
				mutated.map(([key, value]) => JSON.stringify({ ...MINIMAL, [key]: value })),
			),
			(text) => {
				peekCniVersion(text);
				try {
					parseNetworkConfig(text);
				} catch (error) {
					assert.ok(cniError.is(error), String(error));
				}
			},
		),
	);
});
