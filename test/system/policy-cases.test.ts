import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ip } from '#net';
import { CASES_MISSING, CaseCluster, type CasePod, type CaseStep, readCases } from '../support/cyclonus.ts';
import { RunningDataplane } from '../support/dataplane-process.ts';
import { type Pod, PodBed } from '../support/pod-bed.ts';
import { EchoServer, probeExpecting, type Transport } from '../support/probe.ts';

/** Every fifth case of 230, and those few that have most steps. */
const SAMPLE_STEP = 5;
const MOST_STEPS = 3;
const PORTS = ['80/TCP', '80/UDP', '81/TCP', '81/UDP'] as const;
/** Silence for so long is a drop; what should be answered gets many times as long. */
const SILENCE_MS = 250;

test('packets get the verdicts of cyclonus’ cases', { skip: CASES_MISSING }, async (context) => {
	const { initial, cases } = readCases();
	const sample = cases.filter(({ n, steps }) => n % SAMPLE_STEP === 0 || steps.length >= MOST_STEPS);
	assert.ok(sample.length >= 40);
	using pods = new CasePods();
	let probes = 0;
	for (const { n, description, steps } of sample) {
		const cluster = new CaseCluster(initial);
		// each case finds the tables of the one before, as a new agent does
		await using running = new RunningDataplane(pods.bed.node);
		for (const [index, step] of steps.entries()) {
			for (const action of step.actions ?? []) cluster.act(action);
			for (const pod of cluster.pods.values()) pods.ensure(pod);
			const { endpoints } = await running.dataplane.apply(cluster.graph.flush());
			for (const [id, state] of endpoints) assert.ok(state.ready, `${id}: ${JSON.stringify(state)}`);
			assert.deepEqual(running.complaints, []);
			probes += await pods.check(step.expected, `case ${n} (${description}), step ${index}`);
		}
	}
	context.diagnostic(`${sample.length} cases, ${probes} probes`);
});

/** The pods of the cases, each with servers that stay. */
class CasePods implements Disposable {
	readonly bed = new PodBed();
	readonly #pods = new Map<string, { readonly pod: Pod; readonly server: EchoServer }>();

	ensure({ namespace, name, ip: address }: CasePod): void {
		const key = `${namespace}/${name}`;
		if (this.#pods.has(key)) return;
		const pod = this.bed.addPod(`${namespace}${name}`, [ip(address)]);
		const served = PORTS.map((text) => target(text, address));
		this.#pods.set(key, { pod, server: new EchoServer(pod.namespace, served) });
	}

	/** Sends a packet for every cell of the tables, less those of pods to themselves, and returns how many. */
	async check({ columns, byPort }: CaseStep['expected'], where: string): Promise<number> {
		// flows of the step before would go on whatever policy says now
		this.bed.node.exec('conntrack', '-F');
		// a few steps are about one port only
		const probes = PORTS.filter((port) => byPort[port] !== undefined).flatMap((port) =>
			columns.flatMap((from) =>
				columns.flatMap((to, column) => (from === to ? [] : [{ port, from, to, expected: byPort[port]?.combined[from]?.[column] }])),
			),
		);
		const wrong = await Promise.all(
			probes.map(async ({ port, from, to, expected }) => {
				assert.ok(expected === '.' || expected === 'X', `${where}: no verdict for ${from} → ${to} ${port}`);
				const [source, destination] = [this.#pod(from), this.#pod(to)];
				const passed = await probeExpecting(expected === '.', source.namespace, target(port, destination.addresses[0] ?? ''), {
					timeoutMs: SILENCE_MS,
				});
				return passed === (expected === '.') ? [] : [`${from} → ${to} ${port}: ${passed ? 'passed' : 'dropped'}`];
			}),
		);
		assert.deepEqual(wrong.flat(), [], where);
		return probes.length;
	}

	#pod(key: string): Pod {
		const found = this.#pods.get(key);
		assert.ok(found !== undefined, `no pod ${key}`);
		return found.pod;
	}

	[Symbol.dispose](): void {
		for (const { server } of this.#pods.values()) server[Symbol.dispose]();
		this.bed[Symbol.dispose]();
	}
}

function target(port: (typeof PORTS)[number], address: string): { address: string; protocol: Transport; port: number } {
	const [number = '', protocol = ''] = port.split('/');
	return { address, protocol: protocol.toLowerCase() as Transport, port: Number(number) };
}
