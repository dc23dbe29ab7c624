import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ip } from '#net';
import { CASES_MISSING, CaseCluster, type CaseStep, type CaseTables, readCases } from '../../test/support/cyclonus.ts';

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

test('every case of cyclonus has the verdicts that Kubernetes documents', { skip: CASES_MISSING }, () => {
	const { initial, cases } = readCases();
	let steps = 0;
	let verdicts = 0;
	for (const { n, description, steps: list } of cases) {
		const cluster = new CaseCluster(initial);
		for (const [index, step] of list.entries()) {
			for (const action of step.actions ?? []) cluster.act(action);
			verdicts += check(cluster, step.expected, `case ${n} (${description}), step ${index}`);
			steps++;
		}
	}
	assert.deepEqual({ cases: cases.length, steps }, { cases: 230, steps: 256 });
	assert.ok(verdicts > 100_000, `${verdicts} verdicts`);
});

/** Compares every table, leaving out pods that talk to themselves; returns how many verdicts that were. */
function check(cluster: CaseCluster, { columns, byPort }: CaseStep['expected'], where: string): number {
	cluster.graph.flush();
	assert.deepEqual(cluster.graph.problems(), [], where);
	let verdicts = 0;
	for (const [portName, tables] of Object.entries(byPort)) {
		const [port, protocol] = portName.split('/') as [string, keyof typeof PROTOCOLS];
		for (const from of columns)
			for (const [column, to] of columns.entries()) {
				if (from === to) continue;
				const actual = verdictsOf(cluster, from, to, PROTOCOLS[protocol], Number(port));
				for (const table of ['ingress', 'egress', 'combined'] as const) {
					const expected = tables[table][from]?.[column];
					assert.equal(actual[table] ? '.' : 'X', expected, `${where}: ${table} ${from} → ${to} ${portName}`);
					verdicts++;
				}
			}
	}
	return verdicts;
}

function verdictsOf(
	{ graph, pods }: CaseCluster,
	from: string,
	to: string,
	protocol: number,
	destinationPort: number,
): Record<keyof CaseTables, boolean> {
	const [source, destination] = [pods.get(from), pods.get(to)];
	assert.ok(source !== undefined && destination !== undefined);
	const explanation = graph.explain({
		source: ip(source.ip),
		destination: ip(destination.ip),
		protocol,
		sourcePort: 40_000,
		destinationPort,
	});
	assert.ok(explanation.source !== undefined && explanation.destination !== undefined);
	return {
		ingress: explanation.destination.verdict.allowed,
		egress: explanation.source.verdict.allowed,
		combined: explanation.allowed,
	};
}
