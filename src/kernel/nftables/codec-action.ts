/** Encoding of the expressions that count, limit, log, refuse and translate. */
import { kernelError } from '../errors.ts';
import type { Attributes } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { ExpressionOf } from './codec-data.ts';
import type { Expression, NatFlag } from './expression.ts';
import { readRegister, writeRegister } from './register.ts';
import { Names } from './wire.ts';

/** NF_LOG_PREFIXLEN less the zero byte. */
const MAX_LOG_PREFIX_BYTES = 127;
const DEFAULT_LOG_LEVEL = 4;
const NFT_LIMIT_PKTS = 0;
const NFT_LIMIT_PKT_BYTES = 1;
const FLAG_INVERT = 1;
const NFT_REJECT_ICMP_UNREACH = 0;
const NFT_REJECT_TCP_RST = 1;
const NFT_REJECT_ICMPX_UNREACH = 2;
/** `linux/netfilter/nf_nat.h` NF_NAT_RANGE_*; the bits for "addresses given" and "ports given" the kernel sets by itself. */
const NAT_FLAGS = new Names<NatFlag>({ random: 4, persistent: 8, 'fully-random': 16, netmap: 64 });
const NAT_TYPES = new Names<'snat' | 'dnat'>({ snat: 0, dnat: 1 });

export function writeCounter(writer: MessageWriter, expression: ExpressionOf<'counter'>): void {
	writer.be64(1, expression.bytes);
	writer.be64(2, expression.packets);
}

export function readCounter(attributes: Attributes): Expression | undefined {
	const bytes = attributes.be64(1);
	const packets = attributes.be64(2);
	return bytes === undefined || packets === undefined ? undefined : { kind: 'counter', packets, bytes };
}

export function writeLog(writer: MessageWriter, expression: ExpressionOf<'log'>): void {
	if (expression.group !== undefined) writer.be16(1, expression.group);
	if (expression.prefix !== undefined) writer.string(2, expression.prefix, MAX_LOG_PREFIX_BYTES);
	if (expression.snapLength !== undefined) writer.be32(3, expression.snapLength);
	if (expression.queueThreshold !== undefined) writer.be16(4, expression.queueThreshold);
	if (expression.level !== undefined) writer.be32(5, expression.level);
	if (expression.flags !== undefined) writer.be32(6, expression.flags);
}

export function readLog(attributes: Attributes): Expression | undefined {
	const group = attributes.be16(1);
	const prefix = attributes.string(2);
	const snapLength = attributes.be32(3);
	const queueThreshold = attributes.be16(4);
	const level = attributes.be32(5);
	const flags = attributes.be32(6);
	return {
		kind: 'log',
		...(prefix === undefined ? {} : { prefix }),
		...(group === undefined ? {} : { group }),
		...(snapLength === undefined ? {} : { snapLength }),
		...(queueThreshold === undefined ? {} : { queueThreshold }),
		...(level === undefined || level === DEFAULT_LOG_LEVEL ? {} : { level }),
		...(flags === undefined ? {} : { flags }),
	};
}

export function writeLimit(writer: MessageWriter, expression: ExpressionOf<'limit'>): void {
	writer.be64(1, expression.rate);
	writer.be64(2, expression.perSeconds);
	writer.be32(3, expression.burst);
	writer.be32(4, expression.of === 'packets' ? NFT_LIMIT_PKTS : NFT_LIMIT_PKT_BYTES);
	if (expression.invert === true) writer.be32(5, FLAG_INVERT);
}

export function readLimit(attributes: Attributes): Expression | undefined {
	const rate = attributes.be64(1);
	const perSeconds = attributes.be64(2);
	const type = attributes.be32(4) ?? NFT_LIMIT_PKTS;
	if (rate === undefined || perSeconds === undefined || type > NFT_LIMIT_PKT_BYTES) return undefined;
	const of = type === NFT_LIMIT_PKTS ? 'packets' : 'bytes';
	return { kind: 'limit', of, rate, perSeconds, burst: attributes.be32(3) ?? 0, ...inverted(attributes.be32(5)) };
}

export function writeConnlimit(writer: MessageWriter, expression: ExpressionOf<'connlimit'>): void {
	writer.be32(1, expression.count);
	if (expression.invert === true) writer.be32(2, FLAG_INVERT);
}

export function readConnlimit(attributes: Attributes): Expression | undefined {
	const count = attributes.be32(1);
	return count === undefined ? undefined : { kind: 'connlimit', count, ...inverted(attributes.be32(2)) };
}

export function writeReject(writer: MessageWriter, expression: ExpressionOf<'reject'>): void {
	if (expression.with === 'tcp-reset') {
		writer.be32(1, NFT_REJECT_TCP_RST);
		return;
	}
	writer.be32(1, expression.with === 'icmp' ? NFT_REJECT_ICMP_UNREACH : NFT_REJECT_ICMPX_UNREACH);
	writer.u8(2, expression.code);
}

export function readReject(attributes: Attributes): Expression | undefined {
	const type = attributes.be32(1);
	if (type === NFT_REJECT_TCP_RST) return { kind: 'reject', with: 'tcp-reset' };
	const code = attributes.u8(2);
	if (code === undefined) return undefined;
	if (type === NFT_REJECT_ICMP_UNREACH) return { kind: 'reject', with: 'icmp', code };
	return type === NFT_REJECT_ICMPX_UNREACH ? { kind: 'reject', with: 'icmpx', code } : undefined;
}

export function writeMasquerade(writer: MessageWriter, expression: ExpressionOf<'masquerade'>): void {
	if (expression.flags !== undefined) writer.be32(1, NAT_FLAGS.bits(expression.flags));
	if (expression.protoMin !== undefined) writeRegister(writer, 2, expression.protoMin);
	if (expression.protoMax !== undefined) writeRegister(writer, 3, expression.protoMax);
}

export function readMasquerade(attributes: Attributes): Expression {
	return { kind: 'masquerade', ...natFlags(attributes.be32(1)), ...registerRange(attributes, 2, 3, 'protoMin', 'protoMax') };
}

export function writeNat(writer: MessageWriter, expression: ExpressionOf<'nat'>): void {
	if (expression.addressMin === undefined && expression.protoMin === undefined)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${expression.type} gives neither an address nor a port` });
	writer.be32(1, NAT_TYPES.number(expression.type));
	writer.be32(2, expression.family === 4 ? 2 : 10);
	if (expression.addressMin !== undefined) writeRegister(writer, 3, expression.addressMin);
	if (expression.addressMax !== undefined) writeRegister(writer, 4, expression.addressMax);
	if (expression.protoMin !== undefined) writeRegister(writer, 5, expression.protoMin);
	if (expression.protoMax !== undefined) writeRegister(writer, 6, expression.protoMax);
	if (expression.flags !== undefined) writer.be32(7, NAT_FLAGS.bits(expression.flags));
}

export function readNat(attributes: Attributes): Expression | undefined {
	const type = NAT_TYPES.name(attributes.be32(1));
	const family = attributes.be32(2);
	if (type === undefined || (family !== 2 && family !== 10)) return undefined;
	return {
		kind: 'nat',
		type,
		family: family === 2 ? 4 : 6,
		...registerRange(attributes, 3, 4, 'addressMin', 'addressMax'),
		...registerRange(attributes, 5, 6, 'protoMin', 'protoMax'),
		...natFlags(attributes.be32(7)),
	};
}

function inverted(flags: number | undefined): { invert?: true } {
	return ((flags ?? 0) & FLAG_INVERT) === 0 ? {} : { invert: true };
}

function natFlags(bits: number | undefined): { flags?: readonly NatFlag[] } {
	const flags = NAT_FLAGS.ofBits(bits ?? 0);
	return flags.length === 0 ? {} : { flags };
}

/** The kernel lists both ends of a range even where one register holds both. */
function registerRange<Min extends string, Max extends string>(
	attributes: Attributes,
	minType: number,
	maxType: number,
	min: Min,
	max: Max,
): { [Key in Min | Max]?: number } {
	const first = readRegister(attributes, minType);
	const last = readRegister(attributes, maxType);
	const range: { [Key in Min | Max]?: number } = {};
	if (first !== undefined) range[min] = first as (typeof range)[Min];
	if (last !== undefined && last !== first) range[max] = last as (typeof range)[Max];
	return range;
}
