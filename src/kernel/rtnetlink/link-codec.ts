import { type Ip, ipFamily, macBytes } from '#net';
import { Attributes, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { Link, LinkChange, LinkSpec, VxlanOptions } from './object.ts';
import { MAX_INTERFACE_NAME_BYTES, readIp, readMac, writeIp } from './wire.ts';

const IFINFOMSG_BYTES = 16;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

const MAX_KIND_BYTES = 31;

/** The header of a request about one device, or with index 0 about none in particular. */
export function writeLinkHeader(writer: MessageWriter, index: number): void {
	writer.header(IFINFOMSG_BYTES).setInt32(4, index, true);
}

/** Asks for devices without their traffic counters, which are most of the answer. */
export function writeLinkQuery(writer: MessageWriter, which: string | number | undefined): void {
	writeLinkHeader(writer, typeof which === 'number' ? which : 0);
	if (typeof which === 'string') writer.string(IFLA_IFNAME, which, MAX_INTERFACE_NAME_BYTES);
	writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeLinkSpec(writer: MessageWriter, spec: LinkSpec): void {
	writeLinkHeader(writer, 0);
	writeNameAndMore(writer, spec);
	const info = writer.beginNest(IFLA_LINKINFO);
	writer.string(IFLA_INFO_KIND, spec.kind, MAX_KIND_BYTES);
	switch (spec.kind) {
		case 'veth': {
			const data = writer.beginNest(IFLA_INFO_DATA);
			const peer = writer.beginNest(VETH_INFO_PEER);
			writeLinkHeader(writer, 0);
			writeNameAndMore(writer, spec.peer);
			if (spec.peer.namespaceFd !== undefined) writer.u32(IFLA_NET_NS_FD, spec.peer.namespaceFd);
			writer.endNest(peer);
			writer.endNest(data);
			break;
		}
		case 'vxlan':
			writeVxlan(writer, spec.vxlan);
			break;
		case 'bridge':
			break;
	}
	writer.endNest(info);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeLinkChange(writer: MessageWriter, index: number, change: LinkChange): void {
	const header = writer.header(IFINFOMSG_BYTES);
	header.setInt32(4, index, true);
	if (change.up !== undefined) {
		header.setUint32(8, change.up ? IFF_UP : 0, true);
		header.setUint32(12, IFF_UP, true);
	}
	if (change.name !== undefined) writer.string(IFLA_IFNAME, change.name, MAX_INTERFACE_NAME_BYTES);
	if (change.mtu !== undefined) writer.u32(IFLA_MTU, change.mtu);
	if (change.mac !== undefined) writer.bytesOf(IFLA_ADDRESS, macBytes(change.mac));
	if (change.master !== undefined) writer.u32(IFLA_MASTER, change.master);
	if (change.namespaceFd !== undefined) writer.u32(IFLA_NET_NS_FD, change.namespaceFd);
}

/** Undefined for messages about a device's part in a bridge, which look alike. @throws KERNEL_BAD_MESSAGE */
export function readLink(message: NetlinkMessage): Link | undefined {
	const attributes = Attributes.of(message, IFINFOMSG_BYTES);
	const { view, start } = message;
	const name = attributes.string(IFLA_IFNAME);
	if (view.getUint8(start) !== 0 || name === undefined) return undefined;
	const flags = view.getUint32(start + 8, true);
	const info = attributes.nested(IFLA_LINKINFO);
	const kind = info?.string(IFLA_INFO_KIND);
	const vxlan = kind === 'vxlan' ? info?.nested(IFLA_INFO_DATA) : undefined;
	return {
		index: view.getInt32(start + 4, true),
		name,
		mtu: attributes.u32(IFLA_MTU) ?? 0,
		up: (flags & IFF_UP) !== 0,
		running: (flags & IFF_RUNNING) !== 0,
		loopback: (flags & IFF_LOOPBACK) !== 0,
		...present('kind', kind),
		...present('mac', readMac(attributes, IFLA_ADDRESS)),
		...present('master', attributes.u32(IFLA_MASTER)),
		...present('linkIndex', attributes.u32(IFLA_LINK)),
		...present('linkNamespaceId', attributes.i32(IFLA_LINK_NETNSID)),
		...present('alias', attributes.string(IFLA_IFALIAS)),
		...(vxlan === undefined ? {} : { vxlan: readVxlan(vxlan) }),
	};
}

function writeNameAndMore(writer: MessageWriter, spec: Pick<LinkSpec, 'name' | 'mtu' | 'mac'>): void {
	writer.string(IFLA_IFNAME, spec.name, MAX_INTERFACE_NAME_BYTES);
	if (spec.mtu !== undefined) writer.u32(IFLA_MTU, spec.mtu);
	if (spec.mac !== undefined) writer.bytesOf(IFLA_ADDRESS, macBytes(spec.mac));
}

function writeVxlan(writer: MessageWriter, vxlan: VxlanOptions): void {
	const data = writer.beginNest(IFLA_INFO_DATA);
	writer.u32(IFLA_VXLAN_ID, vxlan.vni);
	if (vxlan.parentIndex !== undefined) writer.u32(IFLA_VXLAN_LINK, vxlan.parentIndex);
	writeIp(writer, isIpv6(vxlan.local) ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, vxlan.local);
	writer.u8(IFLA_VXLAN_LEARNING, vxlan.learning ? 1 : 0);
	writer.be16(IFLA_VXLAN_PORT, vxlan.port);
	writer.endNest(data);
}

function readVxlan(data: Attributes): VxlanOptions {
	const parentIndex = data.u32(IFLA_VXLAN_LINK);
	return {
		vni: data.u32(IFLA_VXLAN_ID) ?? 0,
		port: data.be16(IFLA_VXLAN_PORT) ?? 0,
		learning: data.u8(IFLA_VXLAN_LEARNING) === 1,
		...present('local', readIp(data, IFLA_VXLAN_LOCAL) ?? readIp(data, IFLA_VXLAN_LOCAL6)),
		...present('parentIndex', parentIndex === 0 ? undefined : parentIndex),
	};
}

function isIpv6(address: Ip | undefined): boolean {
	return address !== undefined && ipFamily(address) === 6;
}

/** A property to spread: nothing if there is no value. */
export function present<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
	return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}
