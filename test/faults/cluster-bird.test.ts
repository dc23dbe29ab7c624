import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { agreedMatrix } from '#lab';
import { Cluster, killAtRandom, type Victim } from '../support/cluster.ts';

describe('a cluster whose nodes have BIRD', () => {
	let cluster: Cluster;
	before(async () => {
		cluster = await Cluster.start({ ip: 'dual', backend: 'bird', nodes: 2 });
	});
	after(() => cluster[Symbol.asyncDispose]());

	function bird(node: string): number {
		const [pid, ...others] = cluster.processes(node, 'bird');
		assert.ok(pid !== undefined && others.length === 0, `BIRD processes of ${node}: ${[pid, ...others].join(', ')}`);
		return pid;
	}

	test('a node that is killed leaves BIRD running and takes it over again', async (context) => {
		const { lab } = cluster;
		const pid = bird('node1');
		const traffic = await cluster.untouched(async (traffic) => {
			traffic.mark('node1 was killed');
			await lab.killNode('node1');
			await sleep(500);
			traffic.mark('node1 was started');
			await lab.startNode('node1');
			await lab.waitForNodes(['node1']);
			await cluster.settle();
		});
		assert.equal(bird('node1'), pid);
		context.diagnostic(traffic);
	});

	test('a BIRD that is killed comes back by itself', async (context) => {
		const pid = bird('node1');
		const traffic = await cluster.untouched(async (traffic) => {
			traffic.mark('BIRD of node1 was killed');
			process.kill(pid, 'SIGKILL');
			await cluster.until('another BIRD', () => cluster.processes('node1', 'bird').some((other) => other !== pid));
			await cluster.settle();
		});
		context.diagnostic(traffic);
	});

	for (const [what, end] of [
		[
			'a node and its BIRD that are killed together',
			async () => {
				await cluster.endNode('node1', 'SIGKILL');
				process.kill(bird('node1'), 'SIGKILL');
			},
		],
		['a node that is stopped, and BIRD with it,', () => cluster.endNode('node1', 'SIGTERM')],
	] as const)
		test(`${what} cost no packet and let none through`, async (context) => {
			const { lab } = cluster;
			const traffic = await cluster.untouched(async (traffic) => {
				traffic.mark('the end of node1');
				await end();
				await cluster.until('BIRD to be gone', () => cluster.processes('node1', 'bird').length === 0);
				await sleep(500);
				traffic.mark('node1 was started');
				await lab.startNode('node1');
				await lab.waitForNodes(['node1']);
				await cluster.settle();
			});
			context.diagnostic(traffic);
		});

	test('kills at random cost no packet and let none through', async (context) => {
		const { lab } = cluster;
		const victims = lab.plan.nodes.flatMap(({ name }): readonly Victim[] => [
			{ name, kill: () => lab.killNode(name), revive: () => lab.startNode(name) },
			{
				name: `BIRD of ${name}`,
				// RFC 4724 lets routes go when a session is lost again, or at both ends, before the first restart is over
				isFit: () => cluster.isSettled(),
				kill: () => {
					for (const pid of cluster.processes(name, 'bird')) process.kill(pid, 'SIGKILL');
					return Promise.resolve();
				},
			},
		]);
		const etcd = { name: 'etcd', kill: () => lab.killEtcd(), revive: () => lab.startEtcd() };
		const traffic = await cluster.untouched(async (traffic) => {
			context.diagnostic(await killAtRandom([...victims, etcd], 4, traffic));
			await cluster.settle();
		});
		context.diagnostic(traffic);
		await agreedMatrix(lab);
	});
});
