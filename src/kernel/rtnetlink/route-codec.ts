import { type Cidr, cidrParts, type Family, type Ip, ipBytes, ipFamily } from '#net';
import { kernelError } from '../errors.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { present } from './link-codec.ts';
import type { NextHop, Route, RouteFilter, RouteType } from './object.ts';
import { addressFamily, familyOf, ipOf, readIp, scopeNumber, scopeOf, writeIp } from './wire.ts';

const RTMSG_BYTES = 12;
const RTNEXTHOP_BYTES = 8;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTNH_F_DEAD = 1;
const RTNH_F_ONLINK = 4;
const RTNH_F_LINKDOWN = 16;
const RTM_F_CLONED = 0x200;
/** For tables above 255, which only the attribute can name. */
const RT_TABLE_COMPAT = 252;
const MAX_WEIGHT = 256;

const TYPES: readonly (RouteType | undefined)[] = [
	undefined,
	'unicast',
	'local',
	'broadcast',
	'anycast',
	'multicast',
	'blackhole',
	'unreachable',
	'prohibit',
	'throw',
];
const TYPES_WITHOUT_HOPS: ReadonlySet<RouteType> = new Set<RouteType>(['blackhole', 'unreachable', 'prohibit', 'throw']);

export function writeRouteQuery(writer: MessageWriter, filter: RouteFilter): void {
	const header = writer.header(RTMSG_BYTES);
	header.setUint8(0, addressFamily(filter.family));
	if (filter.protocol !== undefined) header.setUint8(5, filter.protocol);
	if (filter.table !== undefined) writer.u32(RTA_TABLE, filter.table);
	if (filter.interfaceIndex !== undefined) writer.u32(RTA_OIF, filter.interfaceIndex);
}

export function writeRouteLookup(writer: MessageWriter, destination: Ip): void {
	const header = writer.header(RTMSG_BYTES);
	header.setUint8(0, addressFamily(ipFamily(destination)));
	header.setUint8(1, ipBytes(destination).length * 8);
	writeIp(writer, RTA_DST, destination);
}

/** The part that says which route: prefix, table, tos, metric, protocol, type, scope. Enough to delete. @throws KERNEL_BAD_ARGUMENT */
export function writeRouteKey(writer: MessageWriter, route: Route, flags: number): void {
	const { family, address, length } = cidrParts(route.destination);
	const header = writer.header(RTMSG_BYTES);
	header.setUint8(0, addressFamily(family));
	header.setUint8(1, length);
	header.setUint8(3, route.tos ?? 0);
	header.setUint8(4, route.table < 256 ? route.table : RT_TABLE_COMPAT);
	header.setUint8(5, route.protocol);
	header.setUint8(6, scopeNumber(route.scope));
	header.setUint8(7, TYPES.indexOf(route.type));
	header.setUint32(8, flags, true);
	if (length > 0) writeIp(writer, RTA_DST, address);
	writer.u32(RTA_TABLE, route.table);
	if (route.metric !== 0) writer.u32(RTA_PRIORITY, route.metric);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeRoute(writer: MessageWriter, route: Route): void {
	const [first, ...others] = route.nextHops;
	if ((first === undefined) !== TYPES_WITHOUT_HOPS.has(route.type))
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `a ${route.type} route to ${route.destination} has ${route.nextHops.length} next hops`,
			allowed: 'none for blackhole, unreachable, prohibit and throw; else at least one',
		});
	writeRouteKey(writer, route, others.length === 0 && first?.onlink === true ? RTNH_F_ONLINK : 0);
	writeIp(writer, RTA_PREFSRC, route.prefSrc);
	if (route.mtu !== undefined) {
		const metrics = writer.beginNest(RTA_METRICS);
		writer.u32(RTAX_MTU, route.mtu);
		writer.endNest(metrics);
	}
	if (first === undefined) return;
	if (others.length === 0) {
		if (first.interfaceIndex !== undefined) writer.u32(RTA_OIF, first.interfaceIndex);
		writeGateway(writer, route.destination, first.gateway);
		return;
	}
	const multipath = writer.beginNest(RTA_MULTIPATH);
	for (const hop of route.nextHops) writeNextHop(writer, route.destination, hop);
	writer.endNest(multipath);
}

/** Undefined for families other than IP. @throws KERNEL_BAD_MESSAGE */
export function readRoute(message: NetlinkMessage): Route | undefined {
	const attributes = Attributes.of(message, RTMSG_BYTES);
	const { view, start } = message;
	const family = familyOf(view.getUint8(start));
	const type = TYPES[view.getUint8(start + 7)];
	if (family === undefined || type === undefined) return undefined;
	const flags = view.getUint32(start + 8, true);
	const tos = view.getUint8(start + 3);
	return {
		destination: destinationOf(attributes, family, view.getUint8(start + 1)),
		table: attributes.u32(RTA_TABLE) ?? view.getUint8(start + 4),
		protocol: view.getUint8(start + 5),
		metric: attributes.u32(RTA_PRIORITY) ?? 0,
		type,
		scope: scopeOf(view.getUint8(start + 6)),
		nextHops: TYPES_WITHOUT_HOPS.has(type) ? [] : readNextHops(attributes, flags),
		...present('prefSrc', readIp(attributes, RTA_PREFSRC)),
		...present('mtu', attributes.nested(RTA_METRICS)?.u32(RTAX_MTU)),
		...present('tos', tos === 0 ? undefined : tos),
		...present('cloned', (flags & RTM_F_CLONED) === 0 ? undefined : true),
	};
}

function writeGateway(writer: MessageWriter, destination: Cidr, gateway: Ip | undefined): void {
	if (gateway === undefined) return;
	if (cidrParts(destination).family === ipFamily(gateway)) {
		writeIp(writer, RTA_GATEWAY, gateway);
		return;
	}
	// struct rtvia: a next hop of the other family (RFC 8950 routes)
	const via = new Uint8Array(2 + ipBytes(gateway).length);
	via[0] = addressFamily(ipFamily(gateway));
	via.set(ipBytes(gateway), 2);
	writer.bytesOf(RTA_VIA, via);
}

function writeNextHop(writer: MessageWriter, destination: Cidr, hop: NextHop): void {
	const weight = hop.weight ?? 1;
	if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `a next hop has weight ${weight}`, found: weight, allowed: `1 to ${MAX_WEIGHT}` });
	const start = writer.length;
	const header = writer.header(RTNEXTHOP_BYTES);
	header.setUint8(2, hop.onlink === true ? RTNH_F_ONLINK : 0);
	header.setUint8(3, weight - 1);
	header.setInt32(4, hop.interfaceIndex ?? 0, true);
	writeGateway(writer, destination, hop.gateway);
	writer.setU16At(start, writer.length - start);
}

function destinationOf(attributes: Attributes, family: Family, length: number): Cidr {
	const destination = readIp(attributes, RTA_DST) ?? (family === 4 ? '0.0.0.0' : '::');
	if (destination.includes(':') !== (family === 6) || length > (family === 4 ? 32 : 128))
		throw badMessage(`an IPv${family} route goes to ${destination}/${length}`);
	return `${destination}/${length}` as Cidr;
}

function readNextHops(attributes: Attributes, routeFlags: number): NextHop[] {
	const multipath = attributes.range(RTA_MULTIPATH);
	if (multipath === undefined) return [readNextHop(attributes, attributes.u32(RTA_OIF) ?? 0, routeFlags, 1)];
	const hops: NextHop[] = [];
	const { view, end } = multipath;
	let offset = multipath.start;
	while (offset + RTNEXTHOP_BYTES <= end) {
		const length = view.getUint16(offset, true);
		if (length < RTNEXTHOP_BYTES || length > end - offset)
			throw badMessage(`a next hop claims ${length} bytes where ${end - offset} are left`);
		const inner = new Attributes(view, offset + RTNEXTHOP_BYTES, offset + length);
		hops.push(readNextHop(inner, view.getUint32(offset + 4, true), view.getUint8(offset + 2), view.getUint8(offset + 3) + 1));
		offset += (length + 3) & ~3;
	}
	return hops;
}

function readNextHop(attributes: Attributes, interfaceIndex: number, flags: number, weight: number): NextHop {
	return {
		...present('gateway', readIp(attributes, RTA_GATEWAY) ?? readVia(attributes)),
		...present('interfaceIndex', interfaceIndex === 0 ? undefined : interfaceIndex),
		...present('weight', weight === 1 ? undefined : weight),
		...present('onlink', (flags & RTNH_F_ONLINK) === 0 ? undefined : true),
		...present('dead', (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) === 0 ? undefined : true),
	};
}

function readVia(attributes: Attributes): Ip | undefined {
	const via = attributes.bytes(RTA_VIA);
	return via === undefined ? undefined : ipOf(via.subarray(2));
}
