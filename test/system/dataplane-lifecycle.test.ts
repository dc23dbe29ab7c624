import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataplaneError } from '#dataplane';
import { type NftEvent, NftMonitor } from '#kernel';
import { RunningDataplane } from '../support/dataplane-process.ts';
import { DesiredState, rule, setId, tier, UDP } from '../support/desired-state.ts';
import { addressOf, PodBed } from '../support/pod-bed.ts';
import { datagramSocket, EchoServer, eventually, probe, probeExpecting, SteadyTraffic } from '../support/probe.ts';

/** A client that may reach port 80 of a server, by a set, and not port 81. */
class Node implements AsyncDisposable {
	readonly bed = new PodBed();
	readonly client = this.bed.addPod('client');
	readonly server = this.bed.addPod('server');
	readonly echo = new EchoServer(this.server.namespace, [
		{ protocol: 'udp', port: 80 },
		{ protocol: 'udp', port: 81 },
	]);
	#running: RunningDataplane | undefined;

	/** All of desired state, for a dataplane that starts. */
	desired(): DesiredState {
		const clients = this.client.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
		const web = rule({
			action: 'Allow',
			protocol: UDP,
			source: { sets: [setId('s:clients')] },
			destination: { ports: [{ min: 80, max: 80 }] },
		});
		return new DesiredState()
			.ipSet('s:clients', 'net', clients)
			.policy('web', { ingress: [web] })
			.endpoint(this.client)
			.endpoint(this.server, { ingress: tier('web') })
			.pools(['10.65.0.0/16'], ['10.65.0.0/16']);
	}

	async start(desired = this.desired()): Promise<RunningDataplane> {
		this.#running = new RunningDataplane(this.bed.node);
		await this.#running.dataplane.apply(desired.take());
		return this.#running;
	}

	async stop(): Promise<void> {
		await this.#running?.[Symbol.asyncDispose]();
		this.#running = undefined;
	}

	nft(...words: readonly string[]): string {
		return this.bed.node.exec('nft', words.join(' '));
	}

	ruleset(): string {
		return this.nft('list', 'ruleset');
	}

	traffic(family: 4 | 6 = 4): SteadyTraffic {
		const target = { address: addressOf(this.server, family), protocol: 'udp' as const, port: 80 };
		return new SteadyTraffic(this.client.namespace, target, { ...target, port: 81 });
	}

	isOpen(port: number, expected: boolean): Promise<boolean> {
		return probeExpecting(expected, this.client.namespace, { address: addressOf(this.server, 4), protocol: 'udp', port });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
		this.echo[Symbol.dispose]();
		this.bed[Symbol.dispose]();
	}
}

test('nothing is written before desired state is in sync', async () => {
	await using node = new Node();
	await using running = new RunningDataplane(node.bed.node);
	const result = await running.dataplane.apply(node.desired().take(false));
	assert.equal(result.written, false);
	assert.equal(node.ruleset(), '');
	assert.equal(running.dataplane.status().inSync, false);
	const { written } = await running.dataplane.apply(new DesiredState().take(true));
	assert.ok(written);
	assert.ok(running.dataplane.status().inSync);
	assert.ok(await node.isOpen(80, true));
});

test('an agent that starts again adopts what it finds: no packet lost, none let through, nothing written', async () => {
	for (const family of [4, 6] as const) {
		await using node = new Node();
		await node.start();
		const before = node.ruleset();
		const events: NftEvent[] = [];
		using _monitor = new NftMonitor({ namespaceFd: node.bed.node.fd, onEvents: (seen) => events.push(...seen) });
		using traffic = node.traffic(family);
		for (let restart = 0; restart < 3; restart++) {
			await sleep(100);
			await node.stop();
			await sleep(100);
			const { dataplane } = await node.start();
			assert.equal(dataplane.status().totals.transactions, 0);
			assert.ok([...dataplane.status().endpoints.values()].every(({ ready }) => ready));
		}
		const { sent, lost, leaked } = await traffic.stop();
		assert.ok(sent > 50);
		assert.deepEqual({ lost, leaked }, { lost: 0, leaked: 0 });
		assert.deepEqual(events, []);
		assert.equal(node.ruleset(), before);
	}
});

test('what changed while the agent was away is brought in as a difference, without a packet lost or let through', async () => {
	await using node = new Node();
	await node.start();
	using traffic = node.traffic();
	await node.stop();
	node.nft('add rule inet tortie b_fwd_to accept');
	const stranger = node.bed.addPod('later');
	const { dataplane } = await node.start(
		node
			.desired()
			.endpoint(stranger)
			.policy('web', {
				ingress: [
					rule({ action: 'Deny', protocol: 1 }),
					rule({ action: 'Allow', protocol: UDP, destination: { ports: [{ min: 80, max: 80 }] } }),
				],
			}),
	);
	const { totals } = dataplane.status();
	assert.deepEqual([totals.transactions, totals.replacements], [1, 0]);
	assert.ok(totals.operations < 40, `${totals.operations} operations`);
	const { lost, leaked } = await traffic.stop();
	assert.deepEqual({ lost, leaked }, { lost: 0, leaked: 0 });
	assert.doesNotMatch(node.nft('list chain inet tortie b_fwd_to'), /^\s*accept$/m);
	assert.equal(await node.isOpen(80, true), true);
});

test('a table of another layout is replaced in one transaction, without a packet lost or let through', async () => {
	await using node = new Node();
	await node.start();
	const rules = node.ruleset().replaceAll(/comment "Tortie, layout \d+[^"]*"/g, 'comment "Tortie, layout 0"');
	await node.stop();
	using traffic = node.traffic();
	node.nft(`delete table inet tortie; delete table arp tortie; ${rules}`);
	const { dataplane } = await node.start();
	assert.equal(dataplane.status().totals.replacements, 1);
	const { lost, leaked } = await traffic.stop();
	assert.deepEqual({ lost, leaked }, { lost: 0, leaked: 0 });
});

test('a flow that was allowed goes on when policy changes; a new one meets the new policy', async () => {
	await using node = new Node();
	const { dataplane } = await node.start();
	const flow = datagramSocket(node.client.namespace, '0.0.0.0', 0);
	let answers = 0;
	flow.on('message', () => answers++);
	const isAnswered = async (): Promise<void> => {
		const before = answers;
		await eventually('an answer on the flow', () => {
			flow.send('?', 80, addressOf(node.server, 4));
			return answers > before;
		});
	};
	await isAnswered();
	await dataplane.apply(node.desired().policy('web', {}).take());
	assert.equal(await node.isOpen(80, false), false);
	await isAnswered();
	flow.close();
});

test('what others do to our tables is undone within about a second', async (context) => {
	await using node = new Node();
	const { dataplane, complaints } = await node.start();
	const before = node.ruleset();
	const chain = /chain (pi4-\w+)/.exec(before)?.[1];
	const list = /goto (li4-\w+)/.exec(before)?.[1];
	const set = /set (s4-\w+)/.exec(before)?.[1];
	for (const [what, command] of [
		['a rule added', `insert rule inet tortie ${chain} accept`],
		['rules flushed', `flush chain inet tortie ${list}`],
		['an element deleted', `delete element inet tortie ${set} { ${addressOf(node.client, 4)} }`],
		['an element added', `add element inet tortie ${set} { 10.1.1.1 }`],
		['a map element changed', `delete element inet tortie wl_to4 { "${node.server.interfaceName}" }`],
		['a base chain deleted', 'flush chain inet tortie b_fwd_to; delete chain inet tortie b_fwd_to'],
		[
			'a chain and a set added',
			'add chain inet tortie mine; add set inet tortie others { type ipv4_addr; }; add rule inet tortie mine ip saddr @others accept',
		],
		['everything of a table flushed', 'flush table inet tortie'],
		['the arp table deleted', 'delete table arp tortie'],
		['the table deleted', 'delete table inet tortie'],
		['the ruleset flushed', 'flush ruleset'],
	] as const) {
		const { repairs } = dataplane.status().totals;
		const started = performance.now();
		node.nft(command);
		await eventually(what, () => dataplane.status().totals.repairs > repairs);
		context.diagnostic(`${what}: undone after ${Math.round(performance.now() - started)} ms`);
		assert.deepEqual(normal(node.ruleset()), normal(before), what);
	}
	assert.equal(await node.isOpen(80, true), true);
	assert.equal(await node.isOpen(81, false), false);
	assert.ok(complaints.every((line) => line.startsWith('somebody else changed our nftables')));
});

test('other programs’ tables are left alone, and their changes cause nothing', async () => {
	await using node = new Node();
	node.nft('add table inet other; add chain inet other tortie; add table ip tortie');
	const { dataplane } = await node.start();
	const { totals } = dataplane.status();
	for (let round = 0; round < 20; round++) node.nft('add chain inet other more; delete chain inet other more');
	assert.match(node.ruleset(), /table inet other/);
	assert.match(node.ruleset(), /table ip tortie/);
	assert.deepEqual(dataplane.status().totals, totals);
});

test('what the kernel cannot take leaves the last good table in force, and is told; then a right one is written', async () => {
	await using node = new Node();
	const { dataplane } = await node.start();
	const before = node.ruleset();
	const broken = rule({ action: 'Allow', destination: { namedPorts: [setId('n:bad')] } });
	const desired = new DesiredState().ipSet('n:bad', 'ip-port', ['10.0.0.1,tcp:99999']).policy('web', { ingress: [broken] });
	await assert.rejects(dataplane.apply(desired.take()), (error) => dataplaneError.is(error, 'DATAPLANE_APPLY_FAILED'));
	assert.equal(node.ruleset(), before);
	assert.match(dataplane.status().lastError ?? '', /99999/);
	assert.equal(dataplane.status().inSync, false);
	assert.equal(await node.isOpen(80, true), true);
	assert.equal(await node.isOpen(81, false), false);
	await dataplane.apply(desired.ipSet('n:bad', 'ip-port', [`${addressOf(node.server, 4)},udp:81`]).take());
	assert.ok(dataplane.status().inSync);
	assert.equal(await node.isOpen(81, true), true);
	assert.equal(await node.isOpen(80, false), false);
});

test('changes applied while one is written go together, and each is answered when it is in force', async () => {
	await using node = new Node();
	const { dataplane } = await node.start();
	const { transactions } = dataplane.status().totals;
	const results = await Promise.all(
		Array.from({ length: 50 }, (_, index) =>
			dataplane.apply(
				new DesiredState()
					.ipSet(`s:${index}`, 'net', ['10.0.0.1/32'])
					.policy('web', { ingress: [rule({ action: 'Allow', source: { sets: [setId(`s:${index}`)] } })] })
					.take(),
			),
		),
	);
	assert.ok(results.every(({ written }) => written));
	assert.equal(dataplane.status().totals.transactions, transactions + 1);
	assert.equal(await probe(node.client.namespace, { address: addressOf(node.server, 4), protocol: 'udp', port: 80 }), false);
});

/** Order of chains and sets in a listing is that of their making. */
function normal(ruleset: string): string[] {
	return ruleset
		.split('\n')
		.map((line) => line.replace(/elements = \{(.*)\}/, (_, list: string) => list.split(',').sort().join(',')))
		.sort();
}
