import {
	addressBits,
	compareBytes,
	type Family,
	formatIp,
	type Ip,
	ipBytes,
	ipFamily,
	ipFromBigInt,
	ipToBigInt,
	parseIp,
} from './address.ts';
import { netError } from './errors.ts';

/** A prefix in canonical CIDR notation: canonical address, host bits zero, `/length`. */
export type Cidr = string & { readonly __cidr: unique symbol };

/** A prefix taken apart. */
export interface PrefixParts {
	readonly family: Family;
	readonly address: Ip;
	readonly length: number;
}

/**
 * Reads `address/length`, or a bare address as a host prefix, without touching host bits.
 *
 * @returns undefined if the text is neither
 */
export function splitCidr(text: string): PrefixParts | undefined {
	const slash = text.indexOf('/');
	const address = parseIp(slash < 0 ? text : text.slice(0, slash));
	if (address === undefined) return undefined;
	const family = ipFamily(address);
	if (slash < 0) return { family, address, length: addressBits(family) };
	const suffix = text.slice(slash + 1);
	if (!/^(0|[1-9][0-9]{0,2})$/.test(suffix)) return undefined;
	const length = Number(suffix);
	return length > addressBits(family) ? undefined : { family, address, length };
}

/** The canonical prefix of a text, host bits cleared; a bare address becomes a host prefix. Undefined if it is neither. */
export function parseCidr(text: string): Cidr | undefined {
	const parts = splitCidr(text);
	return parts === undefined ? undefined : cidrOf(parts.address, parts.length);
}

/**
 * Like {@link parseCidr}, for input that has to be a prefix.
 *
 * @throws NET_BAD_PREFIX
 */
export function cidr(text: string, path?: string): Cidr {
	const parsed = parseCidr(text);
	if (parsed === undefined)
		throw netError('NET_BAD_PREFIX', {
			message: `${JSON.stringify(text)} is not a prefix`,
			path,
			found: text,
			allowed: 'CIDR notation such as 10.0.0.0/8 or 2001:db8::/32',
		});
	return parsed;
}

/** The prefix of the given length that contains the address. */
export function cidrOf(address: Ip, length: number): Cidr {
	return `${formatIp(maskBytes(ipBytes(address), length))}/${length}` as Cidr;
}

/** The host prefix (/32 or /128) of an address. */
export function hostCidr(address: Ip): Cidr {
	return `${address}/${addressBits(ipFamily(address))}` as Cidr;
}

/** Takes a canonical prefix apart. */
export function cidrParts(prefix: Cidr): PrefixParts {
	const slash = prefix.indexOf('/');
	const address = prefix.slice(0, slash) as Ip;
	return { family: ipFamily(address), address, length: Number(prefix.slice(slash + 1)) };
}

export function cidrFamily(prefix: Cidr): Family {
	return prefix.includes(':') ? 6 : 4;
}

/** Whether the prefix holds the address; never across families. */
export function cidrContainsIp(prefix: Cidr, address: Ip): boolean {
	const { family, address: base, length } = cidrParts(prefix);
	return family === ipFamily(address) && sameBits(ipBytes(base), ipBytes(address), length);
}

/** Whether `outer` holds every address of `inner`. */
export function cidrContains(outer: Cidr, inner: Cidr): boolean {
	const { address, length } = cidrParts(inner);
	return cidrParts(outer).length <= length && cidrContainsIp(outer, address);
}

/** Whether two prefixes share an address. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
	return cidrContains(a, b) || cidrContains(b, a);
}

/** The number of addresses in a prefix. */
export function cidrSize(prefix: Cidr): bigint {
	const { family, length } = cidrParts(prefix);
	return 1n << BigInt(addressBits(family) - length);
}

/** The address `offset` places after the first of the prefix; the caller stays inside the prefix. */
export function cidrNth(prefix: Cidr, offset: number | bigint): Ip {
	const { family, address } = cidrParts(prefix);
	return ipFromBigInt(family, ipToBigInt(address) + BigInt(offset));
}

/** The last address of a prefix. */
export function cidrLast(prefix: Cidr): Ip {
	return cidrNth(prefix, cidrSize(prefix) - 1n);
}

/** Orders prefixes: IPv4 first, then by address, then the shorter first. */
export function compareCidr(a: Cidr, b: Cidr): number {
	const left = cidrParts(a);
	const right = cidrParts(b);
	return compareBytes(ipBytes(left.address), ipBytes(right.address)) || left.length - right.length;
}

function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
	for (let index = 0; index < bytes.length; index++) {
		const keep = Math.min(8, Math.max(0, length - index * 8));
		bytes[index] = (bytes[index] as number) & (0xff << (8 - keep));
	}
	return bytes;
}

function sameBits(a: Uint8Array, b: Uint8Array, length: number): boolean {
	const whole = length >> 3;
	for (let index = 0; index < whole; index++) if (a[index] !== b[index]) return false;
	const rest = length & 7;
	if (rest === 0) return true;
	return (((a[whole] as number) ^ (b[whole] as number)) & (0xff << (8 - rest)) & 0xff) === 0;
}
