/** Numbers and values of rtnetlink on the wire (`linux/rtnetlink.h`, `if_link.h`, `if_addr.h`, `neighbour.h`). */
import { type Family, formatIp, formatMac, type Ip, ipBytes, type Mac } from '#net';
import { type Attributes, badMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { Scope } from './object.ts';

export const NETLINK_ROUTE = 0;

export const AF_INET = 2;
export const AF_BRIDGE = 7;
export const AF_INET6 = 10;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;

/** IFNAMSIZ less the zero byte. */
export const MAX_INTERFACE_NAME_BYTES = 15;

export function addressFamily(family: Family): number {
	return family === 4 ? AF_INET : AF_INET6;
}

/** Undefined for what is neither IPv4 nor IPv6. */
export function familyOf(number: number): Family | undefined {
	if (number === AF_INET) return 4;
	return number === AF_INET6 ? 6 : undefined;
}

export function writeIp(writer: MessageWriter, type: number, address: Ip | undefined): void {
	if (address !== undefined) writer.bytesOf(type, ipBytes(address));
}

/** @throws KERNEL_BAD_MESSAGE */
export function readIp(attributes: Attributes, type: number): Ip | undefined {
	const bytes = attributes.bytes(type);
	return bytes === undefined ? undefined : ipOf(bytes);
}

/** @throws KERNEL_BAD_MESSAGE */
export function ipOf(bytes: Uint8Array): Ip {
	if (bytes.length !== 4 && bytes.length !== 16) throw badMessage(`an address has ${bytes.length} bytes`);
	return formatIp(bytes);
}

/** Undefined for link-layer addresses of other lengths, such as those of tunnels. */
export function readMac(attributes: Attributes, type: number): Mac | undefined {
	const bytes = attributes.bytes(type);
	return bytes?.length === 6 ? formatMac(bytes) : undefined;
}

const SCOPES: Readonly<Record<Scope, number>> = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 };

export function scopeNumber(scope: Scope): number {
	return SCOPES[scope];
}

/** Numbers between the named ones count as the wider name. */
export function scopeOf(number: number): Scope {
	if (number === 255) return 'nowhere';
	if (number === 254) return 'host';
	if (number === 253) return 'link';
	return number >= 200 ? 'site' : 'universe';
}
