import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import { datastoreError } from '#datastore';
import { deleteNamedNamespace } from '#kernel';
import { hostInterfaceName } from '#resources';
import { CniNode, NETWORK, type PluginCall, podArgs } from '../support/cni-node.ts';

const CONF_1_1 = { ...NETWORK, cniVersion: '1.1.0' };

function ip(...args: readonly string[]): string {
	return execFileSync('ip', args, { encoding: 'utf8' });
}

function caliLinks(node: CniNode): readonly string[] {
	return (JSON.parse(ip('-n', node.namespaceName, '-j', 'link')) as readonly { readonly ifname: string }[])
		.map(({ ifname }) => ifname)
		.filter((name) => name !== 'lo');
}

async function endpointNames(node: CniNode): Promise<readonly string[]> {
	return (await node.client.resources.list('WorkloadEndpoint')).items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
}

/** Every address that is assigned, in whatever block. */
async function assigned(node: CniNode): Promise<bigint> {
	return (await node.ipam.usage()).reduce((sum, { inUse }) => sum + inUse, 0n);
}

async function assertNothingLeft(node: CniNode): Promise<void> {
	assert.deepEqual(caliLinks(node), []);
	assert.deepEqual(await endpointNames(node), []);
	assert.equal(await assigned(node), 0n);
}

function podCall(node: CniNode, name: string, containerId = `c-${name}`): Omit<PluginCall, 'command'> & { readonly netns: string } {
	return { containerId, netns: node.makeNetns(), args: podArgs('shop', name), conf: NETWORK };
}

async function add(node: CniNode, call: Omit<PluginCall, 'command'>): Promise<Readonly<Record<string, unknown>>> {
	const { status, json, stdout } = await node.run({ ...call, command: 'ADD' });
	assert.equal(status, 0, stdout);
	return json;
}

describe('a container on its way', () => {
	let node: CniNode;
	/** Fails the datastore call of that number, counted from 1; 0 fails none. */
	let failAt = 0;
	let calls = 0;
	before(async () => {
		node = await CniNode.start({
			before: async () => {
				if (++calls === failAt) throw datastoreError('DATASTORE_UNAVAILABLE', { message: 'cut off by the test' });
			},
		});
	});
	after(() => node[Symbol.asyncDispose]());
	afterEach(async () => {
		failAt = 0;
		node.agent.state = { ready: true };
		node.agent.policy = () => Promise.resolve();
		await assertNothingLeft(node);
	});

	test('DEL succeeds again and again, also for a container that was never there', async () => {
		const call = podCall(node, 'again');
		await add(node, call);
		for (let count = 0; count < 3; count++) assert.equal((await node.run({ ...call, command: 'DEL' })).status, 0);
		assert.equal((await node.run({ ...podCall(node, 'never'), command: 'DEL' })).status, 0);
	});

	test('DEL succeeds for a container that no endpoint can be named after, and ADD refuses it', async () => {
		const call = { ...podCall(node, 'odd'), containerId: 'Under_Score', args: '' };
		assert.equal((await node.run({ ...call, command: 'ADD' })).json['code'], 4);
		assert.equal((await node.run({ ...call, command: 'DEL' })).status, 0);
	});

	test('DEL cleans up after the namespace is gone, with and without its path', async () => {
		for (const withPath of [true, false]) {
			const { netns, ...call } = podCall(node, 'gone');
			await add(node, { ...call, netns });
			deleteNamedNamespace(netns);
			assert.equal((await node.run({ ...call, ...(withPath ? { netns } : {}), command: 'DEL' })).status, 0);
			await assertNothingLeft(node);
		}
	});

	for (const { what, damage } of [
		{ what: 'the interface', damage: async () => void ip('-n', node.namespaceName, 'link', 'del', hostInterfaceName('shop', 'partial')) },
		{
			what: 'the endpoint',
			damage: () => node.client.resources.delete('WorkloadEndpoint', { namespace: 'shop', name: 'node1-k8s-partial-eth0' }),
		},
		{ what: 'the addresses', damage: async () => void (await node.ipam.releaseByHandle('k8s-pod-network.c-partial')) },
		{
			what: 'a readable endpoint',
			damage: async () =>
				node.backend.putRaw(
					'/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node1-k8s-partial-eth0',
					'{"spec":{"ipNetworks":7}}',
				),
		},
	]) {
		test(`DEL succeeds without ${what}`, async () => {
			const call = podCall(node, 'partial');
			await add(node, call);
			await damage();
			const { status, stdout } = await node.run({ ...call, command: 'DEL' });
			assert.equal(status, 0, stdout);
		});
	}

	test('ADD again for the same container gives the same address and a working interface', async () => {
		const call = podCall(node, 'twice');
		const first = await add(node, call);
		const second = await add(node, call);
		assert.deepEqual(second['ips'], first['ips']);
		assert.equal((await node.run({ ...call, conf: { ...NETWORK, prevResult: second }, command: 'CHECK' })).stdout, '');
		await node.run({ ...call, command: 'DEL' });
	});

	test("a pod's new container takes over; the late DEL of the old one leaves it alone", async () => {
		const old = podCall(node, 'restarted', 'old');
		const young = podCall(node, 'restarted', 'young');
		await add(node, old);
		const result = await add(node, young);
		assert.equal(await assigned(node), 1n);
		assert.equal((await node.run({ ...old, command: 'DEL' })).status, 0);
		assert.equal((await node.run({ ...young, conf: { ...NETWORK, prevResult: result }, command: 'CHECK' })).stdout, '');
		await node.run({ ...young, command: 'DEL' });
	});

	test('a second interface for a pod is refused, and the first goes on working', async () => {
		const call = podCall(node, 'one');
		const result = await add(node, call);
		const { json } = await node.run({ ...call, ifName: 'net1', command: 'ADD' });
		assert.equal(json['code'], 4);
		assert.equal((await node.run({ ...call, conf: { ...NETWORK, prevResult: result }, command: 'CHECK' })).stdout, '');
		await node.run({ ...call, command: 'DEL' });
	});

	test('an interface name that the container has already is refused', async () => {
		const call = podCall(node, 'taken');
		ip('-n', call.netns, 'link', 'add', 'eth0', 'type', 'bridge');
		const { json } = await node.run({ ...call, command: 'ADD' });
		assert.equal(json['code'], 4);
		assert.match(String(json['msg']), /CNI_IFNAME.*eth0/);
	});

	test('ADD that fails at any call of the datastore leaves nothing behind, and says "try again"', async () => {
		let failures = 0;
		for (let position = 1; ; position++) {
			const call = podCall(node, 'unlucky');
			[calls, failAt] = [0, position];
			const { status, json, stdout } = await node.run({ ...call, command: 'ADD' });
			failAt = 0;
			if (status === 0) {
				await node.run({ ...call, command: 'DEL' });
				break;
			}
			failures++;
			assert.equal(json['code'], 11, stdout);
			await assertNothingLeft(node);
		}
		assert.ok(failures > 5, `${failures} calls`);
	});

	test('DEL that fails at any call of the datastore can be repeated until all is gone', async () => {
		for (let position = 1, done = false; !done; position++) {
			const call = podCall(node, 'stubborn');
			await add(node, call);
			[calls, failAt] = [0, position];
			done = (await node.run({ ...call, command: 'DEL' })).status === 0;
			failAt = 0;
			assert.equal((await node.run({ ...call, command: 'DEL' })).status, 0);
			await assertNothingLeft(node);
		}
	});

	test('ADD is answered after the policy of the endpoint is in the kernel', async () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const asked = Promise.withResolvers<void>();
		node.agent.policy = () => {
			asked.resolve();
			return promise;
		};
		const call = podCall(node, 'patient');
		let answered = false;
		const adding = node.run({ ...call, command: 'ADD' }).finally(() => (answered = true));
		await asked.promise;
		assert.equal(caliLinks(node).length, 1);
		assert.equal(answered, false);
		resolve();
		assert.equal((await adding).status, 0);
		await node.run({ ...call, command: 'DEL' });
	});

	test('ADD whose policy does not reach the kernel in time fails with code 11 and is taken back', async () => {
		node.agent.policy = () => new Promise(() => undefined);
		const call = { ...podCall(node, 'late'), conf: { ...NETWORK, policy_setup_timeout_seconds: 1 } };
		const { json, stdout } = await node.run({ ...call, command: 'ADD' });
		assert.equal(json['code'], 11, stdout);
		assert.match(String(json['msg']), /policy of the endpoint/);
	});

	test('ADD whose policy is refused fails and is taken back', async () => {
		node.agent.policy = () => Promise.reject(datastoreError('DATASTORE_REFUSED', { message: 'not with me' }));
		const { json } = await node.run({ ...podCall(node, 'refused'), command: 'ADD' });
		assert.equal(json['code'], 100);
		assert.match(String(json['msg']), /not with me/);
	});

	test('while the agent is not ready ADD says "try again" and STATUS says 50, both with the reason', async () => {
		node.agent.state = { ready: false, reason: 'the datastore has not been read yet' };
		for (const [command, code] of [
			['ADD', 11],
			['STATUS', 50],
		] as const) {
			const { json } = await node.run({ ...podCall(node, 'early'), conf: CONF_1_1, command });
			assert.equal(json['code'], code);
			assert.match(String(json['msg']), /the datastore has not been read yet/);
		}
		node.agent.state = { ready: true };
		assert.deepEqual(await node.run({ conf: CONF_1_1, command: 'STATUS' }).then(({ status, stdout }) => [status, stdout]), [0, '']);
	});

	test('while an operator has locked the datastore ADD and DEL say "try again"', async () => {
		const information = await node.client.resources.get('ClusterInformation', { name: 'default' });
		const locked = await node.client.resources.update({ ...information, spec: { ...information.spec, datastoreReady: false } });
		for (const command of ['ADD', 'DEL']) {
			const { json } = await node.run({ ...podCall(node, 'locked'), command });
			assert.equal(json['code'], 11);
			assert.match(String(json['msg']), /locked/);
		}
		await node.client.resources.update({ ...locked, spec: { ...locked.spec, datastoreReady: true } });
	});
});

describe('CHECK', () => {
	let node: CniNode;
	const call = { containerId: 'c-check', args: podArgs('shop', 'checked') };
	const cali = hostInterfaceName('shop', 'checked');
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	for (const { what, damage, message } of [
		{
			what: 'an address that is gone',
			damage: (netns: string) => ip('-n', netns, 'addr', 'flush', 'dev', 'eth0'),
			message: /lacks the address 10\.65\./,
		},
		{
			what: 'a default route that is gone',
			damage: (netns: string) => ip('-n', netns, 'route', 'del', 'default'),
			message: /lacks the route to 0\.0\.0\.0\/0/,
		},
		{
			what: 'an interface that is down',
			damage: (netns: string) => ip('-n', netns, 'link', 'set', 'eth0', 'down'),
			message: /eth0 of the container is down/,
		},
		{ what: 'an interface that is gone', damage: (netns: string) => ip('-n', netns, 'link', 'del', 'eth0'), message: /no interface eth0/ },
		{
			what: 'a host route that is gone',
			damage: () => ip('-n', node.namespaceName, 'route', 'flush', 'dev', cali),
			message: /host lacks the route/,
		},
		{
			what: 'a sysctl that was changed',
			damage: () => execFileSync('ip', ['netns', 'exec', node.namespaceName, 'sysctl', '-qw', `net.ipv4.conf.${cali}.proxy_arp=0`]),
			message: /proxy_arp is 0 on the host, not 1/,
		},
		{
			what: 'addresses that IPAM gave back',
			damage: () => node.ipam.releaseByHandle('k8s-pod-network.c-check'),
			message: /IPAM has not assigned/,
		},
	]) {
		test(`finds ${what}`, async () => {
			const netns = node.makeNetns();
			const prevResult = await add(node, { ...call, netns });
			await damage(netns);
			const { json, stdout } = await node.run({ ...call, netns, command: 'CHECK', conf: { ...NETWORK, prevResult } });
			assert.equal(json['code'], 101, stdout);
			assert.match(String(json['msg']), message);
			await node.run({ ...call, netns, command: 'DEL' });
		});
	}

	test('of a container that was never added says that it is unknown', async () => {
		const { json } = await node.run({ ...call, netns: node.makeNetns(), command: 'CHECK', conf: { ...NETWORK, prevResult: { ips: [] } } });
		assert.equal(json['code'], 3);
	});

	test('without the result of ADD, or in a version that has no CHECK, says so', async () => {
		const netns = node.makeNetns();
		assert.equal((await node.run({ ...call, netns, command: 'CHECK' })).json['code'], 7);
		assert.equal((await node.run({ ...call, netns, command: 'CHECK', conf: { ...NETWORK, cniVersion: '0.3.1' } })).json['code'], 1);
	});
});

describe('GC', () => {
	let node: CniNode;
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	test('removes what is not listed, of this network and node only', async () => {
		const [kept, left, other] = [
			podCall(node, 'kept'),
			podCall(node, 'left'),
			{ ...podCall(node, 'other'), conf: { ...NETWORK, name: 'other-net' } },
		];
		for (const call of [kept, left, other]) await add(node, call);
		// addresses alone, as an ADD leaves them whose agent was killed half way
		await node.ipam.autoAssign({
			host: 'node1',
			counts: { 4: 1 },
			handleId: 'k8s-pod-network.lost',
			attributes: { node: 'node1' },
			intendedUse: 'Workload',
		});
		const valid = { 'cni.dev/valid-attachments': [{ containerID: 'c-kept', ifname: 'eth0' }] };
		const { status, stdout } = await node.run({ command: 'GC', conf: { ...CONF_1_1, ...valid } });
		assert.deepEqual([status, stdout], [0, '']);
		assert.deepEqual(await endpointNames(node), ['shop/node1-k8s-kept-eth0', 'shop/node1-k8s-other-eth0']);
		assert.deepEqual(caliLinks(node).toSorted(), [hostInterfaceName('shop', 'kept'), hostInterfaceName('shop', 'other')].toSorted());
		assert.equal(await assigned(node), 2n);
	});

	test('without a list removes nothing and says so', async () => {
		const { json } = await node.run({ command: 'GC', conf: CONF_1_1 });
		assert.equal(json['code'], 7);
		assert.equal((await endpointNames(node)).length, 2);
	});
});

describe('calico-ipam by itself', () => {
	let node: CniNode;
	before(async () => {
		node = await CniNode.start();
	});
	after(() => node[Symbol.asyncDispose]());

	test('assigns with the mask of the block and a route for each address, checks, releases and collects', async () => {
		const conf = { ...CONF_1_1, type: 'bridge', ipam: { type: 'calico-ipam', assign_ipv6: 'true' } };
		const call = { plugin: 'calico-ipam', containerId: 'c-ipam', netns: node.makeNetns(), conf };
		const result = await add(node, call);
		const ips = result['ips'] as readonly { readonly address: string }[];
		assert.deepEqual(
			ips.map(({ address }) => address.split('/')[1]),
			['26', '122'],
		);
		assert.deepEqual(result['routes'], [{ dst: `${ips[0]?.address.split('/')[0]}/32` }, { dst: `${ips[1]?.address.split('/')[0]}/128` }]);
		assert.equal(result['interfaces'], undefined);
		const withResult = { ...call, conf: { ...conf, prevResult: result } };
		assert.equal((await node.run({ ...withResult, command: 'CHECK' })).status, 0);
		assert.equal((await node.run({ ...call, command: 'DEL' })).status, 0);
		assert.equal((await node.run({ ...withResult, command: 'CHECK' })).json['code'], 101);
		await add(node, call);
		assert.equal((await node.run({ ...call, command: 'GC', conf: { ...conf, 'cni.dev/valid-attachments': [] } })).status, 0);
		assert.equal(await assigned(node), 0n);
	});
});
