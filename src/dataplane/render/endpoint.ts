import { addressBits, cidrFamily, cidrParts, FAMILIES, type Family } from '#net';
import type { Direction, EndpointPolicy, PolicyList } from '#policy';
import { widestNets } from './match.ts';
import { dispatchMap, listChain, sourceNetsSet, sourcesSet, WORKLOAD_INTERFACES } from './names.ts';
import type { RenderOptions } from './options.ts';

/** A policy list of an endpoint and the chain it is in. */
export interface EndpointList {
	readonly direction: Direction;
	readonly family: Family;
	readonly list: PolicyList;
	readonly name: string;
}

/** Linux: IFNAMSIZ less the closing zero; `dev_valid_name` forbids slashes, colons and white space. */
const INTERFACE_NAME = /^[^\s/:]{1,15}$/;

/** Why nothing can be rendered for an endpoint: it is treated as absent, and its packets are dropped. */
export function endpointProblem({ interfaceName, nets }: EndpointPolicy, options: RenderOptions): string | undefined {
	if (!INTERFACE_NAME.test(interfaceName)) return `${JSON.stringify(interfaceName)} cannot be the name of an interface`;
	if (!interfaceName.startsWith(options.interfacePrefix))
		return `interface ${interfaceName} does not begin with ${options.interfacePrefix}, so its packets would not meet policy`;
	const wide = nets.find((net) => cidrParts(net).length !== addressBits(cidrFamily(net)));
	return wide === undefined ? undefined : `${wide} is not a single address`;
}

/** The lists of an endpoint, in the families in which it has an address: in the others it may not send. */
export function listsOf(endpoint: EndpointPolicy): EndpointList[] {
	const families = FAMILIES.filter((family) => endpoint.nets.some((net) => cidrFamily(net) === family));
	return families.flatMap((family) =>
		(['ingress', 'egress'] as const).map((direction) => {
			const list = endpoint[direction];
			return { direction, family, list, name: listChain(direction, family, list) };
		}),
	);
}

/** The members that an endpoint has in sets of the `inet` table, as pairs of set and member. */
export function endpointMembers(endpoint: EndpointPolicy): (readonly [string, string])[] {
	const { interfaceName } = endpoint;
	return [
		[WORKLOAD_INTERFACES, interfaceName],
		...endpoint.nets.map((net) => [sourcesSet(cidrFamily(net)), `${interfaceName} ${net}`] as const),
		...widestNets(endpoint.allowedSources).map((net) => [sourceNetsSet(cidrFamily(net)), `${interfaceName} ${net}`] as const),
		...listsOf(endpoint).map(({ direction, family, name }) => [dispatchMap(direction, family), `${interfaceName} goto ${name}`] as const),
	];
}

/** The members that an endpoint has in the set of the `arp` table. */
export function arpMembers({ interfaceName, nets }: EndpointPolicy): string[] {
	return nets.filter((net) => cidrFamily(net) === 4).map((net) => `${interfaceName} ${net}`);
}
