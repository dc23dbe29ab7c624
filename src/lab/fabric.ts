import { createNamedNamespace, type NetworkNamespace, openNamespace, type Route, Rtnetlink, type RtOperation, writeSysctls } from '#kernel';
import { type Cidr, cidrOf, type Family, type Ip } from '#net';
import { labError } from './errors.ts';
import { type ByFamily, entriesByFamily, type InterfaceAddress, type LabPlan, type NodePlan, type SegmentPlan } from './plan.ts';

/** The interface of a node, as hosts commonly name it. */
const NODE_INTERFACE = 'eth0';
const BRIDGE = 'br0';
const INTER_RACK_INTERFACE = 'rack';
const LOOPBACK_INDEX = 1;
const MAIN_TABLE = 254;
const PROTOCOL_STATIC = 4;
const DEFAULT_DESTINATION: Readonly<Record<Family, Cidr>> = { 4: '0.0.0.0/0' as Cidr, 6: '::/0' as Cidr };

/** The namespaces a lab's fabric needs, hosts and routers. */
export function fabricNamespaces(plan: LabPlan): readonly string[] {
	return [...plan.segments, ...plan.nodes].map(({ namespace }) => namespace);
}

/** Opens one of the lab's namespaces by name. */
export function labNamespace(name: string): NetworkNamespace {
	return openNamespace(`/run/netns/${name}`);
}

/** Makes the namespaces of routers and nodes, the segments between them, their addresses and underlay routes. */
export function buildFabric(plan: LabPlan): void {
	for (const name of fabricNamespaces(plan)) createNamedNamespace(name)[Symbol.dispose]();
	for (const segment of plan.segments) buildSegment(plan, segment);
	if (plan.segments.length > 1) joinRacks(plan.segments[0] as SegmentPlan, plan.segments[1] as SegmentPlan);
	const [first, ...others] = plan.segments as [SegmentPlan, ...SegmentPlan[]];
	addOutside(first, plan.outside);
	for (const other of others) routeUnderlay(plan, first, other);
	for (const node of plan.nodes) attachNode(node);
}

function buildSegment(plan: LabPlan, segment: SegmentPlan): void {
	using namespace = labNamespace(segment.namespace);
	using netlink = new Rtnetlink({ namespaceFd: namespace.fd });
	enableForwarding(namespace, plan.families);
	netlink.createLink({ kind: 'bridge', name: BRIDGE });
	const bridge = linkIndex(netlink, BRIDGE);
	quickenLink(namespace, BRIDGE, plan.families);
	netlink.changeLink(bridge, { up: true });
	addAddresses(netlink, bridge, segment.gateway);
}

function attachNode(node: NodePlan): void {
	using host = labNamespace(node.namespace);
	using router = labNamespace(node.segment.namespace);
	using hostLinks = new Rtnetlink({ namespaceFd: host.fd });
	using routerLinks = new Rtnetlink({ namespaceFd: router.fd });
	routerLinks.createLink({ kind: 'veth', name: node.name, peer: { name: NODE_INTERFACE, namespaceFd: host.fd } });
	const port = linkIndex(routerLinks, node.name);
	routerLinks.changeLink(port, { master: linkIndex(routerLinks, BRIDGE), up: true });
	const families = entriesByFamily(node.addresses).map(([family]) => family);
	enableForwarding(host, families);
	quickenLink(host, NODE_INTERFACE, families);
	const uplink = linkIndex(hostLinks, NODE_INTERFACE);
	hostLinks.changeLink(uplink, { up: true });
	addAddresses(hostLinks, uplink, node.addresses);
	addRoutes(
		hostLinks,
		entriesByFamily(node.segment.gateway).map(([family, { address }]) => route(DEFAULT_DESTINATION[family], address, uplink)),
	);
}

function joinRacks(a: SegmentPlan, b: SegmentPlan): void {
	using first = labNamespace(a.namespace);
	using second = labNamespace(b.namespace);
	using firstLinks = new Rtnetlink({ namespaceFd: first.fd });
	using secondLinks = new Rtnetlink({ namespaceFd: second.fd });
	firstLinks.createLink({ kind: 'veth', name: INTER_RACK_INTERFACE, peer: { name: INTER_RACK_INTERFACE, namespaceFd: second.fd } });
	for (const [namespace, netlink, addresses] of [
		[first, firstLinks, a.interRack],
		[second, secondLinks, b.interRack],
	] as const) {
		quickenLink(
			namespace,
			INTER_RACK_INTERFACE,
			entriesByFamily(addresses).map(([family]) => family),
		);
		const index = linkIndex(netlink, INTER_RACK_INTERFACE);
		netlink.changeLink(index, { up: true });
		addAddresses(netlink, index, addresses);
	}
}

/** Racks reach one another and the outside without BGP, which carries the pods' routes only. */
function routeUnderlay(plan: LabPlan, first: SegmentPlan, other: SegmentPlan): void {
	const between = (from: SegmentPlan, to: SegmentPlan, destinations: readonly (readonly [Family, Cidr])[]): void => {
		using namespace = labNamespace(from.namespace);
		using netlink = new Rtnetlink({ namespaceFd: namespace.fd });
		const index = linkIndex(netlink, INTER_RACK_INTERFACE);
		addRoutes(
			netlink,
			destinations.map(([family, destination]) => route(destination, (to.interRack[family] as InterfaceAddress).address, index)),
		);
	};
	between(first, other, segmentPrefixes(other));
	between(other, first, [
		...segmentPrefixes(first),
		...entriesByFamily(plan.outside).map(([family, address]) => [family, cidrOf(address, family === 4 ? 32 : 128)] as const),
	]);
}

function segmentPrefixes({ gateway }: SegmentPlan): readonly (readonly [Family, Cidr])[] {
	return entriesByFamily(gateway).map(([family, { address, prefixLength }]) => [family, cidrOf(address, prefixLength)]);
}

function addOutside(segment: SegmentPlan, outside: ByFamily<Ip>): void {
	using namespace = labNamespace(segment.namespace);
	using netlink = new Rtnetlink({ namespaceFd: namespace.fd });
	const addresses = entriesByFamily(outside).map(([family, address]) => [family, { address, prefixLength: family === 4 ? 32 : 128 }]);
	addAddresses(netlink, LOOPBACK_INDEX, Object.fromEntries(addresses) as ByFamily<InterfaceAddress>);
}

function addAddresses(netlink: Rtnetlink, interfaceIndex: number, addresses: ByFamily<InterfaceAddress>): void {
	apply(
		netlink,
		entriesByFamily(addresses).map(([family, address]) => ({
			op: 'add',
			address: { interfaceIndex, ...address, ...(family === 6 ? { noDad: true } : {}) },
		})),
	);
}

function addRoutes(netlink: Rtnetlink, routes: readonly Route[]): void {
	apply(
		netlink,
		routes.map((one) => ({ op: 'add', route: one })),
	);
}

function apply(netlink: Rtnetlink, operations: readonly RtOperation[]): void {
	const failure = netlink.applyNow(operations)[0];
	if (failure !== undefined)
		throw labError('LAB_FABRIC_FAILED', {
			message: `the fabric cannot be built: ${failure.message ?? failure.errno}`,
			found: operations[failure.index],
		});
}

function route(destination: Cidr, gateway: Ip, interfaceIndex: number): Route {
	return {
		destination,
		table: MAIN_TABLE,
		protocol: PROTOCOL_STATIC,
		metric: destination.includes(':') ? 1024 : 0,
		type: 'unicast',
		scope: 'universe',
		nextHops: [{ gateway, interfaceIndex }],
	};
}

function linkIndex(netlink: Rtnetlink, name: string): number {
	const link = netlink.findLink(name);
	if (link === undefined) throw labError('LAB_FABRIC_FAILED', { message: `the interface ${name} vanished while the fabric was built` });
	return link.index;
}

function enableForwarding(namespace: NetworkNamespace, families: readonly Family[]): void {
	if (families.includes(4)) writeSysctls([[['net', 'ipv4', 'ip_forward'], 1]], namespace.fd);
	if (families.includes(6)) writeSysctls([[['net', 'ipv6', 'conf', 'all', 'forwarding'], 1]], namespace.fd);
}

/** Without duplicate address detection IPv6 works at once. */
function quickenLink(namespace: NetworkNamespace, name: string, families: readonly Family[]): void {
	if (!families.includes(6)) return;
	writeSysctls(
		[
			[['net', 'ipv6', 'conf', name, 'accept_dad'], 0],
			[['net', 'ipv6', 'conf', name, 'accept_ra'], 0],
		],
		namespace.fd,
	);
}
