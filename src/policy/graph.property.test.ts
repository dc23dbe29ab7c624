import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrParts, ipFamily } from '#net';
import type { AnyResource, KubernetesNetworkPolicy, WorkloadEndpoint } from '#resources';
import { evaluate } from './evaluate.ts';
import { PolicyGraph, type ResourceUpdate } from './graph.ts';
import { endpointId } from './ids.ts';
import { convertKubernetesPolicy } from './kubernetes-policy.ts';
import { Oracle, type World } from './testing/oracle.ts';
import { PolicyModel } from './testing/policy-model.ts';
import { type Change, history, kindName, packet } from './testing/random-cluster.ts';
import type { Direction, EndpointPolicy, Packet } from './types.ts';

/** The datastore, and the updates that its changes give rise to. */
class Datastore {
	readonly #objects = new Map<string, AnyResource | KubernetesNetworkPolicy>();

	apply(change: Change): ResourceUpdate {
		if (change.type === 'set') {
			const { resource } = change;
			const { name, namespace } = resource.metadata;
			this.#objects.set(`${kindName(resource)}/${namespace}/${name}`, resource);
			return asUpdate(resource);
		}
		const { kind, namespace, name } = change;
		this.#objects.delete(`${kind}/${namespace}/${name}`);
		const key =
			kind === 'KubernetesNetworkPolicy' ? { kind: 'NetworkPolicy', namespace, name: `knp.default.${name}` } : { kind, namespace, name };
		return { key, value: null };
	}

	get world(): World {
		const resources: AnyResource[] = [];
		const kubernetesPolicies: KubernetesNetworkPolicy[] = [];
		for (const object of this.#objects.values())
			if (object.apiVersion === 'networking.k8s.io/v1') kubernetesPolicies.push(object);
			else resources.push(object);
		return { resources, kubernetesPolicies };
	}

	get updates(): ResourceUpdate[] {
		return [...this.#objects.values()].map(asUpdate);
	}
}

function asUpdate(object: AnyResource | KubernetesNetworkPolicy): ResourceUpdate {
	const value = object.apiVersion === 'networking.k8s.io/v1' ? convertKubernetesPolicy(object) : object;
	const { name, namespace } = value.metadata;
	return { key: { kind: value.kind, namespace, name }, value };
}

function isLocal(endpoint: WorkloadEndpoint, nodeName: string | undefined): boolean {
	return nodeName === undefined || endpoint.spec.node === nodeName;
}

test('whatever happens to a cluster, verdicts are those of the oracle and deltas add up to what a fresh start gives', () => {
	fc.assert(
		fc.property(
			history,
			fc.array(packet, { minLength: 3, maxLength: 5 }),
			fc.constantFrom(undefined, 'node-a'),
			(batches, packets, nodeName) => {
				const datastore = new Datastore();
				const graph = new PolicyGraph({ nodeName });
				const model = new PolicyModel();
				for (const [index, batch] of batches.entries()) {
					graph.update(batch.map((change) => datastore.apply(change)));
					if (index === 0) {
						const early = graph.flush();
						assert.equal(early.inSync, false);
						assert.equal(early.ipSets.size + early.policies.size + early.endpoints.size, 0);
						graph.setInSync();
					}
					model.apply(graph.flush());
					agreesWithOracle(graph, model, new Oracle(datastore.world), packets, nodeName);
				}
				const fresh = new PolicyGraph({ nodeName });
				fresh.update(datastore.updates.toReversed());
				fresh.setInSync();
				const freshModel = new PolicyModel();
				freshModel.apply(fresh.flush());
				assert.deepEqual(model.snapshot(), freshModel.snapshot());
			},
		),
		{ numRuns: Number(process.env['TORTIE_RUNS'] ?? 10_000) },
	);
});

function agreesWithOracle(
	graph: PolicyGraph,
	model: PolicyModel,
	oracle: Oracle,
	packets: readonly Packet[],
	nodeName: string | undefined,
): void {
	const local = oracle.endpoints.filter((endpoint) => isLocal(endpoint, nodeName));
	assert.deepEqual(new Set(model.endpoints.keys()), new Set(local.map(idOf)));
	for (const endpoint of local) {
		const compiled = model.endpoints.get(idOf(endpoint));
		assert.ok(compiled !== undefined);
		for (const other of packets) {
			for (const direction of ['ingress', 'egress'] as const) {
				const each = withOwnAddress(other, direction, compiled);
				const verdict = evaluate(graph, compiled, direction, each);
				const expected = oracle.allows(endpoint, direction, each);
				const lastStep = verdict.steps.at(-1);
				assert.equal(verdict.allowed, expected, `${compiled.id} ${direction} ${JSON.stringify(each)}: ${lastStep?.reason}`);
				assert.equal(lastStep?.action, verdict.allowed ? 'Allow' : 'Deny');
			}
		}
	}
}

/** The packet as one to or from the endpoint, where it has an address of the packet's family. */
function withOwnAddress(packet: Packet, direction: Direction, { nets }: EndpointPolicy): Packet {
	const own = nets.map((net) => cidrParts(net)).find(({ family }) => family === ipFamily(packet.source));
	return own === undefined ? packet : { ...packet, [direction === 'ingress' ? 'destination' : 'source']: own.address };
}

function idOf({ metadata }: WorkloadEndpoint): ReturnType<typeof endpointId> {
	return endpointId(metadata.namespace as string, metadata.name);
}
