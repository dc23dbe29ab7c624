import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { hostCidr, ip } from '#net';
import type { CompiledRule, PolicyList } from '#policy';
import { RunningDataplane } from '../support/dataplane-process.ts';
import { DesiredState, policyName, rule, setId, TCP } from '../support/desired-state.ts';
import { NamespaceBed } from '../support/netns.ts';

const PODS = 100;
const POLICIES = 2000;
const POLICIES_PER_POD = 20;
const ROUNDS = 40;

/** Printed, not judged: the machine is shared. */
test('how long changes take with 100 pods and 2,000 policies', async (context) => {
	using bed = new NamespaceBed();
	const node = bed.makeNamespace('node');
	const desired = new DesiredState();
	for (let policy = 0; policy < POLICIES; policy++) {
		desired.ipSet(`s:${policy}`, 'net', addresses(policy % 50, 20));
		desired.policy(`p${policy}`, { ingress: [webFrom(policy, 80)], egress: [webFrom(policy, 443)] });
	}
	for (let pod = 0; pod < PODS; pod++) endpoint(desired, pod, pod);
	await using running = new RunningDataplane(node);
	const { dataplane } = running;
	await timed(context, 'cold start', 1, () => dataplane.apply(desired.take()));
	const { counts } = dataplane.status();
	context.diagnostic(`${counts.chains} chains, ${counts.sets} sets, ${counts.setMembers} members`);
	await timed(context, 'a member more in a set', ROUNDS, (round) =>
		dataplane.apply(desired.ipSet(`s:${round}`, 'net', addresses(round % 50, 21)).take()),
	);
	await timed(context, 'a policy edited', ROUNDS, (round) =>
		dataplane.apply(desired.policy(`p${round}`, { ingress: [webFrom(round, 81)], egress: [webFrom(round, 443)] }).take()),
	);
	await timed(context, 'an endpoint with a list of its own', ROUNDS, (round) => {
		endpoint(desired, PODS + round, PODS + round);
		return dataplane.apply(desired.take());
	});
	await timed(context, 'an endpoint with a list that others have', ROUNDS, (round) => {
		endpoint(desired, 1000 + round, 1);
		return dataplane.apply(desired.take());
	});
	assert.equal(dataplane.status().totals.replacements, 1, 'only the first write is of whole tables');
});

function addresses(from: number, count: number): string[] {
	return Array.from({ length: count }, (_, index) => `10.${from}.0.${index}/32`);
}

function webFrom(set: number, port: number): CompiledRule {
	return rule({
		action: 'Allow',
		protocol: TCP,
		source: { sets: [setId(`s:${set}`)] },
		destination: { ports: [{ min: port, max: port }] },
	});
}

function endpoint(desired: DesiredState, number: number, list: number): void {
	const policies = Array.from({ length: POLICIES_PER_POD }, (_, index) => policyName(`p${(list * POLICIES_PER_POD + index) % POLICIES}`));
	const lists: PolicyList = { tiers: [{ name: 'default', defaultAction: 'Deny', policies }], profiles: [] };
	const address = ip(`10.65.${number >> 8}.${number & 255}`);
	const pod = { namespace: undefined as never, interfaceName: `cali${number}`, addresses: [address], mac: undefined as never };
	desired.endpoint(pod, { ingress: lists, egress: lists }, { nets: [hostCidr(address)] });
}

async function timed(context: TestContext, what: string, rounds: number, run: (round: number) => Promise<unknown>): Promise<void> {
	const times: number[] = [];
	for (let round = 0; round < rounds; round++) {
		const started = performance.now();
		await run(round);
		times.push(performance.now() - started);
	}
	times.sort((a, b) => a - b);
	const at = (share: number): string => (times[Math.min(rounds - 1, Math.floor(rounds * share))] ?? 0).toFixed(2);
	context.diagnostic(rounds === 1 ? `${what}: ${at(0)} ms` : `${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}
