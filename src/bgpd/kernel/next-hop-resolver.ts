import type { Resolution } from '#bgp';
import { cidrParts, type Ip } from '#net';
import type { ForeignRoutes } from './foreign-routes.ts';
import type { InterfaceTable } from './interface-table.ts';

/**
 * The way to a next hop: by the longest match among connected networks and routes of others, over devices that are up. Routes of BGP are
 * left out, so that a next hop never depends on itself.
 *
 * @returns undefined for our own addresses and where there is no way
 */
export function resolveNextHop(address: Ip, interfaces: InterfaceTable, foreign: ForeignRoutes): Resolution | undefined {
	if (interfaces.isOwn(address)) return undefined;
	const network = interfaces.networkOf(address);
	const connectedLength = network === undefined ? -1 : cidrParts(network.prefix).length;
	for (const route of foreign.routesTo(address)) {
		if (cidrParts(route.destination).length <= connectedLength) break;
		for (const { gateway, interfaceIndex, dead } of route.nextHops)
			if (interfaceIndex !== undefined && dead !== true && interfaces.isUp(interfaceIndex))
				return { interfaceIndex, gateway: gateway ?? address, metric: route.metric + 1 };
	}
	return network && { interfaceIndex: network.value.interfaceIndex, gateway: address, metric: 0 };
}
