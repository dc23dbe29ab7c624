import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hostInterfaceName } from '#resources';
import { CniNode, NETWORK, podArgs } from '../support/cni-node.ts';

type Json = Readonly<Record<string, unknown>>;

function ipJson(netns: string, ...args: readonly string[]): readonly Json[] {
	return JSON.parse(execFileSync('ip', ['-n', netns, '-j', ...args], { encoding: 'utf8' }) || '[]') as Json[];
}

/** Only what a test is about; link-local addresses of the container depend on its random MAC. */
function addresses(netns: string, dev: string): readonly string[] {
	return ipJson(netns, 'addr', 'show', 'dev', dev)
		.flatMap(({ addr_info }) => addr_info as readonly Json[])
		.filter(({ scope, local }) => scope === 'global' || local === 'fe80::ecee:eeff:feee:eeee')
		.map(({ local, prefixlen, tentative }) => `${String(local)}/${String(prefixlen)}${tentative === true ? ' tentative' : ''}`);
}

function routes(netns: string, family: '-4' | '-6', dev: string): readonly string[] {
	return ipJson(netns, family, 'route', 'show', 'dev', dev)
		.filter(({ protocol }) => protocol !== 'kernel')
		.map(({ dst, gateway, scope }) =>
			[dst, ...(gateway === undefined ? [] : ['via', gateway]), ...(scope === undefined ? [] : ['scope', scope])].join(' '),
		);
}

function sysctl(netns: string, name: string): string {
	return execFileSync('ip', ['netns', 'exec', netns, 'cat', `/proc/sys/net/${name}`], { encoding: 'utf8' }).trim();
}

const DUAL = { ...NETWORK, ipam: { type: 'calico-ipam', assign_ipv4: 'true', assign_ipv6: 'true' } };
const ONLY_6 = { ...NETWORK, ipam: { type: 'calico-ipam', assign_ipv4: 'false', assign_ipv6: 'true' } };

describe('ADD', () => {
	let node: CniNode;
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	for (const { family, conf, has4, has6 } of [
		{ family: 'IPv4', conf: NETWORK, has4: true, has6: false },
		{ family: 'IPv6', conf: ONLY_6, has4: false, has6: true },
		{ family: 'both families', conf: DUAL, has4: true, has6: true },
	]) {
		test(`with ${family} gives the pod what ip shows: addresses, routes, sysctls; DEL takes it all away`, async () => {
			const netns = node.makeNetns();
			const pod = `web-${has4 ? 4 : ''}${has6 ? 6 : ''}`;
			const call = { containerId: `c-${pod}`, netns, args: podArgs('shop', pod), conf };
			const cali = hostInterfaceName('shop', pod);
			const added = await node.run({ ...call, command: 'ADD' });
			assert.equal(added.status, 0, added.stdout);
			const given = (added.json['ips'] as readonly { readonly address: string }[]).map(({ address }) => address);
			const [v4, v6] = [given.find((one) => one.includes('.')), given.find((one) => one.includes(':'))];
			assert.deepEqual([v4 !== undefined, v6 !== undefined], [has4, has6]);

			assert.deepEqual(addresses(netns, 'eth0'), given);
			assert.deepEqual(routes(netns, '-4', 'eth0'), has4 ? ['default via 169.254.1.1', '169.254.1.1 scope link'] : []);
			assert.deepEqual(routes(netns, '-6', 'eth0'), has6 ? ['default via fe80::ecee:eeff:feee:eeee'] : []);
			const [hostLink] = ipJson(node.namespaceName, 'link', 'show', 'dev', cali);
			assert.equal(hostLink?.['address'], 'ee:ee:ee:ee:ee:ee');
			assert.equal(hostLink?.['operstate'], 'UP');
			if (has6) assert.deepEqual(addresses(node.namespaceName, cali), ['fe80::ecee:eeff:feee:eeee/64']);
			assert.deepEqual(routes(node.namespaceName, '-4', cali), has4 ? [`${v4?.replace('/32', '')} scope link`] : []);
			assert.deepEqual(routes(node.namespaceName, '-6', cali), has6 ? [v6?.replace('/128', '')] : []);

			for (const [name, value] of [
				...['route_localnet', 'proxy_arp', 'forwarding'].map((key) => [`ipv4/conf/${cali}/${key}`, '1'] as const),
				[`ipv4/neigh/${cali}/proxy_delay`, '0'],
				...(has6
					? ([
							[`ipv6/conf/${cali}/disable_ipv6`, '0'],
							[`ipv6/conf/${cali}/accept_dad`, '0'],
							[`ipv6/conf/${cali}/accept_ra`, '0'],
							[`ipv6/conf/${cali}/proxy_ndp`, '1'],
							[`ipv6/conf/${cali}/forwarding`, '1'],
						] as const)
					: []),
			] as const)
				assert.equal(sysctl(node.namespaceName, name), value, name);
			assert.equal(sysctl(netns, 'ipv4/ip_forward'), '0');
			if (has6) assert.equal(sysctl(netns, 'ipv6/conf/eth0/accept_dad'), '0');

			const check = { ...call, conf: { ...conf, prevResult: added.json } };
			assert.deepEqual([(await node.run({ ...check, command: 'CHECK' })).stdout], ['']);
			const deleted = await node.run({ ...check, command: 'DEL' });
			assert.deepEqual([deleted.status, deleted.stdout], [0, '']);
			assert.deepEqual(linkNames(node.namespaceName), ['lo']);
			assert.deepEqual(linkNames(netns), ['lo']);
			assert.deepEqual(await node.ipam.ipsByHandle(`k8s-pod-network.c-${pod}`), []);
			assert.equal((await node.client.resources.list('WorkloadEndpoint')).items.length, 0);
		});
	}

	test('of a pod writes the endpoint that Calico writes, and hands that very revision to the agent', async () => {
		const netns = node.makeNetns();
		const args = { cni: { labels: [{ key: 'app', value: 'web' }], ports: [{ name: 'http', port: 80 }] } };
		const call = { containerId: 'c-wep', netns, args: podArgs('shop', 'web-0'), conf: { ...NETWORK, args } };
		const { json } = await node.run({ ...call, command: 'ADD' });
		const stored = await node.client.resources.get('WorkloadEndpoint', { namespace: 'shop', name: 'node1-k8s-web--0-eth0' });
		const [, container] = json['interfaces'] as readonly [Json, Json];
		const { address } = (json['ips'] as readonly [{ readonly address: string }])[0];
		assert.deepEqual(stored.metadata.labels, {
			app: 'web',
			'projectcalico.org/namespace': 'shop',
			'projectcalico.org/orchestrator': 'k8s',
		});
		assert.deepEqual(stored.spec, {
			orchestrator: 'k8s',
			node: 'node1',
			containerID: 'c-wep',
			pod: 'web-0',
			endpoint: 'eth0',
			ipNetworks: [address],
			profiles: ['kns.shop'],
			interfaceName: hostInterfaceName('shop', 'web-0'),
			mac: container['mac'],
			ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
		});
		assert.equal(node.agent.handedOver.at(-1)?.metadata.resourceVersion, stored.metadata.resourceVersion);
		const attribute = await node.ipam.assignmentOf(address.replace('/32', '') as never);
		assert.equal(attribute?.handleId, 'k8s-pod-network.c-wep');
		const { timestamp, ...owner } = attribute?.secondary ?? {};
		assert.deepEqual(owner, { namespace: 'shop', node: 'node1', pod: 'web-0' });
		assert.match(timestamp ?? '', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC$/);
		await node.run({ ...call, command: 'DEL' });
	});

	test('outside Kubernetes names things after the container and its network, and makes the network its profile', async () => {
		const netns = node.makeNetns();
		const conf = { cniVersion: '0.2.0', name: 'plain-net', type: 'calico', ipam: { type: 'calico-ipam' } };
		const call = { containerId: '0123456789abcdef', netns, conf, args: '' };
		const { json } = await node.run({ ...call, command: 'ADD' });
		assert.match((json['ip4'] as { readonly ip: string }).ip, /^10\.65\.0\.\d+\/32$/);
		const { spec } = await node.client.resources.get('WorkloadEndpoint', { namespace: 'default', name: 'node1-cni-0123456789abcdef-eth0' });
		assert.equal(spec.interfaceName, 'cali0123456789a');
		assert.deepEqual(spec.profiles, ['plain-net']);
		const profile = await node.client.resources.get('Profile', { name: 'plain-net' });
		assert.deepEqual(profile.spec.labelsToApply, { 'plain-net': '' });
		assert.deepEqual(profile.spec.ingress, [{ action: 'Allow', source: { selector: 'has(plain-net)' } }]);
		await node.run({ ...call, command: 'DEL' });
		assert.equal((await node.client.resources.list('WorkloadEndpoint')).items.length, 0);
	});

	test('takes the MTU of the configuration, then that of the file the agent writes', async () => {
		const mtuFile = join(node.directory, 'mtu');
		for (const [content, mtu, expected] of [
			['1440\n', 1380, 1380],
			['1440\n', 0, 1440],
			['nonsense', 0, 1500],
		] as const) {
			writeFileSync(mtuFile, content);
			const netns = node.makeNetns();
			const call = { containerId: 'c-mtu', netns, args: podArgs('shop', 'mtu'), conf: { ...NETWORK, cniVersion: '1.1.0', mtu } };
			const { json } = await node.run({ ...call, command: 'ADD' });
			assert.deepEqual(ipJson(netns, 'link', 'show', 'dev', 'eth0')[0]?.['mtu'], expected);
			assert.equal((json['interfaces'] as readonly [Json, Json])[1]['mtu'], expected);
			await node.run({ ...call, command: 'DEL' });
		}
	});

	test('gives the address that CNI_ARGS asks for, and refuses one that is taken', async () => {
		const [first, second] = [node.makeNetns(), node.makeNetns()];
		const one = { containerId: 'c-ip1', netns: first, args: `${podArgs('shop', 'fixed-1')};IP=10.65.0.77` };
		assert.deepEqual((await node.run({ ...one, command: 'ADD' })).json['ips'], [{ interface: 1, address: '10.65.0.77/32' }]);
		const two = { containerId: 'c-ip2', netns: second, args: `${podArgs('shop', 'fixed-2')};IP=10.65.0.77` };
		const refused = await node.run({ ...two, command: 'ADD' });
		assert.equal(refused.status, 1);
		assert.match(String(refused.json['msg']), /10\.65\.0\.77 is already assigned/);
		await node.run({ ...one, command: 'DEL' });
	});

	test('takes pools by name and by prefix, and names one that is not there', async () => {
		const conf = (pools: readonly string[]): object => ({ ...NETWORK, ipam: { ...NETWORK.ipam, ipv4_pools: pools } });
		for (const pool of ['ipv4', '10.65.0.0/24']) {
			const call = { containerId: 'c-pool', netns: node.makeNetns(), args: podArgs('shop', 'pool'), conf: conf([pool]) };
			const { status, stdout } = await node.run({ ...call, command: 'ADD' });
			assert.equal(status, 0, stdout);
			await node.run({ ...call, command: 'DEL' });
		}
		const { json } = await node.run({
			containerId: 'c-pool',
			netns: node.makeNetns(),
			command: 'ADD',
			args: podArgs('shop', 'pool'),
			conf: conf(['no-such']),
		});
		assert.equal(json['code'], 7);
		assert.match(String(json['msg']), /ipam\.ipv4_pools: there is no pool "no-such"/);
	});

	test('of 20 pods at once gives each an address of its own', async () => {
		const calls = Array.from({ length: 20 }, (_, index) => ({
			containerId: `p${index}`,
			netns: node.makeNetns(),
			args: podArgs('shop', `parallel-${index}`),
			conf: DUAL,
		}));
		const results = await Promise.all(calls.map((call) => node.run({ ...call, command: 'ADD' })));
		const given = results.flatMap(({ json, stdout }) => {
			assert.ok(json['ips'], stdout);
			return (json['ips'] as readonly { readonly address: string }[]).map(({ address }) => address);
		});
		assert.equal(new Set(given).size, 40);
		await Promise.all(calls.map((call) => node.run({ ...call, command: 'DEL' })));
		assert.deepEqual(linkNames(node.namespaceName), ['lo']);
		assert.equal((await node.client.resources.list('WorkloadEndpoint')).items.length, 0);
		for (const { containerId } of calls) assert.deepEqual(await node.ipam.ipsByHandle(`k8s-pod-network.${containerId}`), []);
	});

	for (const { what, call, code, message } of [
		{ what: 'a file that is no namespace', call: { netns: '../../etc/hostname' }, code: 4, message: /CNI_NETNS/ },
		{ what: 'a namespace that is not there', call: { netns: 'tt-no-such' }, code: 4, message: /CNI_NETNS/ },
		{ what: 'no namespace', call: {}, code: 4, message: /CNI_NETNS/ },
		{ what: 'a bad interface name', call: { ifName: 'a/b' }, code: 4, message: /CNI_IFNAME/ },
		{ what: 'an unknown version', call: { conf: { ...NETWORK, cniVersion: '9.9.9' } }, code: 1, message: /9\.9\.9/ },
		{
			what: 'another IPAM plugin',
			call: { conf: { ...NETWORK, ipam: { type: 'host-local' } } },
			code: 2,
			message: /ipam\.type.*host-local/,
		},
		{
			what: 'a configuration of more than a megabyte',
			call: { conf: { ...NETWORK, padding: 'x'.repeat(1 << 20) } },
			code: 7,
			message: /longer than/,
		},
	]) {
		test(`with ${what} fails with code ${code} and says why`, async () => {
			const netns = what.includes('namespace') ? {} : { netns: node.makeNetns() };
			const { status, json, stdout } = await node.run({ command: 'ADD', args: podArgs('shop', 'bad'), ...netns, ...call });
			assert.equal(status, 1);
			assert.equal(json['code'], code, stdout);
			assert.match(String(json['msg']), message);
			assert.deepEqual(linkNames(node.namespaceName), ['lo']);
		});
	}

	test("into the host's own namespace is refused", async () => {
		const { json } = await node.run({ command: 'ADD', netns: node.namespaceName, args: podArgs('shop', 'self') });
		assert.equal(json['code'], 4);
		assert.match(String(json['details']), /host's own/);
	});

	test('a configuration of 900 KB reaches the agent', async () => {
		const call = {
			containerId: 'c-big',
			netns: node.makeNetns(),
			args: podArgs('shop', 'big'),
			conf: { ...NETWORK, padding: 'x'.repeat(900_000) },
		};
		const { status, stdout } = await node.run({ ...call, command: 'ADD' });
		assert.equal(status, 0, stdout);
		await node.run({ ...call, command: 'DEL' });
	});
});

function linkNames(netns: string): readonly string[] {
	return ipJson(netns, 'link').map(({ ifname }) => String(ifname));
}
