import { type Family, ipFamily } from '#net';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { present } from './link-codec.ts';
import type { Address } from './object.ts';
import { addressFamily, familyOf, MAX_INTERFACE_NAME_BYTES, readIp, scopeNumber, scopeOf, writeIp } from './wire.ts';

const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_NOPREFIXROUTE = 0x200;

export function writeAddressQuery(writer: MessageWriter, family: Family | undefined, interfaceIndex: number | undefined): void {
	const header = writer.header(IFADDRMSG_BYTES);
	if (family !== undefined) header.setUint8(0, addressFamily(family));
	if (interfaceIndex !== undefined) header.setUint32(4, interfaceIndex, true);
}

export function writeAddress(writer: MessageWriter, address: Address): void {
	const header = writer.header(IFADDRMSG_BYTES);
	header.setUint8(0, addressFamily(ipFamily(address.address)));
	header.setUint8(1, address.prefixLength);
	header.setUint8(3, scopeNumber(address.scope ?? 'universe'));
	header.setUint32(4, address.interfaceIndex, true);
	// the kernel takes the far end as "address" and the own one as "local"
	writeIp(writer, IFA_LOCAL, address.address);
	writeIp(writer, IFA_ADDRESS, address.peer ?? address.address);
	writeIp(writer, IFA_BROADCAST, address.broadcast);
	if (address.label !== undefined) writer.string(IFA_LABEL, address.label, MAX_INTERFACE_NAME_BYTES);
	const flags = (address.noDad === true ? IFA_F_NODAD : 0) | (address.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
	if (flags !== 0) writer.u32(IFA_FLAGS, flags);
}

/** @throws KERNEL_BAD_MESSAGE */
export function readAddress(message: NetlinkMessage): Address | undefined {
	const attributes = Attributes.of(message, IFADDRMSG_BYTES);
	const { view, start } = message;
	if (familyOf(view.getUint8(start)) === undefined) return undefined;
	const local = readIp(attributes, IFA_LOCAL);
	const other = readIp(attributes, IFA_ADDRESS);
	const address = local ?? other;
	if (address === undefined) throw badMessage('a listed interface address has no address');
	const flags = attributes.u32(IFA_FLAGS) ?? view.getUint8(start + 2);
	const is = <Key extends string>(key: Key, bit: number): { [K in Key]?: true } => present(key, (flags & bit) === 0 ? undefined : true);
	return {
		interfaceIndex: view.getUint32(start + 4, true),
		address,
		prefixLength: view.getUint8(start + 1),
		scope: scopeOf(view.getUint8(start + 3)),
		...present('peer', other === address ? undefined : other),
		...present('broadcast', readIp(attributes, IFA_BROADCAST)),
		...present('label', attributes.string(IFA_LABEL)),
		...is('secondary', IFA_F_SECONDARY),
		...is('noDad', IFA_F_NODAD),
		...is('dadFailed', IFA_F_DADFAILED),
		...is('deprecated', IFA_F_DEPRECATED),
		...is('tentative', IFA_F_TENTATIVE),
		...is('noPrefixRoute', IFA_F_NOPREFIXROUTE),
	};
}
