import { formatIp, formatMac, ipBytes, macBytes, parseIp, parseMac, splitCidr } from '#net';
import { kernelError } from '../errors.ts';

/** Types of set keys and map values, by nft's names. */
export type SetKeyType =
	| 'ipv4_addr'
	| 'ipv6_addr'
	| 'ether_addr'
	| 'inet_proto'
	| 'inet_service'
	| 'icmp_type'
	| 'icmp_code'
	| 'icmpv6_type'
	| 'icmpv6_code'
	| 'mark'
	| 'ifname'
	| 'dscp';

export type SetDataType = SetKeyType | 'verdict';

interface TypeFacts {
	/** Number in nft's `enum datatypes`, by which `nft list` prints the set. */
	readonly id: number;
	readonly size: number;
	/** nft's `enum byteorder`: host 1, big 2. */
	readonly byteOrder: 1 | 2;
	readonly form: 'ipv4' | 'ipv6' | 'mac' | 'number' | 'name';
}

export const TYPE_FACTS: Readonly<Record<SetKeyType, TypeFacts>> = {
	ipv4_addr: { id: 7, size: 4, byteOrder: 2, form: 'ipv4' },
	ipv6_addr: { id: 8, size: 16, byteOrder: 2, form: 'ipv6' },
	ether_addr: { id: 9, size: 6, byteOrder: 2, form: 'mac' },
	inet_proto: { id: 12, size: 1, byteOrder: 2, form: 'number' },
	inet_service: { id: 13, size: 2, byteOrder: 2, form: 'number' },
	icmp_type: { id: 14, size: 1, byteOrder: 2, form: 'number' },
	mark: { id: 19, size: 4, byteOrder: 1, form: 'number' },
	icmpv6_type: { id: 29, size: 1, byteOrder: 2, form: 'number' },
	icmp_code: { id: 32, size: 1, byteOrder: 2, form: 'number' },
	icmpv6_code: { id: 33, size: 1, byteOrder: 2, form: 'number' },
	dscp: { id: 36, size: 1, byteOrder: 2, form: 'number' },
	ifname: { id: 41, size: 16, byteOrder: 1, form: 'name' },
};

const TYPE_BY_ID = new Map(Object.entries(TYPE_FACTS).map(([name, facts]) => [facts.id, name as SetKeyType]));

/** The type with a number of nft's, if it is one of ours. */
export function typeById(id: number): SetKeyType | undefined {
	return TYPE_BY_ID.get(id);
}

/** Bytes of a key: each part of a concatenation is padded to a multiple of 4 (`nft_set_desc`), a single one is not. */
export function keyLength(types: readonly SetKeyType[]): number {
	const [first, ...rest] = types;
	if (first !== undefined && rest.length === 0) return TYPE_FACTS[first].size;
	return types.reduce((sum, type) => sum + paddedSize(type), 0);
}

/** Bytes of a type inside a concatenation. */
export function paddedSize(type: SetKeyType): number {
	return (TYPE_FACTS[type].size + 3) & ~3;
}

/**
 * The bytes of a key or map value from its parts as text: addresses, MACs, decimal or 0x numbers, interface names.
 *
 * @throws KERNEL_BAD_ARGUMENT
 */
export function packKey(types: readonly SetKeyType[], values: readonly string[]): Uint8Array {
	return pack(types, values, (type, value) => packPart(type, value));
}

/**
 * The first and last key of a range: each part is a value, a CIDR prefix, or `first-last`.
 *
 * @throws KERNEL_BAD_ARGUMENT
 */
export function packRange(
	types: readonly SetKeyType[],
	values: readonly string[],
): { readonly key: Uint8Array; readonly keyEnd: Uint8Array } {
	const bounds = values.map((value, index) => partBounds(types[index], value));
	return {
		key: pack(types, values, (_type, _value, index) => (bounds[index] as PartBounds)[0]),
		keyEnd: pack(types, values, (_type, _value, index) => (bounds[index] as PartBounds)[1]),
	};
}

/**
 * The parts of a key as text; numbers are decimal.
 *
 * @throws KERNEL_BAD_MESSAGE if the length does not fit the types
 */
export function unpackKey(types: readonly SetKeyType[], key: Uint8Array): readonly string[] {
	if (key.length !== keyLength(types))
		throw kernelError('KERNEL_BAD_MESSAGE', { message: `a key of ${types.join(' . ')} has ${keyLength(types)} bytes, not ${key.length}` });
	let offset = 0;
	return types.map((type) => {
		const bytes = key.subarray(offset, offset + TYPE_FACTS[type].size);
		offset += paddedSize(type);
		return unpackPart(type, bytes);
	});
}

type PartBounds = readonly [Uint8Array, Uint8Array];

function pack(
	types: readonly SetKeyType[],
	values: readonly string[],
	part: (type: SetKeyType, value: string, index: number) => Uint8Array,
): Uint8Array {
	if (types.length !== values.length)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `a key of ${types.join(' . ')} has ${types.length} parts, not ${values.length}` });
	const key = new Uint8Array(keyLength(types));
	let offset = 0;
	for (const [index, type] of types.entries()) {
		key.set(part(type, values[index] as string, index), offset);
		offset += paddedSize(type);
	}
	return key;
}

function partBounds(type: SetKeyType | undefined, value: string): PartBounds {
	if (type === undefined) throw badPart('key', value);
	const form = TYPE_FACTS[type].form;
	if ((form === 'ipv4' || form === 'ipv6') && value.includes('/')) {
		const parts = splitCidr(value);
		if (parts === undefined || parts.family !== (form === 'ipv4' ? 4 : 6)) throw badPart(type, value);
		return prefixBounds(ipBytes(parts.address), parts.length);
	}
	const dash = form === 'name' ? -1 : value.indexOf('-');
	if (dash < 0) {
		const bytes = packPart(type, value);
		return [bytes, bytes];
	}
	return [packPart(type, value.slice(0, dash)), packPart(type, value.slice(dash + 1))];
}

function prefixBounds(address: Uint8Array, length: number): PartBounds {
	const first = Uint8Array.from(address);
	const last = Uint8Array.from(address);
	for (let index = 0; index < address.length; index++) {
		const hostBits = 0xff >> Math.min(8, Math.max(0, length - index * 8));
		first[index] = (first[index] as number) & ~hostBits;
		last[index] = (last[index] as number) | hostBits;
	}
	return [first, last];
}

function packPart(type: SetKeyType, value: string): Uint8Array {
	const { form, size, byteOrder } = TYPE_FACTS[type];
	switch (form) {
		case 'ipv4':
		case 'ipv6': {
			const address = parseIp(value);
			const bytes = address === undefined ? undefined : ipBytes(address);
			if (bytes?.length !== size) throw badPart(type, value);
			return bytes;
		}
		case 'mac': {
			const mac = parseMac(value);
			if (mac === undefined) throw badPart(type, value);
			return macBytes(mac);
		}
		case 'name':
			return packName(type, value, size);
		case 'number':
			return packNumber(type, value, size, byteOrder);
	}
	return form satisfies never;
}

function packName(type: SetKeyType, value: string, size: number): Uint8Array {
	const bytes = new Uint8Array(size);
	const text = new TextEncoder().encode(value);
	// the kernel's interface names end in a zero byte (IFNAMSIZ)
	if (text.length === 0 || text.length >= size || text.includes(0)) throw badPart(type, value);
	bytes.set(text);
	return bytes;
}

function packNumber(type: SetKeyType, value: string, size: number, byteOrder: 1 | 2): Uint8Array {
	const number = /^(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})$/.test(value) ? Number(value) : -1;
	if (number < 0 || number >= 2 ** (8 * size)) throw badPart(type, value);
	const bytes = new Uint8Array(size);
	for (let index = 0; index < size; index++)
		bytes[byteOrder === 1 ? index : size - 1 - index] = Math.floor(number / 2 ** (8 * index)) & 0xff;
	return bytes;
}

function unpackPart(type: SetKeyType, bytes: Uint8Array): string {
	const { form, byteOrder } = TYPE_FACTS[type];
	switch (form) {
		case 'ipv4':
		case 'ipv6':
			return formatIp(bytes);
		case 'mac':
			return formatMac(bytes);
		case 'name': {
			const end = bytes.indexOf(0);
			return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
		}
		case 'number': {
			let value = 0;
			for (let index = 0; index < bytes.length; index++)
				value = value * 256 + (bytes[byteOrder === 1 ? bytes.length - 1 - index : index] as number);
			return String(value);
		}
	}
	return form satisfies never;
}

function badPart(type: string, value: string): Error {
	return kernelError('KERNEL_BAD_ARGUMENT', { message: `${JSON.stringify(value)} is not a value of type ${type}`, found: value });
}
