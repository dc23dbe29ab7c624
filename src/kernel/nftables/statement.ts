/**
 * Rules' usual parts as expressions, in the form nft itself gives them, so that `nft list` prints them as written.
 * Each part may use any register: values do not live on from one part to the next.
 */
import { type Cidr, cidrParts, type Family, type Ip, ipBytes } from '#net';
import { kernelError } from '../errors.ts';
import type { AnonymousSet } from './batch.ts';
import type { CompareOperator, Expression, FibFlag, MetaKey, PayloadBase } from './expression.ts';

const IFNAME_BYTES = 16;
const CT_STATE_BITS = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** `linux/netfilter/nf_conntrack_common.h` IPS_* */
const CT_STATUS_BITS = { snat: 0x10, dnat: 0x20 } as const;
/** `linux/rtnetlink.h` RTN_* */
const FIB_TYPES = { unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

export type CtState = keyof typeof CT_STATE_BITS;
export type CtStatus = keyof typeof CT_STATUS_BITS;
export type FibType = keyof typeof FIB_TYPES;

/**
 * What can be compared or looked up. Packet fields read bytes where they stand: a rule first makes sure of the
 * family ({@link matchFamily}) or transport protocol ({@link matchProtocol}) they belong to.
 */
export type Field =
	| 'iifname'
	| 'oifname'
	| 'mark'
	| 'nfproto'
	| 'l4proto'
	| 'ip saddr'
	| 'ip daddr'
	| 'ip6 saddr'
	| 'ip6 daddr'
	| 'th sport'
	| 'th dport'
	| 'icmp type'
	| 'icmp code'
	| 'icmpv6 type'
	| 'icmpv6 code'
	| 'arp operation'
	| 'arp saddr ip';

type FieldPlace =
	| { readonly meta: MetaKey; readonly length: number }
	| { readonly base: PayloadBase; readonly offset: number; readonly length: number };

const FIELDS: Readonly<Record<Field, FieldPlace>> = {
	iifname: { meta: 'iifname', length: IFNAME_BYTES },
	oifname: { meta: 'oifname', length: IFNAME_BYTES },
	mark: { meta: 'mark', length: 4 },
	nfproto: { meta: 'nfproto', length: 1 },
	l4proto: { meta: 'l4proto', length: 1 },
	'ip saddr': { base: 'network', offset: 12, length: 4 },
	'ip daddr': { base: 'network', offset: 16, length: 4 },
	'ip6 saddr': { base: 'network', offset: 8, length: 16 },
	'ip6 daddr': { base: 'network', offset: 24, length: 16 },
	'th sport': { base: 'transport', offset: 0, length: 2 },
	'th dport': { base: 'transport', offset: 2, length: 2 },
	'icmp type': { base: 'transport', offset: 0, length: 1 },
	'icmp code': { base: 'transport', offset: 1, length: 1 },
	'icmpv6 type': { base: 'transport', offset: 0, length: 1 },
	'icmpv6 code': { base: 'transport', offset: 1, length: 1 },
	'arp operation': { base: 'network', offset: 6, length: 2 },
	'arp saddr ip': { base: 'network', offset: 14, length: 4 },
};

/** Loads a field into a register. */
export function load(field: Field, dreg = 0): Expression {
	const place = FIELDS[field];
	return 'meta' in place ? { kind: 'meta', key: place.meta, dreg } : { kind: 'payload', ...place, dreg };
}

/** The field has this value (or compares otherwise); the bytes as {@link packKey} gives them for the field's type. */
export function match(field: Field, value: Uint8Array, op: CompareOperator = 'eq'): Expression[] {
	return [load(field), { kind: 'cmp', op, sreg: 0, data: value }];
}

/** The field lies in a range, both ends included, or outside of it. */
export function matchRange(field: Field, from: Uint8Array, to: Uint8Array, op: 'eq' | 'neq' = 'eq'): Expression[] {
	if (op === 'neq') return [load(field), { kind: 'range', op, sreg: 0, from, to }];
	return [load(field), { kind: 'cmp', op: 'gte', sreg: 0, data: from }, { kind: 'cmp', op: 'lte', sreg: 0, data: to }];
}

/** The packet is IPv4 or IPv6 (`meta nfproto`). */
export function matchFamily(family: Family): Expression[] {
	return match('nfproto', Uint8Array.of(family === 4 ? 2 : 10));
}

/** The transport protocol by its number (`meta l4proto`). */
export function matchProtocol(protocol: number, op: 'eq' | 'neq' = 'eq'): Expression[] {
	return match('l4proto', Uint8Array.of(protocol), op);
}

/** The address lies in a prefix. Nothing to test for a prefix of length 0, which has to be asked for positively. */
export function matchPrefix(
	field: 'ip saddr' | 'ip daddr' | 'ip6 saddr' | 'ip6 daddr',
	prefix: Cidr,
	op: 'eq' | 'neq' = 'eq',
): Expression[] {
	const { address, length } = cidrParts(prefix);
	const bytes = ipBytes(address);
	const place = FIELDS[field];
	if (bytes.length !== place.length || (length === 0 && op === 'neq'))
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${field} cannot be compared with ${prefix}`, found: prefix });
	if (length === 0) return [];
	const whole = length / 8;
	if (Number.isInteger(whole))
		return [
			{ ...(load(field) as Extract<Expression, { kind: 'payload' }>), length: whole },
			{ kind: 'cmp', op, sreg: 0, data: bytes.subarray(0, whole) },
		];
	const mask = bytes.map((_, index) => 0xff & ~(0xff >> Math.min(8, Math.max(0, length - index * 8))));
	return [
		load(field),
		{ kind: 'bitwise', sreg: 0, dreg: 0, mask, xor: new Uint8Array(bytes.length) },
		{ kind: 'cmp', op, sreg: 0, data: bytes },
	];
}

/** The interface's name; a `*` at the end stands for any rest. */
export function matchInterface(field: 'iifname' | 'oifname', name: string, op: 'eq' | 'neq' = 'eq'): Expression[] {
	const isPrefix = name.endsWith('*');
	const text = new TextEncoder().encode(isPrefix ? name.slice(0, -1) : name);
	if (text.length === 0 || text.length >= IFNAME_BYTES)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${JSON.stringify(name)} is not an interface name`, found: name });
	const data = new Uint8Array(isPrefix ? text.length : IFNAME_BYTES);
	data.set(text);
	return match(field, data, op);
}

/** Of the mark, the bits under the mask are all zero, or not. */
export function matchMark(mask: number, op: 'zero' | 'nonzero'): Expression[] {
	return [load('mark'), ...testBits(mask, op === 'zero' ? 'eq' : 'neq')];
}

/** mark = (mark & keep) | set; bits of `set` outside of `keep` count too. */
export function setMark(keep: number, set: number): Expression[] {
	const mask = hostUint32(keep & ~set);
	return [load('mark'), { kind: 'bitwise', sreg: 0, dreg: 0, mask, xor: hostUint32(set) }, { kind: 'meta-set', key: 'mark', sreg: 0 }];
}

/** The connection is in one of the states. */
export function matchCtState(...states: readonly CtState[]): Expression[] {
	const bits = states.reduce((sum, state) => sum | CT_STATE_BITS[state], 0);
	return [{ kind: 'ct', key: 'state', dreg: 0 }, ...testBits(bits, 'neq')];
}

/** The connection's destination (dnat) or source (snat) was translated. */
export function matchCtStatus(status: CtStatus): Expression[] {
	return [{ kind: 'ct', key: 'status', dreg: 0 }, ...testBits(CT_STATUS_BITS[status], 'neq')];
}

/** The type of the source or destination address in the routing table. */
export function matchFib(flags: readonly FibFlag[], type: FibType, op: 'eq' | 'neq' = 'eq'): Expression[] {
	return [
		{ kind: 'fib', flags, result: 'type', dreg: 0 },
		{ kind: 'cmp', op, sreg: 0, data: hostUint32(FIB_TYPES[type]) },
	];
}

/** The fields together are a key of the set. */
export function inSet(fields: readonly Field[], set: string | AnonymousSet, invert = false): Expression[] {
	return [...loadKey(fields), { kind: 'lookup', ...setName(set), sreg: 0, ...(invert ? { invert } : {}) }];
}

/** The verdict that a map has for the fields; rules go on if it has none. */
export function verdictMap(fields: readonly Field[], map: string | AnonymousSet): Expression[] {
	return [...loadKey(fields), { kind: 'lookup', ...setName(map), sreg: 0, dreg: 'verdict' }];
}

/** Translates to the address that a map has for the fields; nothing happens if it has none. */
export function natByMap(type: 'snat' | 'dnat', family: Family, fields: readonly Field[], map: string): Expression[] {
	return [...loadKey(fields), { kind: 'lookup', set: map, sreg: 0, dreg: 0 }, { kind: 'nat', type, family, addressMin: 0 }];
}

/** Translates to one address. */
export function natTo(type: 'snat' | 'dnat', family: Family, address: Ip): Expression[] {
	return [
		{ kind: 'immediate', dreg: 0, data: ipBytes(address) },
		{ kind: 'nat', type, family, addressMin: 0 },
	];
}

/** Translates to the address of the outgoing device, from a range of ports if given (TCP and UDP only). */
export function masquerade(ports?: { readonly from: number; readonly to: number }): Expression[] {
	if (ports === undefined) return [{ kind: 'masquerade', flags: ['fully-random'] }];
	return [
		{ kind: 'immediate', dreg: 0, data: bigUint16(ports.from) },
		{ kind: 'immediate', dreg: 4, data: bigUint16(ports.to) },
		{ kind: 'masquerade', flags: ['fully-random'], protoMin: 0, protoMax: 4 },
	];
}

export function accept(): Expression {
	return { kind: 'verdict', verdict: 'accept' };
}

export function drop(): Expression {
	return { kind: 'verdict', verdict: 'drop' };
}

export function jump(chain: string): Expression {
	return { kind: 'verdict', verdict: 'jump', chain };
}

/** Like {@link jump}, but does not come back. */
export function goTo(chain: string): Expression {
	return { kind: 'verdict', verdict: 'goto', chain };
}

export function returnToCaller(): Expression {
	return { kind: 'verdict', verdict: 'return' };
}

export function counter(): Expression {
	return { kind: 'counter', packets: 0n, bytes: 0n };
}

function setName(set: string | AnonymousSet): { readonly set: string; readonly setId?: number } {
	return typeof set === 'string' ? { set } : set;
}

/** Fields in consecutive registers, each starting at a 32-bit slot. */
function loadKey(fields: readonly Field[]): Expression[] {
	let slot = 0;
	return fields.map((field) => {
		const expression = load(field, slot);
		slot += (FIELDS[field].length + 3) >> 2;
		return expression;
	});
}

/** The loaded 32-bit value and the bits compare so with zero. */
function testBits(bits: number, op: 'eq' | 'neq'): Expression[] {
	return [
		{ kind: 'bitwise', sreg: 0, dreg: 0, mask: hostUint32(bits), xor: hostUint32(0) },
		{ kind: 'cmp', op, sreg: 0, data: hostUint32(0) },
	];
}

function hostUint32(value: number): Uint8Array {
	return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

function bigUint16(value: number): Uint8Array {
	return Uint8Array.of(value >> 8, value & 0xff);
}
