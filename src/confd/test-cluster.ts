/** Builds BGP states for tests from little. */
import type { RouterConfig } from '#bgp';
import { cidr } from '#net';
import {
	type AnyResource,
	API_VERSION,
	type BGPConfiguration,
	type BGPFilter,
	type BGPPeer,
	type IPPool,
	type KindName,
	type Node,
	type ResourceOf,
} from '#resources';
import { type ComputedRouter, computeRouterConfig, type RouterConfigOptions } from './router-config.ts';
import type { BgpState } from './state.ts';

export function resource<Name extends KindName>(
	kind: Name,
	name: string,
	spec: ResourceOf<Name>['spec'],
	labels?: Readonly<Record<string, string>>,
): ResourceOf<Name> {
	return {
		apiVersion: API_VERSION,
		kind,
		metadata: { name, ...(labels === undefined ? {} : { labels }) },
		spec,
	} as AnyResource as ResourceOf<Name>;
}

export function node(name: string, bgp: NonNullable<Node['spec']['bgp']>, labels?: Readonly<Record<string, string>>): Node {
	return resource('Node', name, { bgp }, labels);
}

export interface ClusterParts {
	readonly nodes: readonly Node[];
	readonly configuration?: BGPConfiguration['spec'];
	readonly configurations?: readonly BGPConfiguration[];
	readonly peers?: readonly BGPPeer[];
	readonly filters?: readonly BGPFilter[];
	readonly pools?: readonly IPPool[];
	readonly blocks?: readonly string[];
}

export function bgpState(parts: ClusterParts): BgpState {
	const byName = <R extends AnyResource>(list: readonly R[]): Map<string, R> => new Map(list.map((item) => [item.metadata.name, item]));
	const defaults = parts.configuration === undefined ? [] : [resource('BGPConfiguration', 'default', parts.configuration)];
	return {
		nodes: byName(parts.nodes),
		configurations: byName([...defaults, ...(parts.configurations ?? [])]),
		peers: byName(parts.peers ?? []),
		filters: byName(parts.filters ?? []),
		pools: byName(parts.pools ?? []),
		blocks: new Set((parts.blocks ?? []).map((block) => cidr(block))),
	};
}

export function compute(parts: ClusterParts, nodeName: string, options: Partial<RouterConfigOptions> = {}): ComputedRouter {
	return computeRouterConfig(bgpState(parts), nodeName, { secret: () => undefined, ...options });
}

/** The configuration, where there has to be one. */
export function routerOf(parts: ClusterParts, nodeName: string, options: Partial<RouterConfigOptions> = {}): RouterConfig {
	const { config, problems } = compute(parts, nodeName, options);
	if (config === undefined) throw new TypeError(`no configuration: ${JSON.stringify(problems)}`);
	return config;
}
