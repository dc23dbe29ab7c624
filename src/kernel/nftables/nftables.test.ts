import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr } from '#net';
import { kernelError } from '../errors.ts';
import { assertSafeDecoder, written } from '../netlink/fixtures.ts';
import { Attributes, type NetlinkMessage, readMessages } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { NftBatch } from './batch.ts';
import { joinElements, readElements, writeElements, writeElementsHeader } from './element-codec.ts';
import type { Expression, Verdict } from './expression.ts';
import { expressionsFingerprint, readExpressions, writeExpressions } from './expression-codec.ts';
import { readNftEvent } from './monitor.ts';
import type { Chain, Rule, SetElement, SetSpec, TableRef } from './object.ts';
import { readChain, readRule, readTable, writeChain, writeRule, writeRuleHandle, writeTable } from './object-codec.ts';
import { readSet, writeSet } from './set-codec.ts';
import { matchPrefix, setMark } from './statement.ts';
import { NFGENMSG_BYTES } from './wire.ts';

const table: TableRef = { family: 'inet', name: 'tortie' };
const INET = 1;

/** `struct nfgenmsg` and what follows. */
function afterHeader(write: (writer: MessageWriter) => void): (writer: MessageWriter) => void {
	return (writer) => {
		writer.header(NFGENMSG_BYTES).setUint8(0, INET);
		write(writer);
	};
}

const register = fc.integer({ min: 0, max: 15 });
const value = fc.uint8Array({ minLength: 1, maxLength: 64 });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,30}$/);
const big = fc.bigInt(0n, 2n ** 64n - 1n);
const yes = fc.constant(true as const);

/** Optional properties are left out, never undefined, as in a listing. */
function record(
	required: Record<string, fc.Arbitrary<unknown>>,
	optional: Record<string, fc.Arbitrary<unknown>> = {},
): fc.Arbitrary<Expression> {
	const requiredKeys = Object.keys(required);
	return fc.record({ ...required, ...optional }, { requiredKeys, noNullPrototype: true }) as unknown as fc.Arbitrary<Expression>;
}

const verdict: fc.Arbitrary<Verdict> = fc.oneof(
	fc.record({ verdict: fc.constantFrom('accept', 'drop', 'continue', 'return') }, { noNullPrototype: true }),
	fc.record({ verdict: fc.constantFrom('jump', 'goto'), chain: name }, { noNullPrototype: true }),
);
const natFlags = fc.subarray(['random', 'persistent', 'fully-random', 'netmap'] as const, { minLength: 1 });
const base = fc.constantFrom('link', 'network', 'transport', 'inner');

const expression: fc.Arbitrary<Expression> = fc.oneof(
	record({ kind: fc.constant('meta'), key: fc.constantFrom('mark', 'iifname', 'l4proto', 'nfproto', 'skuid'), dreg: register }),
	record({ kind: fc.constant('meta-set'), key: fc.constantFrom('mark', 'priority'), sreg: register }),
	record({ kind: fc.constant('payload'), base, offset: uint32, length: uint32, dreg: register }),
	record(
		{ kind: fc.constant('payload-set'), base, offset: uint32, length: uint32, sreg: register },
		{ checksumOffset: uint32, pseudoHeader: yes },
	),
	record(
		{ kind: fc.constant('ct'), key: fc.constantFrom('state', 'status', 'mark', 'dst_ip6', 'zone'), dreg: register },
		{ direction: fc.constantFrom('original', 'reply') },
	),
	record({ kind: fc.constant('ct-set'), key: fc.constant('mark'), sreg: register }),
	record({ kind: fc.constant('cmp'), op: fc.constantFrom('eq', 'neq', 'lt', 'lte', 'gt', 'gte'), sreg: register, data: value }),
	record({ kind: fc.constant('range'), op: fc.constantFrom('eq', 'neq'), sreg: register, from: value, to: value }),
	record({ kind: fc.constant('bitwise'), sreg: register, dreg: register, mask: value, xor: value }),
	record({
		kind: fc.constant('byteorder'),
		op: fc.constantFrom('ntoh', 'hton'),
		sreg: register,
		dreg: register,
		length: uint32,
		size: fc.constantFrom(2, 4, 8),
	}),
	record(
		{ kind: fc.constant('lookup'), set: name, sreg: register },
		{ setId: uint32, dreg: fc.oneof(register, fc.constant('verdict')), invert: yes },
	),
	record({ kind: fc.constant('immediate'), dreg: register, data: value }),
	verdict.map((each): Expression => ({ kind: 'verdict', ...each })),
	record({ kind: fc.constant('counter'), packets: big, bytes: big }),
	record(
		{ kind: fc.constant('log') },
		{
			prefix: name,
			group: fc.nat({ max: 65535 }),
			snapLength: uint32,
			queueThreshold: fc.nat({ max: 65535 }),
			level: fc.constantFrom(0, 1, 2, 3, 5, 6, 7),
			flags: uint32,
		},
	),
	record(
		{ kind: fc.constant('limit'), of: fc.constantFrom('packets', 'bytes'), rate: big, perSeconds: big, burst: uint32 },
		{ invert: yes },
	),
	record({ kind: fc.constant('connlimit'), count: uint32 }, { invert: yes }),
	record({ kind: fc.constant('reject'), with: fc.constantFrom('icmp', 'icmpx'), code: fc.nat({ max: 255 }) }),
	record({ kind: fc.constant('reject'), with: fc.constant('tcp-reset') }),
	record({ kind: fc.constant('masquerade') }, { flags: natFlags, protoMin: fc.constant(0), protoMax: fc.integer({ min: 1, max: 15 }) }),
	record(
		{ kind: fc.constant('nat'), type: fc.constantFrom('snat', 'dnat'), family: fc.constantFrom(4, 6), addressMin: fc.constant(0) },
		{ addressMax: fc.integer({ min: 1, max: 15 }), protoMin: fc.constant(4), protoMax: fc.integer({ min: 5, max: 15 }), flags: natFlags },
	),
	record({ kind: fc.constant('notrack') }),
	record(
		{
			kind: fc.constant('fib'),
			flags: fc.subarray(['saddr', 'daddr', 'mark', 'iif', 'oif'] as const),
			result: fc.constantFrom('oif', 'oifname', 'type'),
			dreg: register,
		},
		{ present: yes },
	),
);

function readBack(expressions: readonly Expression[]): readonly Expression[] {
	const list = Attributes.of(
		written((writer) => writeExpressions(writer, 4, expressions)),
		0,
	).nested(4);
	assert.ok(list !== undefined);
	return readExpressions(list);
}

test('every expression is read as it was written', () => {
	fc.assert(
		fc.property(fc.array(expression, { maxLength: 6 }), (expressions) => {
			assert.deepEqual(readBack(expressions), expressions);
		}),
		{ numRuns: 2000 },
	);
});

test('an unknown expression is kept byte for byte', () => {
	const quota: Expression = { kind: 'other', name: 'quota', attributes: Uint8Array.of(8, 0, 1, 0, 1, 2, 3, 4) };
	const odd: Expression = { kind: 'other', name: 'meta', attributes: Uint8Array.of(8, 0, 2, 0, 0, 0, 0, 99) };
	assert.deepEqual(readBack([quota, odd]), [quota, odd]);
});

test('a fingerprint tells expressions apart but for what counters have counted', () => {
	const counted: Expression = { kind: 'counter', packets: 5n, bytes: 300n };
	const fresh: Expression = { kind: 'counter', packets: 0n, bytes: 0n };
	assert.equal(expressionsFingerprint([counted]), expressionsFingerprint([fresh]));
	fc.assert(
		fc.property(expression, expression, (a, b) => {
			fc.pre(a.kind !== 'counter' || b.kind !== 'counter');
			assert.equal(expressionsFingerprint([a]) === expressionsFingerprint([b]), JSON.stringify(a, plain) === JSON.stringify(b, plain));
		}),
	);
});

const plain = (_: string, each: unknown): unknown => (typeof each === 'bigint' ? String(each) : each);

test('values that the kernel has no room for are refused', () => {
	const bad: readonly Expression[] = [
		{ kind: 'meta', key: 'mark', dreg: 16 },
		{ kind: 'meta', key: 'mark', dreg: 0.5 },
		{ kind: 'cmp', op: 'eq', sreg: 0, data: new Uint8Array(65) },
		{ kind: 'cmp', op: 'eq', sreg: 0, data: new Uint8Array() },
		{ kind: 'verdict', verdict: 'jump', chain: '' },
		{ kind: 'log', prefix: 'x'.repeat(128) },
		{ kind: 'lookup', set: 'x'.repeat(256), sreg: 0 },
		{ kind: 'nat', type: 'dnat', family: 4 },
	];
	for (const each of bad)
		assert.throws(
			() => readBack([each]),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
			each.kind,
		);
});

const comment = { comment: 'two words "quoted" – and more' };
const chains: readonly Chain[] = [
	{ name: 'plain' },
	{ name: 'base', base: { type: 'nat', hook: 'postrouting', priority: 110, policy: 'accept' }, ...comment },
	{ name: 'early', base: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'drop' } },
];

test('tables, chains and rules are read as they were written, and those of other tables are left out', () => {
	const named = written(
		afterHeader((writer) => {
			writeTable(writer, { ...table, ...comment });
			writer.be64(4, 9n);
		}),
	);
	assert.deepEqual(readTable(named), { ...table, ...comment, handle: 9n });
	for (const chain of chains) {
		const message = written(afterHeader((writer) => writeChain(writer, table, chain)));
		assert.deepEqual(readChain(message, table), chain);
		assert.equal(readChain(message, { ...table, name: 'other' }), undefined);
		assert.equal(readChain(message, { ...table, family: 'ip' }), undefined);
	}
	const rule: Rule = { chain: 'c', expressions: [{ kind: 'verdict', verdict: 'drop' }], ...comment };
	const message = written(
		afterHeader((writer) => {
			writeRule(writer, table, rule);
			writeRuleHandle(writer, 2n ** 40n);
		}),
	);
	assert.deepEqual(readRule(message, table), { ...rule, handle: 2n ** 40n });
});

test('a base chain needs a hook that its family has', () => {
	const chain: Chain = { name: 'c', base: { type: 'filter', hook: 'postrouting', priority: 0, policy: 'accept' } };
	assert.throws(
		() => written((writer) => writeChain(writer, { family: 'arp', name: 't' }, chain)),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
	for (const text of ['x'.repeat(128), 'a\0b'])
		assert.throws(
			() => written((writer) => writeChain(writer, table, { name: 'c', comment: text })),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
});

const sets: readonly SetSpec[] = [
	{ name: 'a', key: ['ipv4_addr'] },
	{ name: 'b', key: ['ifname', 'ipv6_addr'], interval: true, comment: 'ranges' },
	{ name: 'c', key: ['ipv6_addr', 'inet_proto', 'inet_service'] },
	{ name: 'd', key: ['ifname'], data: 'verdict' },
	{ name: 'e', key: ['ipv4_addr'], data: 'ipv4_addr', interval: true },
	{ name: '__set%d', key: ['mark'], anonymous: true, constant: true },
];

test('sets are read as they were written', () => {
	for (const set of sets) assert.deepEqual(readSet(written(afterHeader((writer) => writeSet(writer, table, set, 1, 5))), table), set);
	for (const key of [[], ['mark', 'mark', 'mark', 'mark', 'mark', 'mark']] as const)
		assert.throws(
			() => written((writer) => writeSet(writer, table, { name: 's', key }, 1, undefined)),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
});

function elementMessages(set: SetSpec, elements: readonly SetElement[]): readonly NetlinkMessage[] {
	const messages: NetlinkMessage[] = [];
	const all = written((writer) => {
		writer.end();
		writeElements(writer, set, elements, () => {
			writer.begin(100, 0, 2);
			writer.header(NFGENMSG_BYTES).setUint8(0, INET);
			writeElementsHeader(writer, table, set.name);
		});
	});
	messages.push(...readMessages(new Uint8Array(all.view.buffer, all.view.byteOffset, all.view.byteLength)).slice(1));
	return messages;
}

test('elements of a hash are read as they were written, in as many messages as they need', () => {
	const set: SetSpec = { name: 's', key: ['ipv4_addr'], data: 'verdict' };
	fc.assert(
		fc.property(
			fc.array(fc.record({ key: fc.uint8Array({ minLength: 4, maxLength: 4 }), data: verdict }, { noNullPrototype: true })),
			(elements) => {
				assert.deepEqual(joinElements(set, elementMessages(set, elements).flatMap(readElements)), elements);
			},
		),
	);
	const many = Array.from({ length: 20_000 }, (_, index) => ({ key: Uint8Array.of(10, 0, index >> 8, index & 0xff) }));
	const plainSet: SetSpec = { name: 's', key: ['ipv4_addr'] };
	const messages = elementMessages(plainSet, many);
	assert.ok(messages.length > 5);
	assert.deepEqual(joinElements(plainSet, messages.flatMap(readElements)), many);
});

test('ranges are read as they were written, in any order, adjacent ones kept apart', () => {
	const tree: SetSpec = { name: 's', key: ['inet_service'], interval: true };
	const boundaries = fc.uniqueArray(fc.nat({ max: 65535 }), { minLength: 2, maxLength: 40 });
	const key = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff);
	fc.assert(
		fc.property(boundaries, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), (ports, keep) => {
			const sorted = ports.toSorted((a, b) => a - b);
			const ranges: SetElement[] = [];
			for (const [index, first] of sorted.entries()) {
				const last = (sorted[index + 1] ?? 65_536) - 1;
				if (keep[index] === true) ranges.push(first === last ? { key: key(first) } : { key: key(first), keyEnd: key(last) });
			}
			const listed = elementMessages(tree, ranges.toReversed()).flatMap(readElements).toReversed();
			assert.deepEqual(joinElements(tree, listed), ranges);
		}),
	);
});

test('elements that do not fit their set are refused, and the batch is as before', () => {
	const set: SetSpec = { name: 's', key: ['ipv4_addr'] };
	const map: SetSpec = { name: 'm', key: ['ipv4_addr'], data: 'ipv4_addr' };
	const address = Uint8Array.of(10, 0, 0, 1);
	const batch = new NftBatch();
	batch.addTable(table);
	const before = batch.byteLength;
	for (const [spec, element] of [
		[set, { key: Uint8Array.of(1, 2, 3) }],
		[set, { key: address, keyEnd: address }],
		[map, { key: address }],
	] as const)
		assert.throws(
			() => batch.addElements(table, spec, [{ key: address, data: address }, element]),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
	assert.deepEqual([batch.operationCount, batch.byteLength], [1, before]);
	batch.addElements(table, set, []);
	assert.equal(batch.operationCount, 1, 'no elements, no operation');
});

test('a batch knows which operation each message belongs to', () => {
	const batch = new NftBatch();
	const set: SetSpec = { name: 'members', key: ['ipv4_addr'] };
	batch.addTable(table);
	batch.addElements(
		table,
		set,
		Array.from({ length: 5000 }, (_, index) => ({ key: Uint8Array.of(10, 0, index >> 8, index & 0xff) })),
	);
	batch.flushChain(table, 'c');
	const messages = readMessages(batch.finish());
	const operations = messages.map(({ sequence }) => batch.operationOf(sequence));
	assert.deepEqual([operations[0], operations[1], operations.at(-2), operations.at(-1)], [-1, 0, 2, -1]);
	assert.ok(operations.slice(2, -2).every((operation) => operation === 1) && operations.length > 5);
	assert.deepEqual(
		[0, 1, 2, -1].map((operation) => batch.describe(operation)),
		['add table inet tortie', 'add elements inet tortie members', 'flush chain inet tortie c', 'the transaction as a whole'],
	);
	assert.equal(messages.at(-2)?.sequence, batch.lastSequence);
	assert.throws(
		() => batch.addTable(table),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
});

test('listings made of arbitrary bytes give an error of the room or a value, nothing else', () => {
	const rule: Rule = { chain: 'c', expressions: fc.sample(expression, { numRuns: 40, seed: 1 }), comment: 'x' };
	const map: SetSpec = { name: 'm', key: ['ipv4_addr'], data: 'verdict', interval: true };
	const writeSomeElements = (writer: MessageWriter): void => {
		writeElements(writer, map, [{ key: Uint8Array.of(10, 0, 0, 0), data: { verdict: 'goto', chain: 'c' } }], () =>
			writeElementsHeader(writer, table, 'm'),
		);
	};
	assertSafeDecoder(
		readTable,
		afterHeader((writer) => writeTable(writer, { ...table, comment: 'c' })),
	);
	assertSafeDecoder(
		(message) => readChain(message, table),
		afterHeader((writer) => writeChain(writer, table, chains[1] as Chain)),
	);
	assertSafeDecoder(
		(message) => readRule(message, table),
		afterHeader((writer) => writeRule(writer, table, rule)),
	);
	assertSafeDecoder(
		(message) => readSet(message, table),
		afterHeader((writer) => writeSet(writer, table, sets[1] as SetSpec, 1, undefined)),
	);
	assertSafeDecoder((message) => joinElements(map, readElements(message)), afterHeader(writeSomeElements));
	for (const type of [0, 3, 6, 9, 12, 15])
		assertSafeDecoder(
			readNftEvent,
			afterHeader((writer) => writeChain(writer, table, chains[0] as Chain)),
			(10 << 8) | type,
		);
});

test('a prefix of no length has nothing to compare, and cannot be excluded', () => {
	assert.deepEqual(matchPrefix('ip saddr', cidr('0.0.0.0/0')), []);
	for (const [field, prefix] of [
		['ip saddr', 'fd00::/8'],
		['ip6 saddr', '10.0.0.0/8'],
	] as const)
		assert.throws(
			() => matchPrefix(field, cidr(prefix)),
			(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
		);
	assert.throws(
		() => matchPrefix('ip saddr', cidr('0.0.0.0/0'), 'neq'),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
});

test('a mark is kept and set bit by bit', () => {
	const [, bits] = setMark(0xffff0000, 0x80010000);
	assert.deepEqual(bits, { kind: 'bitwise', sreg: 0, dreg: 0, mask: Uint8Array.of(0, 0, 0xfe, 0x7f), xor: Uint8Array.of(0, 0, 1, 0x80) });
});
