/** Objects of the datastore with what a test does not care for filled in. */
import type { AnyResource, GlobalNetworkPolicy, GlobalNetworkSet, NetworkPolicy, Profile, Tier, WorkloadEndpoint } from '#resources';
import { PolicyGraph, type ResourceUpdate } from '../graph.ts';
import { endpointId } from '../ids.ts';
import type { EndpointId } from '../types.ts';
import { PolicyModel } from './policy-model.ts';

const API_VERSION = 'projectcalico.org/v3';

/** A pod in namespace `shop` on `node-a`, with an allow-all namespace profile. */
export function pod(
	name: string,
	address: string,
	spec: Partial<WorkloadEndpoint['spec']> & { readonly labels?: Readonly<Record<string, string>>; readonly namespace?: string } = {},
): WorkloadEndpoint {
	const { labels = {}, namespace = 'shop', ...rest } = spec;
	return {
		apiVersion: API_VERSION,
		kind: 'WorkloadEndpoint',
		metadata: { name, namespace, labels },
		spec: {
			node: 'node-a',
			orchestrator: 'k8s',
			interfaceName: `cali${name}`,
			ipNetworks: [`${address}/${address.includes(':') ? 128 : 32}`],
			profiles: [`kns.${namespace}`],
			...rest,
		},
	};
}

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): Profile {
	const inherited = Object.fromEntries(Object.entries(labels).map(([key, value]) => [`pcns.${key}`, value]));
	return profile(`kns.${name}`, {
		ingress: [{ action: 'Allow' }],
		egress: [{ action: 'Allow' }],
		labelsToApply: { ...inherited, 'pcns.projectcalico.org/name': name },
	});
}

export function profile(name: string, spec: Profile['spec']): Profile {
	return { apiVersion: API_VERSION, kind: 'Profile', metadata: { name }, spec };
}

/** A policy of namespace `shop`. */
export function policy(name: string, spec: NetworkPolicy['spec']): NetworkPolicy {
	return { apiVersion: API_VERSION, kind: 'NetworkPolicy', metadata: { name, namespace: 'shop' }, spec };
}

export function globalPolicy(name: string, spec: GlobalNetworkPolicy['spec']): GlobalNetworkPolicy {
	return { apiVersion: API_VERSION, kind: 'GlobalNetworkPolicy', metadata: { name }, spec };
}

export function globalSet(name: string, labels: Readonly<Record<string, string>>, nets: readonly string[]): GlobalNetworkSet {
	return { apiVersion: API_VERSION, kind: 'GlobalNetworkSet', metadata: { name, labels }, spec: { nets } };
}

export function tier(name: string, spec: Tier['spec']): Tier {
	return { apiVersion: API_VERSION, kind: 'Tier', metadata: { name }, spec };
}

export const id = (name: string, inNamespace = 'shop'): EndpointId => endpointId(inNamespace, name);

export function update(value: AnyResource): ResourceUpdate {
	return { key: keyOf(value), value };
}

export function removal(value: AnyResource): ResourceUpdate {
	return { key: keyOf(value), value: null };
}

function keyOf({ kind, metadata }: AnyResource): ResourceUpdate['key'] {
	return { kind, namespace: metadata.namespace, name: metadata.name };
}

/** A graph of `node-a` in sync, with all that it gave out added up. */
export class GraphUnderTest {
	readonly graph = new PolicyGraph({ nodeName: 'node-a' });
	readonly model = new PolicyModel();

	constructor(...objects: readonly AnyResource[]) {
		this.graph.setInSync();
		this.set(namespace('shop'), tier('default', { order: 1_000_000, defaultAction: 'Deny' }), ...objects);
	}

	set(...objects: readonly AnyResource[]): ReturnType<PolicyGraph['flush']> {
		return this.#apply(objects.map(update));
	}

	remove(...objects: readonly AnyResource[]): ReturnType<PolicyGraph['flush']> {
		return this.#apply(objects.map(removal));
	}

	/** Members of every IP set, in order. */
	members(): string[] {
		return [...this.model.ipSets.values()].flatMap(({ members }) => [...members]).sort();
	}

	#apply(updates: readonly ResourceUpdate[]): ReturnType<PolicyGraph['flush']> {
		this.graph.update(updates);
		const delta = this.graph.flush();
		this.model.apply(delta);
		return delta;
	}
}
