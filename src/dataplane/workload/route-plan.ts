import type { Link, Route, RtOperation } from '#kernel';
import { addressBits, type Cidr, cidr, cidrContains, cidrFamily, cidrParts } from '#net';
import type { EndpointId } from '#policy';

/** What a workload needs of the host's network. */
export interface Workload {
	readonly id: EndpointId;
	readonly interfaceName: string;
	readonly nets: readonly Cidr[];
}

export interface RouteOptions {
	/** Protocol number of our routes (`DeviceRouteProtocol`). */
	readonly routeProtocol: number;
	readonly routeMetric: number;
	/** Routes of others on workload interfaces are removed, whatever their protocol. */
	readonly removeExternalRoutes: boolean;
}

export const MAIN_TABLE = 254;

/** `linux/rtnetlink.h`: RTPROT_REDIRECT and RTPROT_KERNEL are the kernel's own. */
const KERNEL_PROTOCOLS = [1, 2];
/** Of Calico's agent, which may have been here before. */
const FELIX_PROTOCOL = 80;

/** Routes that come with every interface. */
const NOT_OURS = [cidr('fe80::/10'), cidr('ff00::/8')];

/** Which device each address of the workloads leads to; of two that claim an address, the one made last. */
export function wantedRoutes(workloads: Iterable<Workload>, linkOf: (name: string) => Link | undefined): Map<Cidr, number> {
	const wanted = new Map<Cidr, number>();
	for (const { interfaceName, nets } of workloads) {
		const link = linkOf(interfaceName);
		if (link?.up !== true) continue;
		for (const net of nets) if ((wanted.get(net) ?? 0) < link.index) wanted.set(net, link.index);
	}
	return wanted;
}

export function workloadRoute(destination: Cidr, interfaceIndex: number, options: RouteOptions): Route {
	return {
		destination,
		table: MAIN_TABLE,
		protocol: options.routeProtocol,
		metric: options.routeMetric,
		type: 'unicast',
		// IPv6 knows no scopes: the kernel reports all its routes as universe
		scope: cidrFamily(destination) === 4 ? 'link' : 'universe',
		nextHops: [{ interfaceIndex }],
	};
}

/** Names a route among those of one table. */
export function routeKey(route: Route): string {
	return `${route.destination} ${route.metric} ${route.tos ?? 0} ${route.nextHops[0]?.interfaceIndex ?? 0}`;
}

/** Whether a route found is the one wanted. */
export function isWorkloadRoute(route: Route, wanted: Route): boolean {
	const [hop, ...others] = route.nextHops;
	return (
		routeKey(route) === routeKey(wanted) &&
		route.protocol === wanted.protocol &&
		route.type === 'unicast' &&
		route.scope === wanted.scope &&
		route.prefSrc === undefined &&
		others.length === 0 &&
		hop?.gateway === undefined
	);
}

/** Whether a route on a workload's interface may be removed when nothing wants it. */
export function isRemovable(route: Route, options: RouteOptions): boolean {
	if (route.type !== 'unicast' || KERNEL_PROTOCOLS.includes(route.protocol)) return false;
	if (NOT_OURS.some((net) => cidrContains(net, route.destination))) return false;
	return options.removeExternalRoutes || route.protocol === options.routeProtocol || route.protocol === FELIX_PROTOCOL;
}

/** What to do about routes. */
export interface RoutePlan {
	readonly removals: readonly (RtOperation & { readonly route: Route })[];
	/** After the removals, and after connections of removed addresses are forgotten. */
	readonly additions: readonly (RtOperation & { readonly route: Route })[];
	/** Earliest time at which a route now in grace may be removed. */
	readonly nextRemovalMs: number | undefined;
}

/**
 * What turns the routes found on workload interfaces into the wanted ones.
 *
 * @param found routes of the main table on workload interfaces
 * @param removableFromMs when an unwanted route may be removed: its writer may be ahead of us
 */
export function planRoutes(
	wanted: ReadonlyMap<Cidr, number>,
	found: Iterable<Route>,
	removableFromMs: (route: Route) => number,
	nowMs: number,
	options: RouteOptions,
): RoutePlan {
	const removals: (RtOperation & { readonly route: Route })[] = [];
	const there = new Set<Cidr>();
	let nextRemovalMs: number | undefined;
	for (const route of found) {
		const index = wanted.get(route.destination);
		if (index !== undefined && isWorkloadRoute(route, workloadRoute(route.destination, index, options))) there.add(route.destination);
		else if (isRemovable(route, options) && !isReplaced(route, index, options)) {
			const atMs = removableFromMs(route);
			if (atMs <= nowMs) removals.push({ op: 'delete', route });
			else nextRemovalMs = Math.min(nextRemovalMs ?? atMs, atMs);
		}
	}
	const additions = [...wanted]
		.filter(([destination]) => !there.has(destination))
		.map(([destination, index]) => ({ op: 'replace' as const, route: workloadRoute(destination, index, options) }));
	return { removals, additions, nextRemovalMs };
}

/** Replacing takes the place of what has the same destination and metric, so there is no moment without a route. */
function isReplaced(route: Route, wantedIndex: number | undefined, { routeMetric }: RouteOptions): boolean {
	return wantedIndex !== undefined && route.metric === routeMetric && (route.tos ?? 0) === 0;
}

/** Whether a prefix is a single address. */
export function isHost(net: Cidr): boolean {
	return cidrParts(net).length === addressBits(cidrFamily(net));
}
