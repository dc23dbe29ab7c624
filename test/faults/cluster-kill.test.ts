import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createNamedNamespace, deleteNamedNamespace } from '#kernel';
import { agreedMatrix } from '#lab';
import { type Ip, ipFamily } from '#net';
import { Cluster, isClosed, isOpen, killAtRandom, type Victim, webPolicy } from '../support/cluster.ts';
import { ClusterTraffic } from '../support/cluster-traffic.ts';

/** A port of web servers that the tests open and close. */
const PORT = 7002;
const OTHER_PORT = 7003;

describe('a cluster whose nodes have the built-in BGP daemon', () => {
	let cluster: Cluster;
	before(async () => {
		cluster = await Cluster.start({ ip: 'dual' });
	});
	after(() => cluster[Symbol.asyncDispose]());

	for (const [what, signal] of [
		['killed', 'SIGKILL'],
		['stopped', 'SIGTERM'],
	] as const)
		test(`a node that is ${what} and started again costs no packet, lets none through, and changes nothing in any kernel`, async (context) => {
			const { lab } = cluster;
			const traffic = await cluster.untouched(async (traffic) => {
				traffic.mark(signal);
				await cluster.endNode('node1', signal);
				await sleep(1000);
				traffic.mark('node1 was started');
				const startedMs = performance.now();
				await lab.startNode('node1');
				await lab.waitForNodes(['node1']);
				const readyMs = performance.now() - startedMs;
				await cluster.settle();
				traffic.mark('BGP was up again');
				context.diagnostic(`ready after ${readyMs.toFixed(0)} ms, BGP after ${(performance.now() - startedMs).toFixed(0)} ms`);
			});
			context.diagnostic(traffic);
		});

	test('without etcd everything goes on, a node that starts waits and says so, and what changes afterwards is enforced', async (context) => {
		const { lab } = cluster;
		const traffic = await cluster.untouched(async (traffic) => {
			traffic.mark('etcd was killed');
			const lostMs = performance.now();
			await lab.killEtcd();
			await sleep(500);
			traffic.mark('node1 was killed');
			await lab.killNode('node1');
			const { length } = cluster.log('node1');
			await lab.startNode('node1');
			await cluster.until('node1 to say that the datastore is missing', async () => {
				const status = await lab.nodeStatus('node1').catch(() => undefined);
				return status !== undefined && !status.ready && /waiting for the datastore/.test(status.reason);
			});
			await cluster.until('the same on the log', () => /the datastore does not answer/.test(cluster.log('node1').slice(length)));
			await cluster.until('the BGP sessions of node1, by the configuration that it had', async () => {
				const { bgp } = await lab.nodeStatus('node1');
				return bgp !== null && bgp.peers.length === 4 && bgp.peers.every(({ state }) => state === 'Established');
			});
			await sleep(Math.max(0, 11_000 - (performance.now() - lostMs)));
			for (const { name } of lab.plan.nodes) {
				const { live, ready, reason } = await lab.nodeStatus(name);
				context.diagnostic(`${name} without etcd: live ${live}, ready ${ready}, ${reason}`);
				assert.ok(live);
			}
			traffic.mark('etcd was started');
			const backMs = performance.now();
			await lab.startEtcd();
			await lab.waitForNodes(['node1']);
			context.diagnostic(`node1 ready ${(performance.now() - backMs).toFixed(0)} ms after etcd was started`);
			await cluster.settle();
			context.diagnostic(`all ${(performance.now() - backMs).toFixed(0)} ms after etcd was started`);
		});
		context.diagnostic(traffic);
		const watched = [...cluster.ways('client-1', 'web-1', PORT), ...cluster.ways('client-1', 'web-2', PORT)];
		await cluster.undisturbed(async (traffic) => {
			assert.ok(watched.every((way) => isClosed(traffic, way)));
			await lab.client.resources.apply(webPolicy([PORT]));
			await cluster.until('the port to be open', () => watched.every((way) => isOpen(traffic, way)));
			await lab.client.resources.apply(webPolicy());
			await cluster.until('the port to be closed', () => watched.every((way) => isClosed(traffic, way)));
		}, watched);
	});

	test('a node cut off from etcd goes on with what it had, and catches up', async (context) => {
		const { lab } = cluster;
		const address = lab.node('node1').addresses[4]?.address as Ip;
		const fabric = lab.plan.segments[0]?.name as string;
		const nft = (rules: string): string => cluster.exec(fabric, 'nft', rules);
		const [own, other] = [cluster.ways('client-1', 'web-1', PORT), cluster.ways('client-1', 'web-2', PORT)];
		const sessions = async (): Promise<unknown> =>
			(await lab.nodeStatus('node1')).bgp?.peers.map(({ address, state, sinceMs }) => ({ address, state, sinceMs }));
		const before = await sessions();
		const traffic = await cluster.undisturbed(
			async (traffic) => {
				nft(
					`table inet cut {
						chain in { type filter hook input priority 0; ip saddr ${address} tcp dport 2379 drop; }
						chain out { type filter hook output priority 0; ip daddr ${address} tcp sport 2379 drop; }
					}`,
				);
				traffic.mark('node1 was cut off');
				const cutMs = performance.now();
				await lab.client.resources.apply(webPolicy([PORT]));
				await cluster.until('the others to enforce a change', () => other.every((way) => isOpen(traffic, way)));
				await sleep(6000 - (performance.now() - cutMs));
				assert.ok(own.every((way) => isClosed(traffic, way)));
				const { live, ready, reason } = await lab.nodeStatus('node1');
				context.diagnostic(`cut off: live ${live}, ready ${ready}, ${reason}`);
				nft('delete table inet cut');
				traffic.mark('node1 was connected again');
				const healedMs = performance.now();
				await cluster.until('node1 to enforce the change', () => own.every((way) => isOpen(traffic, way)));
				context.diagnostic(`enforced ${(performance.now() - healedMs).toFixed(0)} ms after the cut was healed`);
				await cluster.settle();
			},
			[...own, ...other],
		);
		context.diagnostic(traffic);
		assert.deepEqual(await sessions(), before);
		await lab.client.resources.apply(webPolicy());
	});

	test('a policy that changed while the node was dead is enforced in one step when it is back', async (context) => {
		const { lab } = cluster;
		const web = (port: number) => [...cluster.ways('client-1', 'web-1', port), ...cluster.ways('client-2', 'web-1', port)];
		const [closing, opening] = [web(PORT), web(OTHER_PORT)];
		await lab.client.resources.apply(webPolicy([PORT]));
		const traffic = await cluster.undisturbed(
			async (traffic) => {
				await cluster.until('one port to be open', () => closing.every((way) => isOpen(traffic, way)));
				await lab.killNode('node1');
				await lab.client.resources.apply(webPolicy([OTHER_PORT]));
				await sleep(300);
				await cluster.until('what was in force to stay so', () => closing.every((way) => isOpen(traffic, way)));
				assert.ok(opening.every((way) => isClosed(traffic, way)));
				const startedMs = performance.now();
				traffic.mark('node1 was started');
				await lab.startNode('node1');
				await lab.waitForNodes(['node1']);
				const readyMs = performance.now();
				await cluster.settle();
				await sleep(500);
				for (const [way, after] of [...closing.map((way) => [way, false] as const), ...opening.map((way) => [way, true] as const)]) {
					const flows = traffic.arrivals(way).filter(({ sentMs }) => sentMs > startedMs && sentMs < performance.now() - 200);
					const first = flows.findIndex(({ arrived }) => arrived === after);
					assert.ok(first > 0 && flows.slice(first).every(({ arrived }) => arrived === after), `port ${way.port} changed more than once`);
					const changedMs = flows[first]?.sentMs as number;
					assert.ok(changedMs < readyMs, 'the node was ready before the policy was enforced');
					context.diagnostic(
						`port ${way.port}, IPv${ipFamily(way.address)} from ${way.from.node}: ${(changedMs - startedMs).toFixed(0)} ms after the start, ready after ${(readyMs - startedMs).toFixed(0)} ms`,
					);
				}
			},
			[...closing, ...opening],
		);
		context.diagnostic(traffic);
		await lab.client.resources.apply(webPolicy());
	});

	test('pods come and go while a node is dead, and its plugin answers at once', async (context) => {
		const { lab } = cluster;
		const pod = (name: string, node: string, app = 'client') => ({ namespace: 'shop', name, node, labels: { app } });
		const [leaving, vanishing] = [await lab.addPod(pod('leaving', 'node2')), await lab.addPod(pod('vanishing', 'node1'))];
		await lab.client.resources.apply(webPolicy([PORT]));
		const ruleset = (): string => cluster.exec('node1', 'nft', 'list', 'ruleset');
		const isKnown = (address: Ip): boolean => ruleset().includes(address);
		await cluster.until('node1 to know the new pods', () => [...leaving.addresses, ...vanishing.addresses].every(isKnown));
		const traffic = await cluster.undisturbed(async () => {
			await lab.killNode('node1');
			const askedMs = performance.now();
			await assert.rejects(lab.addPod(pod('refused', 'node1')), /code 11/);
			await assert.rejects(lab.removePod(vanishing), /code 11/);
			const answeredMs = performance.now() - askedMs;
			assert.ok(answeredMs < 1000, `both answers took ${answeredMs} ms`);
			cluster.exec('vanishing', 'ip', 'link', 'delete', 'eth0');
			const [late, intruder] = [await lab.addPod(pod('late', 'node2')), await lab.addPod(pod('intruder', 'node2', 'intruder'))];
			await lab.removePod(leaving);
			const allowed = cluster.ways('late', 'web-1', PORT);
			const denied = cluster.ways('intruder', 'web-1', PORT);
			using probes = new ClusterTraffic(lab, { allowed: [], denied, watched: allowed });
			await lab.startNode('node1');
			await lab.waitForNodes(['node1']);
			await cluster.until('the new client to be let in', () => allowed.every((way) => isOpen(probes, way)));
			for (const way of allowed) {
				const flows = probes.arrivals(way).filter(({ sentMs }) => sentMs < performance.now() - 200);
				assert.ok(flows.slice(flows.findIndex(({ arrived }) => arrived)).every(({ arrived }) => arrived));
			}
			assert.deepEqual((await probes.stop()).leaked, []);
			for (const address of leaving.addresses) assert.ok(!isKnown(address), `${address} of a pod that is gone is still in the rules`);
			for (let time = 0; time < 2; time++) await lab.removePod(vanishing);
			await cluster.until('nothing to be left of the pod that vanished', () => !vanishing.addresses.some(isKnown));
			await lab.addPod(pod('next', 'node1'));
			for (const one of [late, intruder, lab.pod('next')]) await lab.removePod(one);
			await lab.client.resources.apply(webPolicy());
			await cluster.settle();
			context.diagnostic(`ADD and DEL without the agent were answered within ${answeredMs.toFixed(0)} ms`);
		});
		context.diagnostic(traffic);
	});

	test('an ADD that the death of the agent cut off is completed when it is repeated, and taken back by DEL', async (context) => {
		const { lab } = cluster;
		const devices = (): string => cluster.exec('node1', 'ip', '-o', 'link', 'show', 'type', 'veth').replaceAll(/:.*/g, '');
		const count = async (): Promise<object> => ({
			devices: devices(),
			addresses: await cluster.assignedAddresses(),
			endpoints: (await lab.client.resources.list('WorkloadEndpoint')).items.length,
		});
		const before = await count();
		const netns = `tortie-${lab.plan.options.name}-cut`;
		createNamedNamespace(netns)[Symbol.dispose]();
		try {
			const traffic = await cluster.undisturbed(async () => {
				for (const repeated of [true, false]) {
					const adding = cluster.callPlugin('node1', 'ADD', netns);
					const afterMs = 10 + Math.random() * 40;
					await sleep(afterMs);
					await lab.killNode('node1');
					const code = await adding;
					context.diagnostic(`killed after ${afterMs.toFixed(0)} ms: code ${code}`);
					assert.ok(code === 0 || code === 11, `code ${code}`);
					await lab.startNode('node1');
					await lab.waitForNodes(['node1']);
					if (repeated) {
						assert.equal(await cluster.callPlugin('node1', 'ADD', netns), 0);
						const target = { address: lab.pod('visitor-2').addresses[0] as Ip, port: 80, protocol: 'tcp' } as const;
						assert.equal((await lab.probe({ netns }, target, 5000)).outcome, 'open');
					}
					for (let time = 0; time < 2; time++) assert.equal(await cluster.callPlugin('node1', 'DEL', netns), 0);
					assert.deepEqual(await count(), before);
				}
				await cluster.settle();
			});
			context.diagnostic(traffic);
		} finally {
			deleteNamedNamespace(netns);
		}
	});

	test('kills at random cost no packet, let none through, and change nothing in any kernel', async (context) => {
		const { lab } = cluster;
		const nodes = lab.plan.nodes.map(({ name }): Victim => ({ name, kill: () => lab.killNode(name), revive: () => lab.startNode(name) }));
		const etcd = { name: 'etcd', kill: () => lab.killEtcd(), revive: () => lab.startEtcd() };
		const traffic = await cluster.untouched(async (traffic) => {
			context.diagnostic(await killAtRandom([...nodes, etcd], 6, traffic));
			await cluster.settle();
			traffic.mark('all was up again');
		});
		context.diagnostic(traffic);
		await agreedMatrix(lab);
	});
});
