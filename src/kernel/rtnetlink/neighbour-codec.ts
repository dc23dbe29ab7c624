import { type Family, ipFamily, macBytes } from '#net';
import { kernelError } from '../errors.ts';
import { Attributes, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { present } from './link-codec.ts';
import type { Neighbour, NeighbourState } from './object.ts';
import { AF_BRIDGE, addressFamily, familyOf, readIp, readMac, writeIp } from './wire.ts';

const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NTF_SELF = 2;

const STATES: Readonly<Record<NeighbourState, number>> = {
	none: 0,
	incomplete: 0x01,
	reachable: 0x02,
	stale: 0x04,
	delay: 0x08,
	probe: 0x10,
	failed: 0x20,
	noarp: 0x40,
	permanent: 0x80,
};
const STATE_BY_NUMBER = new Map(Object.entries(STATES).map(([name, value]) => [value, name as NeighbourState]));

export function writeNeighbourQuery(writer: MessageWriter, family: Family | 'bridge', interfaceIndex: number | undefined): void {
	writer.header(NDMSG_BYTES).setUint8(0, family === 'bridge' ? AF_BRIDGE : addressFamily(family));
	if (interfaceIndex !== undefined) writer.u32(NDA_IFINDEX, interfaceIndex);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeNeighbour(writer: MessageWriter, neighbour: Neighbour): void {
	const header = writer.header(NDMSG_BYTES);
	header.setInt32(4, neighbour.interfaceIndex, true);
	header.setUint16(8, STATES[neighbour.state], true);
	if (neighbour.address === undefined) {
		if (neighbour.mac === undefined)
			throw kernelError('KERNEL_BAD_ARGUMENT', { message: 'a neighbour has neither an IP address nor a MAC address' });
		header.setUint8(0, AF_BRIDGE);
		header.setUint8(10, NTF_SELF);
		writeIp(writer, NDA_DST, neighbour.destination);
	} else {
		header.setUint8(0, addressFamily(ipFamily(neighbour.address)));
		writeIp(writer, NDA_DST, neighbour.address);
	}
	if (neighbour.mac !== undefined) writer.bytesOf(NDA_LLADDR, macBytes(neighbour.mac));
}

/** Undefined for what is neither an IP neighbour nor of a forwarding database. @throws KERNEL_BAD_MESSAGE */
export function readNeighbour(message: NetlinkMessage): Neighbour | undefined {
	const attributes = Attributes.of(message, NDMSG_BYTES);
	const { view, start } = message;
	const number = view.getUint8(start);
	const isForwarding = number === AF_BRIDGE;
	if (!isForwarding && familyOf(number) === undefined) return undefined;
	const destination = readIp(attributes, NDA_DST);
	return {
		interfaceIndex: view.getInt32(start + 4, true),
		...present(isForwarding ? 'destination' : 'address', destination),
		...present('mac', readMac(attributes, NDA_LLADDR)),
		state: stateOf(view.getUint16(start + 8, true)),
	};
}

/** Several bits at once stand in the kernel for a change under way; the first known one counts. */
function stateOf(bits: number): NeighbourState {
	const exact = STATE_BY_NUMBER.get(bits);
	if (exact !== undefined) return exact;
	for (const [value, name] of STATE_BY_NUMBER) if ((bits & value) !== 0) return name;
	return 'none';
}
