import { Attributes, badMessage } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';
import {
	readConnlimit,
	readCounter,
	readLimit,
	readLog,
	readMasquerade,
	readNat,
	readReject,
	writeConnlimit,
	writeCounter,
	writeLimit,
	writeLog,
	writeMasquerade,
	writeNat,
	writeReject,
} from './codec-action.ts';
import {
	readBitwise,
	readByteorder,
	readCmp,
	readCt,
	readFib,
	readImmediate,
	readLookup,
	readMeta,
	readPayload,
	readRange,
	writeBitwise,
	writeByteorder,
	writeCmp,
	writeCt,
	writeFib,
	writeImmediate,
	writeLookup,
	writeMeta,
	writePayload,
	writeRange,
} from './codec-data.ts';
import type { Expression, ExpressionKind } from './expression.ts';
import { MAX_NAME_BYTES, NFTA_LIST_ELEM } from './wire.ts';

const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NLA_F_NESTED = 0x8000;

/** The kernel's names of expressions. */
const NAMES: Readonly<Record<Exclude<ExpressionKind, 'other'>, string>> = {
	meta: 'meta',
	'meta-set': 'meta',
	payload: 'payload',
	'payload-set': 'payload',
	ct: 'ct',
	'ct-set': 'ct',
	cmp: 'cmp',
	range: 'range',
	bitwise: 'bitwise',
	byteorder: 'byteorder',
	lookup: 'lookup',
	immediate: 'immediate',
	verdict: 'immediate',
	counter: 'counter',
	log: 'log',
	limit: 'limit',
	connlimit: 'connlimit',
	reject: 'reject',
	masquerade: 'masq',
	nat: 'nat',
	notrack: 'notrack',
	fib: 'fib',
};

const READERS: Readonly<Record<string, (attributes: Attributes) => Expression | undefined>> = {
	meta: readMeta,
	payload: readPayload,
	ct: readCt,
	cmp: readCmp,
	range: readRange,
	bitwise: readBitwise,
	byteorder: readByteorder,
	lookup: readLookup,
	immediate: readImmediate,
	counter: readCounter,
	log: readLog,
	limit: readLimit,
	connlimit: readConnlimit,
	reject: readReject,
	masq: readMasquerade,
	nat: readNat,
	notrack: () => ({ kind: 'notrack' }),
	fib: readFib,
};

/**
 * Writes a rule's expressions as one list attribute.
 *
 * @throws KERNEL_BAD_ARGUMENT
 */
export function writeExpressions(writer: MessageWriter, type: number, expressions: readonly Expression[]): void {
	const list = writer.beginNest(type);
	for (const expression of expressions) {
		const element = writer.beginNest(NFTA_LIST_ELEM);
		if (expression.kind === 'other') {
			writer.string(NFTA_EXPR_NAME, expression.name, MAX_NAME_BYTES);
			writer.bytesOf(NFTA_EXPR_DATA | NLA_F_NESTED, expression.attributes);
		} else {
			writer.string(NFTA_EXPR_NAME, NAMES[expression.kind], MAX_NAME_BYTES);
			const data = writer.beginNest(NFTA_EXPR_DATA);
			writeContent(writer, expression);
			writer.endNest(data);
		}
		writer.endNest(element);
	}
	writer.endNest(list);
}

/** @throws KERNEL_BAD_MESSAGE */
export function readExpressions(list: Attributes): Expression[] {
	return list.list().map(readExpression);
}

/**
 * A text that two lists of expressions share exactly when they do the same, whatever their counters have counted.
 *
 * @throws KERNEL_BAD_ARGUMENT for expressions that cannot be encoded
 */
export function expressionsFingerprint(expressions: readonly Expression[]): string {
	const writer = new MessageWriter();
	const quiet = expressions.map(
		(expression): Expression => (expression.kind === 'counter' ? { kind: 'counter', packets: 0n, bytes: 0n } : expression),
	);
	writeExpressions(writer, NFTA_LIST_ELEM, quiet);
	return Buffer.from(writer.bytes).toString('base64');
}

function readExpression(element: Attributes): Expression {
	const name = element.string(NFTA_EXPR_NAME);
	if (name === undefined) throw badMessage('an nf_tables expression has no name');
	const data = element.nested(NFTA_EXPR_DATA) ?? new Attributes(new DataView(new ArrayBuffer(0)), 0, 0);
	const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
	return read?.(data) ?? { kind: 'other', name, attributes: element.bytes(NFTA_EXPR_DATA) ?? new Uint8Array() };
}

function writeContent(writer: MessageWriter, expression: Exclude<Expression, { readonly kind: 'other' }>): void {
	switch (expression.kind) {
		case 'meta':
		case 'meta-set':
			return writeMeta(writer, expression);
		case 'payload':
		case 'payload-set':
			return writePayload(writer, expression);
		case 'ct':
		case 'ct-set':
			return writeCt(writer, expression);
		case 'cmp':
			return writeCmp(writer, expression);
		case 'range':
			return writeRange(writer, expression);
		case 'bitwise':
			return writeBitwise(writer, expression);
		case 'byteorder':
			return writeByteorder(writer, expression);
		case 'lookup':
			return writeLookup(writer, expression);
		case 'immediate':
		case 'verdict':
			return writeImmediate(writer, expression);
		case 'counter':
			return writeCounter(writer, expression);
		case 'log':
			return writeLog(writer, expression);
		case 'limit':
			return writeLimit(writer, expression);
		case 'connlimit':
			return writeConnlimit(writer, expression);
		case 'reject':
			return writeReject(writer, expression);
		case 'masquerade':
			return writeMasquerade(writer, expression);
		case 'nat':
			return writeNat(writer, expression);
		case 'notrack':
			return undefined;
		case 'fib':
			return writeFib(writer, expression);
	}
}
