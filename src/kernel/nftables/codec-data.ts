/** Encoding of the expressions that move and test data. */
import type { Attributes } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { CompareOperator, CtKey, Expression, FibFlag, MetaKey, PayloadBase } from './expression.ts';
import { readRegister, readValue, readVerdict, writeRegister, writeValue, writeVerdict } from './register.ts';
import { MAX_NAME_BYTES, Names } from './wire.ts';

export type ExpressionOf<Kind extends Expression['kind']> = Extract<Expression, { readonly kind: Kind }>;

const META_KEYS = new Names<MetaKey>({
	length: 0,
	protocol: 1,
	priority: 2,
	mark: 3,
	iif: 4,
	oif: 5,
	iifname: 6,
	oifname: 7,
	skuid: 10,
	nfproto: 15,
	l4proto: 16,
	pkttype: 19,
});
const CT_KEYS = new Names<CtKey>({
	state: 0,
	direction: 1,
	status: 2,
	mark: 3,
	l3proto: 7,
	protocol: 10,
	proto_src: 11,
	proto_dst: 12,
	labels: 13,
	zone: 17,
	src_ip: 19,
	dst_ip: 20,
	src_ip6: 21,
	dst_ip6: 22,
});
const PAYLOAD_BASES = new Names<PayloadBase>({ link: 0, network: 1, transport: 2, inner: 3 });
const COMPARE_OPERATORS = new Names<CompareOperator>({ eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 });
const RANGE_OPERATORS = new Names<'eq' | 'neq'>({ eq: 0, neq: 1 });
const BYTEORDER_OPERATORS = new Names<'ntoh' | 'hton'>({ ntoh: 0, hton: 1 });
const DIRECTIONS = new Names<'original' | 'reply'>({ original: 0, reply: 1 });
const FIB_FLAGS = new Names<FibFlag>({ saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16 });
const FIB_RESULTS = new Names<'oif' | 'oifname' | 'type'>({ oif: 1, oifname: 2, type: 3 });
const NFTA_FIB_F_PRESENT = 32;
const NFT_LOOKUP_F_INV = 1;
const NFT_BITWISE_MASK_XOR = 0;
const CSUM_NONE = 0;
const CSUM_INET = 1;
const L4CSUM_PSEUDOHDR = 1;

export function writeMeta(writer: MessageWriter, expression: ExpressionOf<'meta'> | ExpressionOf<'meta-set'>): void {
	writer.be32(2, META_KEYS.number(expression.key));
	if (expression.kind === 'meta') writeRegister(writer, 1, expression.dreg);
	else writeRegister(writer, 3, expression.sreg);
}

export function readMeta(attributes: Attributes): Expression | undefined {
	const key = META_KEYS.name(attributes.be32(2));
	const dreg = readRegister(attributes, 1);
	const sreg = readRegister(attributes, 3);
	if (key === undefined) return undefined;
	if (dreg !== undefined) return { kind: 'meta', key, dreg };
	return sreg === undefined ? undefined : { kind: 'meta-set', key, sreg };
}

export function writePayload(writer: MessageWriter, expression: ExpressionOf<'payload'> | ExpressionOf<'payload-set'>): void {
	writer.be32(2, PAYLOAD_BASES.number(expression.base));
	writer.be32(3, expression.offset);
	writer.be32(4, expression.length);
	if (expression.kind === 'payload') {
		writeRegister(writer, 1, expression.dreg);
		return;
	}
	writeRegister(writer, 5, expression.sreg);
	writer.be32(6, expression.checksumOffset === undefined ? CSUM_NONE : CSUM_INET);
	writer.be32(7, expression.checksumOffset ?? 0);
	writer.be32(8, expression.pseudoHeader === true ? L4CSUM_PSEUDOHDR : 0);
}

export function readPayload(attributes: Attributes): Expression | undefined {
	const base = PAYLOAD_BASES.name(attributes.be32(2));
	const offset = attributes.be32(3);
	const length = attributes.be32(4);
	if (base === undefined || offset === undefined || length === undefined) return undefined;
	const dreg = readRegister(attributes, 1);
	if (dreg !== undefined) return { kind: 'payload', base, offset, length, dreg };
	const sreg = readRegister(attributes, 5);
	const checksum = attributes.be32(6) ?? CSUM_NONE;
	if (sreg === undefined || checksum > CSUM_INET) return undefined;
	return {
		kind: 'payload-set',
		base,
		offset,
		length,
		sreg,
		...(checksum === CSUM_INET ? { checksumOffset: attributes.be32(7) ?? 0 } : {}),
		...(((attributes.be32(8) ?? 0) & L4CSUM_PSEUDOHDR) === 0 ? {} : { pseudoHeader: true }),
	};
}

export function writeCt(writer: MessageWriter, expression: ExpressionOf<'ct'> | ExpressionOf<'ct-set'>): void {
	writer.be32(2, CT_KEYS.number(expression.key));
	if (expression.kind === 'ct-set') {
		writeRegister(writer, 4, expression.sreg);
		return;
	}
	writeRegister(writer, 1, expression.dreg);
	if (expression.direction !== undefined) writer.u8(3, DIRECTIONS.number(expression.direction));
}

export function readCt(attributes: Attributes): Expression | undefined {
	const key = CT_KEYS.name(attributes.be32(2));
	const dreg = readRegister(attributes, 1);
	const sreg = readRegister(attributes, 4);
	const direction = DIRECTIONS.name(attributes.u8(3));
	if (key === undefined || (dreg === undefined) === (sreg === undefined)) return undefined;
	if (dreg !== undefined) return { kind: 'ct', key, ...(direction === undefined ? {} : { direction }), dreg };
	return { kind: 'ct-set', key, sreg: sreg as number };
}

export function writeCmp(writer: MessageWriter, expression: ExpressionOf<'cmp'>): void {
	writeRegister(writer, 1, expression.sreg);
	writer.be32(2, COMPARE_OPERATORS.number(expression.op));
	writeValue(writer, 3, expression.data);
}

export function readCmp(attributes: Attributes): Expression | undefined {
	const sreg = readRegister(attributes, 1);
	const op = COMPARE_OPERATORS.name(attributes.be32(2));
	const data = readValue(attributes, 3);
	return sreg === undefined || op === undefined || data === undefined ? undefined : { kind: 'cmp', op, sreg, data };
}

export function writeRange(writer: MessageWriter, expression: ExpressionOf<'range'>): void {
	writeRegister(writer, 1, expression.sreg);
	writer.be32(2, RANGE_OPERATORS.number(expression.op));
	writeValue(writer, 3, expression.from);
	writeValue(writer, 4, expression.to);
}

export function readRange(attributes: Attributes): Expression | undefined {
	const sreg = readRegister(attributes, 1);
	const op = RANGE_OPERATORS.name(attributes.be32(2));
	const from = readValue(attributes, 3);
	const to = readValue(attributes, 4);
	if (sreg === undefined || op === undefined || from === undefined || to === undefined) return undefined;
	return { kind: 'range', op, sreg, from, to };
}

export function writeBitwise(writer: MessageWriter, expression: ExpressionOf<'bitwise'>): void {
	writeRegister(writer, 1, expression.sreg);
	writeRegister(writer, 2, expression.dreg);
	writer.be32(3, expression.mask.length);
	writeValue(writer, 4, expression.mask);
	writeValue(writer, 5, expression.xor);
}

export function readBitwise(attributes: Attributes): Expression | undefined {
	const sreg = readRegister(attributes, 1);
	const dreg = readRegister(attributes, 2);
	const mask = readValue(attributes, 4);
	const xor = readValue(attributes, 5);
	if ((attributes.be32(6) ?? NFT_BITWISE_MASK_XOR) !== NFT_BITWISE_MASK_XOR) return undefined;
	if (sreg === undefined || dreg === undefined || mask === undefined || xor === undefined) return undefined;
	return { kind: 'bitwise', sreg, dreg, mask, xor };
}

export function writeByteorder(writer: MessageWriter, expression: ExpressionOf<'byteorder'>): void {
	writeRegister(writer, 1, expression.sreg);
	writeRegister(writer, 2, expression.dreg);
	writer.be32(3, BYTEORDER_OPERATORS.number(expression.op));
	writer.be32(4, expression.length);
	writer.be32(5, expression.size);
}

export function readByteorder(attributes: Attributes): Expression | undefined {
	const sreg = readRegister(attributes, 1);
	const dreg = readRegister(attributes, 2);
	const op = BYTEORDER_OPERATORS.name(attributes.be32(3));
	const length = attributes.be32(4);
	const size = attributes.be32(5);
	if (sreg === undefined || dreg === undefined || op === undefined || length === undefined) return undefined;
	return size === 2 || size === 4 || size === 8 ? { kind: 'byteorder', op, sreg, dreg, length, size } : undefined;
}

export function writeLookup(writer: MessageWriter, expression: ExpressionOf<'lookup'>): void {
	writer.string(1, expression.set, MAX_NAME_BYTES);
	writeRegister(writer, 2, expression.sreg);
	if (expression.dreg === 'verdict') writer.be32(3, 0);
	else if (expression.dreg !== undefined) writeRegister(writer, 3, expression.dreg);
	if (expression.setId !== undefined) writer.be32(4, expression.setId);
	if (expression.invert === true) writer.be32(5, NFT_LOOKUP_F_INV);
}

export function readLookup(attributes: Attributes): Expression | undefined {
	const set = attributes.string(1);
	const sreg = readRegister(attributes, 2);
	const dreg = attributes.be32(3) === 0 ? 'verdict' : readRegister(attributes, 3);
	const setId = attributes.be32(4);
	if (set === undefined || sreg === undefined) return undefined;
	return {
		kind: 'lookup',
		set,
		...(setId === undefined ? {} : { setId }),
		sreg,
		...(dreg === undefined ? {} : { dreg }),
		...(((attributes.be32(5) ?? 0) & NFT_LOOKUP_F_INV) === 0 ? {} : { invert: true }),
	};
}

export function writeImmediate(writer: MessageWriter, expression: ExpressionOf<'immediate'> | ExpressionOf<'verdict'>): void {
	if (expression.kind === 'verdict') {
		writer.be32(1, 0);
		writeVerdict(writer, 2, expression);
	} else {
		writeRegister(writer, 1, expression.dreg);
		writeValue(writer, 2, expression.data);
	}
}

export function readImmediate(attributes: Attributes): Expression | undefined {
	const dreg = readRegister(attributes, 1);
	if (dreg === undefined) {
		const verdict = readVerdict(attributes, 2);
		return verdict === undefined ? undefined : { kind: 'verdict', ...verdict };
	}
	const data = readValue(attributes, 2);
	return data === undefined ? undefined : { kind: 'immediate', dreg, data };
}

export function writeFib(writer: MessageWriter, expression: ExpressionOf<'fib'>): void {
	writeRegister(writer, 1, expression.dreg);
	writer.be32(2, FIB_RESULTS.number(expression.result));
	writer.be32(3, FIB_FLAGS.bits(expression.flags) | (expression.present === true ? NFTA_FIB_F_PRESENT : 0));
}

export function readFib(attributes: Attributes): Expression | undefined {
	const dreg = readRegister(attributes, 1);
	const result = FIB_RESULTS.name(attributes.be32(2));
	const bits = attributes.be32(3) ?? 0;
	if (dreg === undefined || result === undefined) return undefined;
	return { kind: 'fib', flags: FIB_FLAGS.ofBits(bits), result, ...((bits & NFTA_FIB_F_PRESENT) === 0 ? {} : { present: true }), dreg };
}
