import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Cidr, Mac } from '#net';
import { parseAttachment, parseCommand } from './environment.ts';
import { cniError, cniErrorResult } from './errors.ts';
import { decodeRequest, encodeReply } from './protocol.ts';
import { type CniResult, formatResult, parsePrevResult } from './result.ts';
import { CNI_VERSIONS, requireCommand } from './version.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const DUAL: CniResult = {
	interfaces: [{ name: 'cali123' }, { name: 'eth0', mac: '0a:00:00:00:00:01' as Mac, mtu: 1450, sandbox: '/run/netns/a' }],
	addresses: ['10.0.0.5/32', 'fd00::5/128'] as Cidr[],
	routes: [],
};

test('a request carries the plugin, its environment and its configuration', () => {
	assert.deepEqual(decodeRequest(bytes('CNI1PLUGIN=calico\0CNI_COMMAND=ADD\0CNI_ARGS=A=1;B=2\0\0{"a":1}')), {
		plugin: 'calico',
		environment: { CNI_COMMAND: 'ADD', CNI_ARGS: 'A=1;B=2' },
		config: '{"a":1}',
	});
});

test('no bytes make the decoder fail in another way than by its own error', () => {
	const nearly = fc
		.array(fc.oneof(fc.constantFrom('CNI1', 'PLUGIN=calico', '=', '\0', 'X=1'), fc.string()))
		.map((parts) => bytes(parts.join('')));
	fc.assert(
		fc.property(fc.oneof(fc.uint8Array(), nearly), (data) => {
			try {
				decodeRequest(data);
			} catch (error) {
				assert.ok(cniError.is(error, 'CNI_BAD_REQUEST'));
			}
		}),
	);
});

test('a reply is the exit status and what is printed', () => {
	assert.deepEqual(encodeReply(1, 'ü'), bytes('CNI1\u0001ü'));
});

for (const { version, expected } of [
	{
		version: '0.2.0',
		expected: { cniVersion: '0.2.0', ip4: { ip: '10.0.0.5/32' }, ip6: { ip: 'fd00::5/128' }, dns: {} },
	},
	{
		version: '0.3.1',
		expected: {
			cniVersion: '0.3.1',
			interfaces: [{ name: 'cali123' }, { name: 'eth0', mac: '0a:00:00:00:00:01', sandbox: '/run/netns/a' }],
			ips: [
				{ version: '4', interface: 1, address: '10.0.0.5/32' },
				{ version: '6', interface: 1, address: 'fd00::5/128' },
			],
			dns: {},
		},
	},
	{
		version: '1.0.0',
		expected: {
			cniVersion: '1.0.0',
			interfaces: [{ name: 'cali123' }, { name: 'eth0', mac: '0a:00:00:00:00:01', sandbox: '/run/netns/a' }],
			ips: [
				{ interface: 1, address: '10.0.0.5/32' },
				{ interface: 1, address: 'fd00::5/128' },
			],
			dns: {},
		},
	},
	{
		version: '1.1.0',
		expected: {
			cniVersion: '1.1.0',
			interfaces: [{ name: 'cali123' }, { name: 'eth0', mac: '0a:00:00:00:00:01', mtu: 1450, sandbox: '/run/netns/a' }],
			ips: [
				{ interface: 1, address: '10.0.0.5/32' },
				{ interface: 1, address: 'fd00::5/128' },
			],
			dns: {},
		},
	},
] as const) {
	test(`a result in the form of CNI ${version}`, () => {
		assert.deepEqual(formatResult(DUAL, version), expected);
	});
}

test('the result of an IPAM plugin has routes and no interfaces', () => {
	const result: CniResult = { interfaces: [], addresses: ['10.0.0.5/26'] as Cidr[], routes: ['10.0.0.5/32'] as Cidr[] };
	assert.deepEqual(formatResult(result, '0.4.0'), {
		cniVersion: '0.4.0',
		ips: [{ version: '4', address: '10.0.0.5/26' }],
		routes: [{ dst: '10.0.0.5/32' }],
		dns: {},
	});
	assert.deepEqual(formatResult(result, '0.1.0'), {
		cniVersion: '0.1.0',
		ip4: { ip: '10.0.0.5/26', routes: [{ dst: '10.0.0.5/32' }] },
		dns: {},
	});
});

test('addresses are found again in the result of every version', () => {
	for (const version of CNI_VERSIONS) assert.deepEqual(parsePrevResult(formatResult(DUAL, version)).addresses, DUAL.addresses, version);
});

test('no prevResult makes its parser fail in another way than by its own error', () => {
	fc.assert(
		fc.property(fc.oneof(fc.jsonValue(), fc.record({ ips: fc.jsonValue() }), fc.record({ ip4: fc.jsonValue() })), (value) => {
			try {
				parsePrevResult(value);
			} catch (error) {
				assert.ok(cniError.is(error, 'CNI_BAD_CONFIG'));
			}
		}),
	);
});

const ENVIRONMENT = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'abc-1', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0' };

test('a pod is known by CNI_ARGS', () => {
	const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;IP=10.0.0.9';
	assert.deepEqual(parseAttachment({ ...ENVIRONMENT, CNI_ARGS: args }), {
		containerId: 'abc-1',
		ifName: 'eth0',
		netns: '/run/netns/x',
		args: { pod: { namespace: 'shop', name: 'web-0' }, ip: '10.0.0.9' },
	});
	assert.equal(parseAttachment(ENVIRONMENT).args.pod, undefined);
});

for (const { variable, value } of [
	{ variable: 'CNI_CONTAINERID', value: '' },
	{ variable: 'CNI_CONTAINERID', value: '../etc' },
	{ variable: 'CNI_IFNAME', value: '' },
	{ variable: 'CNI_IFNAME', value: '..' },
	{ variable: 'CNI_IFNAME', value: 'a b' },
	{ variable: 'CNI_IFNAME', value: 'sixteen-letters-' },
	{ variable: 'CNI_ARGS', value: 'no pair' },
	{ variable: 'CNI_ARGS', value: 'IP=10.0.0' },
	{ variable: 'CNI_ARGS', value: 'K8S_POD_NAME=web' },
	{ variable: 'CNI_ARGS', value: 'K8S_POD_NAME=web;K8S_POD_NAMESPACE=a/b' },
]) {
	test(`${variable}=${JSON.stringify(value)} is refused with code 4, by name`, () => {
		assert.throws(
			() => parseAttachment({ ...ENVIRONMENT, [variable]: value }),
			(error) => {
				const { code, msg } = cniErrorResult(error, '1.0.0');
				assert.equal(code, 4);
				assert.ok(msg.includes(variable), msg);
				return true;
			},
		);
	});
}

test('no environment makes its parser fail in another way than by its own error', () => {
	const word = fc.oneof(fc.string(), fc.constantFrom('K8S_POD_NAME=', 'K8S_POD_NAMESPACE=a', ';', 'IP=', 'eth0', '::1', 'a'));
	const text = fc.array(word, { maxLength: 6 }).map((words) => words.join(''));
	fc.assert(
		fc.property(
			fc.record({ CNI_CONTAINERID: text, CNI_IFNAME: text, CNI_ARGS: text, CNI_COMMAND: text }, { requiredKeys: [] }),
			(environment) => {
				const variables = Object.fromEntries(Object.entries({ ...ENVIRONMENT, ...environment }));
				for (const parse of [parseAttachment, parseCommand]) {
					try {
						parse(variables);
					} catch (error) {
						assert.ok(cniError.is(error, 'CNI_BAD_ENVIRONMENT'));
					}
				}
			},
		),
	);
});

test('a command that no version has, or not the asked one, is refused', () => {
	assert.throws(() => parseCommand({ CNI_COMMAND: 'PING' }), { code: 'CNI_BAD_ENVIRONMENT' });
	assert.throws(() => requireCommand('CHECK', '0.3.1'), { code: 'CNI_INCOMPATIBLE_VERSION' });
	assert.throws(() => requireCommand('GC', '1.0.0'), { code: 'CNI_INCOMPATIBLE_VERSION' });
	requireCommand('STATUS', '1.1.0');
	requireCommand('DEL', '0.1.0');
});
