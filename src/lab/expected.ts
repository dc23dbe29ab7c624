import type { Client } from '#datastore';
import type { Family } from '#net';
import { PolicyGraph } from '#policy';
import { type NetworkPolicy, protocolNumber } from '#resources';
import { fillMatrix, MATRIX_PORT, type Matrix } from './matrix.ts';
import type { PodRecord } from './state.ts';

const POLICY_KINDS = [
	'WorkloadEndpoint',
	'NetworkPolicy',
	'GlobalNetworkPolicy',
	'NetworkSet',
	'GlobalNetworkSet',
	'Profile',
	'Tier',
	'IPPool',
] as const;

const EPHEMERAL_PORT = 40_000;

/** What the policy engine says of every pair, from what is in the datastore now, and a policy that is not there yet. */
export async function expectedMatrix(
	client: Client,
	pods: readonly PodRecord[],
	families: readonly Family[],
	added?: NetworkPolicy,
): Promise<Matrix> {
	const graph = new PolicyGraph({ nodeName: undefined });
	for (const kind of POLICY_KINDS) {
		const { items } = await client.resources.list(kind);
		graph.update(items.map((value) => ({ key: { kind, namespace: value.metadata.namespace, name: value.metadata.name }, value })));
	}
	if (added !== undefined) graph.update([{ key: { kind: added.kind, ...added.metadata }, value: added }]);
	graph.setInSync();
	graph.flush();
	return fillMatrix(pods, families, (_from, _to, source, destination) => {
		const packet = { source, destination, protocol: protocolNumber('TCP'), sourcePort: EPHEMERAL_PORT, destinationPort: MATRIX_PORT };
		return graph.explain(packet).allowed;
	});
}
