import { netError } from './errors.ts';

/** An address family; the number is the IP version. */
export type Family = 4 | 6;

/** An IP address in canonical text: dotted quad, or the IPv6 form of RFC 5952 §4. */
export type Ip = string & { readonly __ip: unique symbol };

export const FAMILIES: readonly Family[] = [4, 6];

/** Length in bits of an address of the family. */
export function addressBits(family: Family): 32 | 128 {
	return family === 4 ? 32 : 128;
}

/**
 * Parses an address strictly: IPv4 as four decimal octets without leading zeros, IPv6 by RFC 4291 §2.2 without a zone.
 *
 * @returns the canonical text, or undefined if the text is not an address
 */
export function parseIp(text: string): Ip | undefined {
	const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
	return bytes === undefined ? undefined : formatIp(bytes);
}

/**
 * Like {@link parseIp}, for input that has to be an address.
 *
 * @throws NET_BAD_ADDRESS
 */
export function ip(text: string, path?: string): Ip {
	const parsed = parseIp(text);
	if (parsed === undefined)
		throw netError('NET_BAD_ADDRESS', {
			message: `${JSON.stringify(text)} is not an IP address`,
			path,
			found: text,
			allowed: 'an address such as 192.0.2.1 or 2001:db8::1',
		});
	return parsed;
}

/** The family of a canonical address. */
export function ipFamily(address: Ip): Family {
	return address.includes(':') ? 6 : 4;
}

/** The address in network byte order: 4 or 16 bytes. */
export function ipBytes(address: Ip): Uint8Array {
	const bytes = address.includes(':') ? parseIpv6(address) : parseIpv4(address);
	if (bytes === undefined) throw netError('NET_BAD_ADDRESS', { message: `${JSON.stringify(address)} is not an IP address` });
	return bytes;
}

/**
 * The canonical text of 4 or 16 bytes.
 *
 * @throws NET_BAD_ADDRESS for any other length
 */
export function formatIp(bytes: Uint8Array): Ip {
	if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Ip;
	if (bytes.length !== 16) throw netError('NET_BAD_ADDRESS', { message: `an address has 4 or 16 bytes, not ${bytes.length}` });
	return formatIpv6(bytes) as Ip;
}

/** The address as an unsigned number. */
export function ipToBigInt(address: Ip): bigint {
	let value = 0n;
	for (const byte of ipBytes(address)) value = (value << 8n) | BigInt(byte);
	return value;
}

/** The address of a family with an unsigned value; the value is taken modulo the address space. */
export function ipFromBigInt(family: Family, value: bigint): Ip {
	const bytes = new Uint8Array(family === 4 ? 4 : 16);
	let rest = value;
	for (let index = bytes.length - 1; index >= 0; index--) {
		bytes[index] = Number(rest & 0xffn);
		rest >>= 8n;
	}
	return formatIp(bytes);
}

/** Orders addresses: IPv4 before IPv6, then by value. */
export function compareIp(a: Ip, b: Ip): number {
	return compareBytes(ipBytes(a), ipBytes(b));
}

/** Orders byte strings by length, then by content. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
	if (a.length !== b.length) return a.length - b.length;
	for (let index = 0; index < a.length; index++) {
		const difference = (a[index] as number) - (b[index] as number);
		if (difference !== 0) return difference;
	}
	return 0;
}

function parseIpv4(text: string): Uint8Array | undefined {
	if (text.length < 7 || text.length > 15) return undefined;
	const bytes = new Uint8Array(4);
	let octet = 0;
	let value = -1;
	for (let index = 0; index <= text.length; index++) {
		const char = index === text.length ? 0x2e : text.charCodeAt(index);
		if (char === 0x2e) {
			if (value < 0 || octet > 3) return undefined;
			bytes[octet++] = value;
			value = -1;
		} else if (char >= 0x30 && char <= 0x39) {
			if (value === 0) return undefined; // a leading zero could be read as octal
			value = (value < 0 ? 0 : value * 10) + char - 0x30;
			if (value > 255) return undefined;
		} else return undefined;
	}
	return octet === 4 ? bytes : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
	if (text.length < 2 || text.length > 45) return undefined;
	const halves = text.split('::');
	if (halves.length > 2) return undefined;
	const head = parseGroups(halves[0] as string, halves.length === 1);
	if (head === undefined) return undefined;
	const bytes = new Uint8Array(16);
	if (halves.length === 1) {
		if (head.length !== 16) return undefined;
		bytes.set(head);
		return bytes;
	}
	const tail = parseGroups(halves[1] as string, true);
	if (tail === undefined || head.length + tail.length > 14) return undefined;
	bytes.set(head);
	bytes.set(tail, 16 - tail.length);
	return bytes;
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
	if (text === '') return [];
	const groups = text.split(':');
	const bytes: number[] = [];
	for (const [index, group] of groups.entries()) {
		if (group.includes('.')) {
			const quad = mayEndInIpv4 && index === groups.length - 1 ? parseIpv4(group) : undefined;
			if (quad === undefined) return undefined;
			bytes.push(...quad);
		} else {
			if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
			const value = Number.parseInt(group, 16);
			bytes.push(value >> 8, value & 0xff);
		}
		if (bytes.length > 16) return undefined;
	}
	return bytes;
}

function formatIpv6(bytes: Uint8Array): string {
	const groups: number[] = [];
	for (let index = 0; index < 16; index += 2) groups.push(((bytes[index] as number) << 8) | (bytes[index + 1] as number));
	// RFC 5952 §5: the well-known IPv4-mapped prefix keeps its dotted quad
	if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
		return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
	// RFC 5952 §4.2: the longest run of at least two zero groups, the first of equals
	let start = -1;
	let length = 1;
	for (let index = 0; index < 8; index++) {
		let end = index;
		while (end < 8 && groups[end] === 0) end++;
		if (end - index > length) {
			start = index;
			length = end - index;
		}
		if (end > index) index = end;
	}
	const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
	if (start < 0) return text(groups);
	return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
