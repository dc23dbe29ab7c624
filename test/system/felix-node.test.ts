import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { askNode } from '#node-api';
import { type AnyResource, API_VERSION } from '#resources';
import { joinByVeth, NamespaceBed, type TestNamespace } from '../support/netns.ts';
import { eventually, NamespaceEtcd, TestNode } from '../support/node-process.ts';

/** Two nodes on one wire, the first of which also has etcd. */
class Cluster implements AsyncDisposable {
	readonly etcd: NamespaceEtcd;
	readonly nodes: readonly TestNode[];
	readonly #bed = new NamespaceBed();
	readonly #stack = new AsyncDisposableStack();

	constructor(backend: string) {
		this.#stack.defer(() => this.#bed[Symbol.dispose]());
		const namespaces = [this.#bed.makeNamespace('n1'), this.#bed.makeNamespace('n2')] as const;
		joinByVeth({ namespace: namespaces[0], name: 'eth0' }, { namespace: namespaces[1], name: 'eth0' });
		this.etcd = this.#stack.use(new NamespaceEtcd(namespaces[0], '10.99.0.1'));
		this.nodes = namespaces.map((namespace, index) => {
			namespace.addAddress('eth0', `10.99.0.${index + 1}/24`);
			namespace.addAddress('eth0', `fd99::${index + 1}/64`);
			// proxy ARP answers only for what is routed elsewhere
			namespace.addRoute('0.0.0.0/0', 'eth0', '10.99.0.254');
			const env = { ETCD_ENDPOINTS: this.etcd.endpoint, IP6: 'autodetect', CALICO_NETWORKING_BACKEND: backend };
			return this.#stack.use(new TestNode(namespace, `n${index + 1}`, env));
		});
	}

	makeNamespace(label: string): TestNamespace {
		return this.#bed.makeNamespace(label);
	}

	/** Writes resources as an operator would, from a host of the cluster. */
	async write(...resources: readonly AnyResource[]): Promise<void> {
		const first = this.nodes[0] as TestNode;
		const script = `const { openDatastore } = await import(${JSON.stringify(import.meta.resolve('#datastore'))});
			await using client = openDatastore({ type: 'etcdv3', etcd: { endpoints: [${JSON.stringify(this.etcd.endpoint)}] } });
			for (const resource of ${JSON.stringify(resources)}) await client.resources.apply(resource);`;
		first.namespace.exec(process.execPath, '--input-type=module', '-e', script);
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.#stack.disposeAsync();
	}
}

/** Pools, and what Kubernetes' namespace `default` would be. */
const RESOURCES: readonly AnyResource[] = [
	{
		apiVersion: API_VERSION,
		kind: 'Profile',
		metadata: { name: 'kns.default' },
		spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
	},
	{ apiVersion: API_VERSION, kind: 'IPPool', metadata: { name: 'four' }, spec: { cidr: '10.65.0.0/16' } },
	{ apiVersion: API_VERSION, kind: 'IPPool', metadata: { name: 'six' }, spec: { cidr: 'fd65::/112' } },
];

/** Pings every 20 ms until told to stop; tells how many answers were missing. */
function pingUntil(namespace: TestNamespace, address: string): { stop(): Promise<{ readonly sent: number; readonly lost: number }> } {
	const child = namespace.run(() => spawn('ping', ['-n', '-i', '0.02', '-W', '1', address], { stdio: ['ignore', 'pipe', 'ignore'] }));
	let out = '';
	child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('utf8')));
	return {
		async stop() {
			child.kill('SIGINT');
			await once(child, 'close');
			const [, sent = '0', received = '0'] = /([0-9]+) packets transmitted, ([0-9]+) received/.exec(out) ?? [];
			return { sent: Number(sent), lost: Number(sent) - Number(received) };
		},
	};
}

/** Watches for routes that the kernel loses. */
function watchRoutes(namespace: TestNamespace): { stop(): Promise<string[]> } {
	const child = namespace.run(() => spawn('ip', ['monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] }));
	let out = '';
	child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('utf8')));
	return {
		async stop() {
			child.kill('SIGTERM');
			await once(child, 'close');
			return out.split('\n').filter((line) => line.startsWith('Deleted'));
		},
	};
}

test('a node waits for its datastore, says so, and comes up when it is there', { timeout: 120_000 }, async () => {
	await using cluster = new Cluster('none');
	const [node] = cluster.nodes as [TestNode, TestNode];
	node.start();
	await eventually('it says what it waits for', async () => {
		const status = await node.status().catch(() => undefined);
		return status?.reason.startsWith('waiting for the datastore') === true;
	});
	assert.match(node.log, /the datastore does not answer; the node waits for it/);
	assert.deepEqual(node.probe('--felix-live'), { status: 0, words: '' }, 'waiting is no reason to be killed');
	const unready = node.probe('-felix-ready');
	assert.equal(unready.status, 1);
	assert.match(unready.words, /waiting for the datastore/);
	cluster.etcd.start();
	await node.ready();
	assert.equal(node.probe('--felix-live', '--felix-ready').status, 0);
	assert.equal(readFileSync(join(node.root, 'var/lib/calico/nodename'), 'utf8'), 'n1');
	assert.equal(statSync(node.socketPath).mode & 0o777, 0o600);
	assert.deepEqual(
		(await node.status()).components.map(({ name }) => name),
		['felix'],
	);

	// A second instance on the same directories must not come up beside the first.
	await using second = new TestNode(node.namespace, 'n1', { CALICO_HOST_ROOT: node.root, ETCD_ENDPOINTS: cluster.etcd.endpoint });
	second.start();
	await eventually('the second instance gives up', () => second.exitCode === 1);
	assert.match(second.log, /NODE_BUSY/);

	// Without the datastore the node goes on, and ends in order when asked.
	await cluster.etcd.kill();
	await eventually('the loss is seen', async () => (await node.status()).policy?.state === 'waiting');
	assert.equal((await node.status()).ready, true);
	await node.stop('SIGTERM');
	assert.equal(node.exitCode, 0);
	assert.match(node.namespace.exec('nft', 'list', 'tables'), /inet tortie/, 'what is enforced stays');
});

test('a node whose address another one has does not come up', { timeout: 120_000 }, async () => {
	await using cluster = new Cluster('none');
	cluster.etcd.start();
	const [node] = cluster.nodes as [TestNode, TestNode];
	await eventually(
		'etcd answers',
		() => node.namespace.status('etcdctl', '--endpoints', cluster.etcd.endpoint, 'endpoint', 'health') === 0,
	);
	await cluster.write({
		apiVersion: API_VERSION,
		kind: 'Node',
		metadata: { name: 'older' },
		spec: { bgp: { ipv4Address: '10.99.0.1/24' } },
	});
	node.start();
	await eventually('it gives up', () => node.exitCode === 1);
	assert.match(node.log, /NODE_ADDRESS_CONFLICT/);
	assert.match(node.log, /older/);
});

for (const { what, env, words } of [
	{ what: 'without a datastore in its settings', env: { ETCD_ENDPOINTS: '' }, words: /no datastore is configured/ },
	{ what: 'with a setting that cannot be understood', env: { IP: 'here' }, words: /IP is "here".*NODE_BAD_SETTING/ },
	{ what: 'with a name that is none', env: { NODENAME: 'No Name' }, words: /NODENAME/ },
])
	test(`a node ${what} says so and ends`, { timeout: 60_000 }, async () => {
		using bed = new NamespaceBed();
		await using node = new TestNode(bed.makeNamespace('n'), 'n1', { ETCD_ENDPOINTS: 'http://127.0.0.1:1', ...env });
		node.start();
		await eventually(`it ends; its log: ${node.log}`, () => node.exitCode === 1);
		assert.match(node.log.replaceAll('\\', ''), words);
	});

for (const backend of ['tortie', 'bird']) {
	describe(`two nodes with BGP by ${backend}`, () => {
		test('pods reach each other over routes that BGP carried, and go on while a node is killed and comes back', {
			timeout: 240_000,
		}, async () => {
			await using cluster = new Cluster(backend);
			const [first, second] = cluster.nodes as [TestNode, TestNode];
			cluster.etcd.start();
			await eventually(
				'etcd answers',
				() => first.namespace.status('etcdctl', '--endpoints', cluster.etcd.endpoint, 'endpoint', 'health') === 0,
			);
			await cluster.write(...RESOURCES);
			first.start();
			second.start();
			await first.ready();
			await second.ready();
			await eventually('BGP is ready', () => first.probe('--bird-live', '--bird-ready').status === 0);

			const pods = [cluster.makeNamespace('p1'), cluster.makeNamespace('p2')] as const;
			const [own4 = '', own6 = ''] = await first.addPod('one', pods[0].name);
			const [address4 = '', address6 = ''] = await second.addPod('two', pods[1].name);
			for (const address of [address4, address6])
				await eventually(`${address} answers`, () => pods[0].status('ping', '-c', '1', '-W', '1', address) === 0);

			const [endpoint] = await askNode(first.socketPath, 'GET /v1/endpoints', undefined);
			assert.deepEqual(endpoint?.nets, [`${own4}/32`, `${own6}/128`]);
			const explained = await askNode(first.socketPath, 'POST /v1/explain', {
				source: own4,
				destination: address4,
				protocol: 'tcp',
				port: 80,
			});
			assert.equal(explained.allowed, true);
			assert.equal(explained.source?.direction, 'egress');

			const traffic = pingUntil(pods[0], address4);
			const lost = [watchRoutes(first.namespace), watchRoutes(second.namespace)];
			await sleep(300);
			await first.stop('SIGKILL');
			await sleep(1000);
			first.start();
			await first.ready();
			await eventually('BGP is ready again', () => first.probe('--bird-ready').status === 0);
			// The second node stops in order, and comes back while the datastore is away: first BGP, and all the rest with the datastore.
			await second.stop('SIGTERM');
			await cluster.etcd.kill();
			await sleep(1000);
			second.start();
			await eventually(`its sessions are up without a datastore; its log: ${second.log}`, async () => {
				const status = await second.status().catch(() => undefined);
				return status?.bgp?.peers.length === 2 && status.bgp.peers.every(({ state }) => state === 'Established');
			});
			cluster.etcd.start();
			await second.ready();
			await eventually('BGP is ready again', () => second.probe('--bird-ready').status === 0);
			if (backend === 'bird') {
				assert.equal(first.killBird(), 1);
				await eventually('BIRD is started again', async () => {
					const bird = (await first.status()).components.find(({ name }) => name === 'bird');
					return bird?.running === true && bird.restarts === 1 && first.probe('--bird-ready').status === 0;
				});
			}
			await sleep(1000);
			const { sent, lost: missing } = await traffic.stop();
			// BIRD removes and adds a black hole where it could leave it; what it covers has routes of its own.
			const gone = (await Promise.all(lost.map((watch) => watch.stop())))
				.flat()
				.filter((line) => backend !== 'bird' || !line.includes('blackhole'));
			assert.deepEqual(gone, [], 'no route is ever taken away');
			if (backend === 'bird') assert.match(first.log, /a running BIRD was taken over/);
			assert.ok(sent > 50, `${sent} packets were sent`);
			assert.equal(missing, 0, `${missing} of ${sent} packets were lost`);
		});
	});
}
