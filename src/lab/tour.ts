import { setTimeout as sleep } from 'node:timers/promises';
import { type Family, ipFamily } from '#net';
import type { NetworkPolicy } from '#resources';
import { type CutPair, measureEnforcement } from './enforcement.ts';
import { labError } from './errors.ts';
import { expectedMatrix } from './expected.ts';
import type { Lab } from './lab.ts';
import { differences, formatMatrix, MATRIX_PORT, type Matrix, measureMatrix } from './matrix.ts';
import { entriesByFamily } from './plan.ts';
import type { Progress } from './progress.ts';
import { learnedRoutes } from './routes.ts';
import { SAMPLE_POLICY } from './sample.ts';

/** How long packets may take to agree with the policy engine. */
const AGREE_LIMIT_MS = 15_000;
const AGREE_AGAIN_MS = 100;
const OUTSIDE_LIMIT_MS = 3000;

/**
 * Shows what the cluster does: who reaches whom, then the same with a policy and how long that took, the way out, and
 * the routes.
 *
 * @throws LAB_CHECK_FAILED where packets are not as the policy engine says, or not masqueraded; LAB_TIMEOUT
 */
export async function takeTour(lab: Lab, write: (text: string) => void, progress: Progress): Promise<void> {
	const before = await progress.step('connections between all pods', () => agreedMatrix(lab));
	write(`\nWho reaches whom, TCP port ${MATRIX_PORT} (+ yes, . no):\n\n${formatMatrix(before)}\n\n`);

	const pairs = await cutPairs(lab, before, SAMPLE_POLICY);
	const delays = await progress.step('a policy, applied and enforced', () =>
		measureEnforcement(lab, pairs, () => lab.client.resources.apply(SAMPLE_POLICY)),
	);
	const after = await progress.step('connections between all pods', () => agreedMatrix(lab));
	write(`\nNow only clients reach web servers, and only on port 80; what changed is in brackets:\n\n${formatMatrix(after, before)}\n\n`);
	if (delays.length > 0)
		write(`Enforced ${describeDelays(delays)}, as packets see it: a new flow each millisecond between ${delays.length} pairs.\n\n`);

	write(`${await progress.step('the way out', () => describeWayOut(lab))}\n\n`);
	write(`Routes that BGP brought:\n\n${describeRoutes(lab)}\n`);
}

/** The matrix by packets, once it is what the policy engine says. */
export async function agreedMatrix(lab: Lab): Promise<Matrix> {
	for (const end = performance.now() + AGREE_LIMIT_MS; ; await sleep(AGREE_AGAIN_MS)) {
		const found = await measureMatrix(lab);
		const wrong = differences(await expectedMatrix(lab.client, lab.pods, lab.plan.families), found);
		if (wrong.length === 0) return found;
		if (performance.now() > end)
			throw labError('LAB_CHECK_FAILED', {
				message: `packets do not go as the policy engine says: ${wrong.slice(0, 5).join('; ')}${wrong.length > 5 ? `; and ${wrong.length - 5} more` : ''}`,
			});
	}
}

/** The pairs that a policy, not yet written, would cut. */
async function cutPairs(lab: Lab, before: Matrix, policy: NetworkPolicy): Promise<readonly CutPair[]> {
	const after = await expectedMatrix(lab.client, lab.pods, lab.plan.families, policy);
	return before.pods.flatMap((from, row) =>
		before.pods.flatMap((to, column) => {
			const cut = (before.cells[row]?.[column] ?? []).filter((family) => after.cells[row]?.[column]?.includes(family) === false);
			return to.addresses.filter((address) => cut.includes(ipFamily(address))).map((address) => ({ from, to, address }));
		}),
	);
}

/** From one pod of each node to the host outside, which has to see the node's own address. */
async function describeWayOut(lab: Lab): Promise<string> {
	const lines: string[] = [];
	for (const node of lab.plan.nodes) {
		const pod = lab.pods.find((one) => one.node === node.name);
		if (pod === undefined) continue;
		for (const [family, address] of entriesByFamily(lab.plan.outside)) {
			const { outcome, seenAs } = await lab.probe(pod, { address, port: MATRIX_PORT, protocol: 'tcp' }, OUTSIDE_LIMIT_MS);
			const own = node.addresses[family]?.address;
			if (outcome !== 'open' || seenAs !== own)
				throw labError('LAB_CHECK_FAILED', {
					message: `${pod.name} outside of the cluster (${address}): ${outcome === 'open' ? `seen as ${seenAs}, not as ${node.name}'s ${own}` : outcome}`,
				});
			lines.push(`  ${pod.name} (${addressOf(pod.addresses, family)}) → ${address}: seen there as ${seenAs}, which is ${node.name}`);
		}
	}
	return ['From pods to a host outside, masqueraded:', '', ...lines].join('\n');
}

function describeRoutes(lab: Lab): string {
	const { nodes, segments, families } = lab.plan;
	return [...nodes, ...(segments.length > 1 ? segments : [])]
		.map(({ name, namespace }) => {
			const routes = learnedRoutes(namespace, families).map(
				({ destination, gateway, interfaceName }) => `    ${destination} via ${gateway} dev ${interfaceName}`,
			);
			return [`  ${name}`, ...(routes.length === 0 ? ['    none'] : routes)].join('\n');
		})
		.join('\n');
}

function describeDelays(delays: readonly number[]): string {
	const [least, most] = [Math.min(...delays), Math.max(...delays)].map((ms) => ms.toFixed(0));
	return least === most ? `${least} ms after the write` : `${least} to ${most} ms after the write`;
}

function addressOf(addresses: readonly string[], family: Family): string {
	return addresses.find((address) => address.includes(':') === (family === 6)) ?? '';
}
