import type { Client, IpamBlock } from '#datastore';
import { Rtnetlink } from '#kernel';
import { type Cidr, cidrFamily, compareCidr, type Family, type Ip } from '#net';
import { labNamespace } from './fabric.ts';
import type { LabPlan } from './plan.ts';

const MAIN_TABLE = 254;
/** Of the BGP daemon, ours and BIRD. */
const PROTOCOL_BIRD = 12;

/** A route that BGP brought to a host or router. */
export interface LearnedRoute {
	readonly destination: Cidr;
	readonly gateway: Ip;
	readonly interfaceName: string;
}

/** The blocks of each node. */
export async function blocksByNode(client: Client): Promise<ReadonlyMap<string, readonly Cidr[]>> {
	const blocks = new Map<string, Cidr[]>();
	for (const { value } of (await client.backend.list({ type: 'block' })).items) {
		const { affinity, cidr } = value as IpamBlock;
		if (affinity?.startsWith('host:') !== true) continue;
		const node = affinity.slice('host:'.length);
		blocks.set(node, [...(blocks.get(node) ?? []), cidr]);
	}
	return blocks;
}

/** What BGP put into the main routing table of a namespace, blocks of its own left out. */
export function learnedRoutes(namespaceName: string, families: readonly Family[]): readonly LearnedRoute[] {
	using namespace = labNamespace(namespaceName);
	using netlink = new Rtnetlink({ namespaceFd: namespace.fd });
	const names = new Map(netlink.listLinks().map(({ index, name }) => [index, name]));
	return families
		.flatMap((family) => netlink.listRoutes({ family, table: MAIN_TABLE, protocol: PROTOCOL_BIRD }))
		.flatMap(({ destination, nextHops }) =>
			nextHops.flatMap(({ gateway, interfaceIndex }) =>
				gateway === undefined ? [] : [{ destination, gateway, interfaceName: names.get(interfaceIndex ?? 0) ?? '?' }],
			),
		)
		.toSorted((a, b) => compareCidr(a.destination, b.destination));
}

/**
 * Which blocks do not reach every place they should: each node needs those of all others, each router all.
 *
 * @returns in words; empty when BGP is done
 */
export async function missingRoutes(client: Client, plan: LabPlan): Promise<readonly string[]> {
	const blocks = await blocksByNode(client);
	const routers = plan.segments.length > 1 ? plan.segments : [];
	return [...plan.nodes, ...routers].flatMap(({ name, namespace }) => {
		const held = new Set(learnedRoutes(namespace, plan.families).map(({ destination }) => destination));
		return [...blocks].flatMap(([owner, cidrs]) =>
			owner === name
				? []
				: cidrs
						.filter((cidr) => plan.families.includes(cidrFamily(cidr)) && !held.has(cidr))
						.map((cidr) => `${cidr} of ${owner} on ${name}`),
		);
	});
}
