import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NextHopTable } from '../rib/next-hop.ts';
import { describeNotification } from '../wire/notification.ts';
import { asNumbers, asPathLength, isAsPath, mergeAs4Path, narrowAsPath, prependAs, widenAsPath } from './as-path.ts';
import { type AttributeSet, AttributeTable } from './attribute-set.ts';
import { parseCommunities } from './community.ts';
import { type AttributeContext, AttributeParser } from './parse.ts';
import { AttributeRewriter } from './rewrite.ts';

const ORIGIN = [0x40, 1, 1, 0];
const AS_PATH = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP = [0x40, 3, 4, 192, 0, 2, 1];
const GOOD = [...ORIGIN, ...AS_PATH, ...NEXT_HOP];
const V6 = [0x20, 1, 0x0d, 0xb8, ...Array<number>(11).fill(0), 1];
const MP_REACH = [0x80, 14, 28, 0, 2, 1, 16, ...V6, 0, 48, 0x20, 1, 0x0d, 0xb8, 0, 1];

const EXTERNAL: AttributeContext = { external: true, as4: true, localAs: 65000, allowedLocalAs: 0, routerId: 1, clusterId: 7 };
const INTERNAL: AttributeContext = { ...EXTERNAL, external: false, localAs: 65001 - 1 };

function tables(): { readonly table: AttributeTable; readonly parser: AttributeParser; readonly rewriter: AttributeRewriter } {
	const table = new AttributeTable(new NextHopTable(() => undefined));
	return { table, parser: new AttributeParser(table), rewriter: new AttributeRewriter(table) };
}

/** What becomes of an UPDATE with plain NLRI and these attributes. */
function fate(attributes: readonly number[], context: AttributeContext = EXTERNAL, hasNlri = true): string {
	const bytes = Uint8Array.from(attributes);
	const result = tables().parser.parse(bytes, 0, bytes.length, hasNlri, context);
	if ('type' in result) return `reset: ${describeNotification(result)}`;
	return result.withdraw === undefined
		? `good: ${[...types(result.plain ?? result.reach?.attributes)].join()}`
		: `withdraw: ${result.withdraw}`;
}

function* types(set: AttributeSet | undefined): Generator<number> {
	const bytes = Buffer.from(set?.key.slice(0, set.wireLength) ?? '', 'latin1');
	for (let offset = 0; offset < bytes.length; ) {
		const extended = (bytes.readUInt8(offset) & 0x10) !== 0;
		yield bytes.readUInt8(offset + 1);
		offset += extended ? 4 + bytes.readUInt16BE(offset + 2) : 3 + bytes.readUInt8(offset + 2);
	}
}

test('each malformed attribute meets the fate that RFC 7606 gives it', () => {
	const table: readonly (readonly [name: string, attributes: readonly number[], fate: string])[] = [
		['all good', GOOD, 'good: 1,2,3'],
		['any order', [...NEXT_HOP, ...AS_PATH, ...ORIGIN], 'good: 1,2,3'],
		['no ORIGIN', [...AS_PATH, ...NEXT_HOP], 'withdraw: ORIGIN is missing'],
		['no AS_PATH', [...ORIGIN, ...NEXT_HOP], 'withdraw: AS_PATH is missing'],
		['no NEXT_HOP', [...ORIGIN, ...AS_PATH], 'withdraw: NEXT_HOP is missing'],
		['nothing at all', [], 'withdraw: ORIGIN is missing'],
		['ORIGIN empty', [0x40, 1, 0, ...AS_PATH, ...NEXT_HOP], 'withdraw: attribute 1 is malformed'],
		['ORIGIN 3', [0x40, 1, 1, 3, ...AS_PATH, ...NEXT_HOP], 'withdraw: attribute 1 is malformed'],
		['ORIGIN optional', [0xc0, 1, 1, 0, ...AS_PATH, ...NEXT_HOP], 'withdraw: attribute 1 is malformed'],
		['AS_PATH empty', [...ORIGIN, 0x40, 2, 0, ...NEXT_HOP], 'good: 1,2,3'],
		['AS_PATH segment empty', [...ORIGIN, 0x40, 2, 2, 2, 0, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['AS_PATH segment too long', [...ORIGIN, 0x40, 2, 6, 2, 2, 0, 0, 1, 1, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['AS_PATH segment type 9', [...ORIGIN, 0x40, 2, 6, 9, 1, 0, 0, 1, 1, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['AS_PATH confederation', [...ORIGIN, 0x40, 2, 6, 3, 1, 0, 0, 1, 1, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['AS_PATH with AS 0', [...ORIGIN, 0x40, 2, 6, 2, 1, 0, 0, 0, 0, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['AS_PATH cut', [...ORIGIN, 0x40, 2, 1, 2, ...NEXT_HOP], 'withdraw: attribute 2 is malformed'],
		['NEXT_HOP of 3', [...ORIGIN, ...AS_PATH, 0x40, 3, 3, 1, 2, 3], 'withdraw: attribute 3 is malformed'],
		['NEXT_HOP of 0', [...ORIGIN, ...AS_PATH, 0x40, 3, 0], 'withdraw: attribute 3 is malformed'],
		['NEXT_HOP multicast', [...ORIGIN, ...AS_PATH, 0x40, 3, 4, 224, 0, 0, 1], 'withdraw: attribute 3 is malformed'],
		['NEXT_HOP 0.0.0.0', [...ORIGIN, ...AS_PATH, 0x40, 3, 4, 0, 0, 0, 0], 'withdraw: attribute 3 is malformed'],
		['MED of 3', [...GOOD, 0x80, 4, 3, 0, 0, 1], 'withdraw: attribute 4 is malformed'],
		['LOCAL_PREF from outside', [...GOOD, 0x40, 5, 4, 0, 0, 0, 1], 'good: 1,2,3'],
		['bad LOCAL_PREF from outside', [...GOOD, 0x40, 5, 1, 0], 'good: 1,2,3'],
		['ATOMIC_AGGREGATE with content', [...GOOD, 0x40, 6, 1, 0], 'good: 1,2,3'],
		['AGGREGATOR of 6 from a four-octet speaker', [...GOOD, 0xc0, 7, 6, 0, 1, 1, 1, 1, 1], 'good: 1,2,3'],
		['AGGREGATOR of 8', [...GOOD, 0xc0, 7, 8, 0, 0, 0, 1, 1, 1, 1, 1], 'good: 1,2,3,7'],
		['communities of 5', [...GOOD, 0xc0, 8, 5, 0, 1, 0, 1, 0], 'withdraw: attribute 8 is malformed'],
		['communities of 0', [...GOOD, 0xc0, 8, 0], 'withdraw: attribute 8 is malformed'],
		['communities without transitive', [...GOOD, 0x80, 8, 4, 0, 1, 0, 1], 'withdraw: attribute 8 is malformed'],
		['extended communities of 7', [...GOOD, 0xc0, 16, 7, 0, 0, 0, 0, 0, 0, 0], 'withdraw: attribute 16 is malformed'],
		['large communities of 11', [...GOOD, 0xc0, 32, 11, ...Array<number>(11).fill(1)], 'withdraw: attribute 32 is malformed'],
		['ORIGINATOR_ID from outside', [...GOOD, 0x80, 9, 4, 1, 1, 1, 1], 'good: 1,2,3'],
		['CLUSTER_LIST from outside', [...GOOD, 0x80, 10, 3, 1, 1, 1], 'good: 1,2,3'],
		['AS4_PATH from a four-octet speaker', [...GOOD, 0xc0, 17, 3, 1, 1, 1], 'good: 1,2,3'],
		['unknown transitive', [...GOOD, 0xc0, 99, 2, 1, 1], 'good: 1,2,3,99'],
		['unknown transitive, zero length', [...GOOD, 0xc0, 23, 0], 'good: 1,2,3,23'],
		['unknown not transitive', [...GOOD, 0x80, 99, 2, 1, 1], 'good: 1,2,3'],
		['unknown well-known', [...GOOD, 0x40, 99, 2, 1, 1], 'withdraw: attribute 99 is malformed'],
		['the first of two counts', [...GOOD, 0x40, 1, 1, 9], 'good: 1,2,3'],
		['value past the end', [...GOOD, 0xc0, 8, 200, 0, 1], 'withdraw: attribute 8 is cut off'],
		['length octet missing', [...GOOD, 0xc0, 8], 'withdraw: attribute list is cut off'],
		['half an extended length', [...GOOD, 0xd0, 8, 0], 'withdraw: attribute list is cut off'],
		['MP_REACH twice', [...GOOD, ...MP_REACH, ...MP_REACH], 'reset: UPDATE message error: malformed attribute list'],
		['MP_UNREACH twice', [...GOOD, 0x80, 15, 3, 0, 2, 1, 0x80, 15, 3, 0, 2, 1], 'reset: UPDATE message error: malformed attribute list'],
		['MP_REACH of 4', [...GOOD, 0x80, 14, 4, 0, 2, 1, 16], 'reset: UPDATE message error: malformed attribute list'],
		['MP_REACH next hop past the end', [...GOOD, 0x80, 14, 5, 0, 2, 1, 16, 0], 'reset: UPDATE message error: malformed attribute list'],
		[
			'MP_REACH next hop of 4 for IPv6',
			[...GOOD, 0x80, 14, 9, 0, 2, 1, 4, 1, 1, 1, 1, 0],
			'reset: UPDATE message error: malformed attribute list',
		],
		['MP_UNREACH of 2', [...GOOD, 0x80, 15, 2, 0, 2], 'reset: UPDATE message error: malformed attribute list'],
		['MP_REACH of an unknown family', [...GOOD, 0x80, 14, 5, 0, 25, 65, 0, 0], 'good: 1,2,3'],
		['our own AS', [...ORIGIN, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, ...NEXT_HOP], 'withdraw: AS_PATH holds our own AS'],
	];
	for (const [name, attributes, expected] of table) assert.equal(fate(attributes), expected, name);
});

test('attributes of internal peers', () => {
	const table: readonly (readonly [name: string, attributes: readonly number[], fate: string])[] = [
		['LOCAL_PREF', [...GOOD, 0x40, 5, 4, 0, 0, 0, 1], 'good: 1,2,3,5'],
		['LOCAL_PREF of 3', [...GOOD, 0x40, 5, 3, 0, 0, 1], 'withdraw: attribute 5 is malformed'],
		['reflected', [...GOOD, 0x80, 9, 4, 1, 1, 1, 1, 0x80, 10, 4, 2, 2, 2, 2], 'good: 1,2,3,9,10'],
		['ORIGINATOR_ID is ours', [...GOOD, 0x80, 9, 4, 0, 0, 0, 1], 'withdraw: ORIGINATOR_ID is our own'],
		['ORIGINATOR_ID of 3', [...GOOD, 0x80, 9, 3, 0, 0, 1], 'withdraw: attribute 9 is malformed'],
		['CLUSTER_LIST has ours', [...GOOD, 0x80, 10, 8, 1, 1, 1, 1, 0, 0, 0, 7], 'withdraw: CLUSTER_LIST holds our own cluster'],
		['CLUSTER_LIST empty', [...GOOD, 0x80, 10, 0], 'withdraw: attribute 10 is malformed'],
	];
	for (const [name, attributes, expected] of table) assert.equal(fate(attributes, INTERNAL), expected, name);
});

test('an error in a message without routes ends the session, since routes may have been lost', () => {
	assert.equal(fate([0x40, 1, 1, 9], EXTERNAL, false), 'reset: UPDATE message error: malformed attribute list');
	assert.equal(fate([0xc0, 99, 9, 1], EXTERNAL, false), 'reset: UPDATE message error: malformed attribute list');
	assert.equal(fate(ORIGIN, EXTERNAL, false), 'good: ');
});

test('IPv6 routes need no NEXT_HOP, and a bad one beside them is ignored', () => {
	assert.equal(fate([...ORIGIN, ...AS_PATH, ...MP_REACH], EXTERNAL, false), 'good: 1,2');
	assert.equal(fate([...ORIGIN, ...AS_PATH, 0x40, 3, 1, 0, ...MP_REACH], EXTERNAL, false), 'good: 1,2');
	assert.equal(fate([...AS_PATH, ...MP_REACH], EXTERNAL, false), 'withdraw: ORIGIN is missing');
});

test('our own AS may occur as often as configured', () => {
	const twice = [...ORIGIN, 0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe8, ...NEXT_HOP];
	assert.equal(fate(twice, { ...EXTERNAL, allowedLocalAs: 1 }), 'withdraw: AS_PATH holds our own AS');
	assert.equal(fate(twice, { ...EXTERNAL, allowedLocalAs: 2 }), 'good: 1,2,3');
});

test('any bytes are parsed, treated as withdrawn or answered, and change no later result', () => {
	const { parser, table } = tables();
	const noise = fc.uint8Array({ maxLength: 120 });
	const piece = fc.constantFrom(ORIGIN, AS_PATH, NEXT_HOP, MP_REACH, [0xc0, 8, 4, 0, 1, 0, 1], [0x80, 15, 3, 0, 2, 1], [0x50, 2, 0, 2, 1]);
	const mutated = fc
		.tuple(fc.array(piece, { maxLength: 8 }), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }))
		.map(([pieces, changes]) => {
			const bytes = Uint8Array.from(pieces.flat());
			for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
			return bytes;
		});
	const context = fc.record({ ...Object.fromEntries(Object.entries(EXTERNAL).map(([key, value]) => [key, fc.constant(value)])) });
	fc.assert(
		fc.property(fc.oneof(noise, mutated), fc.boolean(), fc.boolean(), fc.boolean(), context, (bytes, external, as4, hasNlri, base) => {
			const result = parser.parse(bytes, 0, bytes.length, hasNlri, { ...(base as unknown as AttributeContext), external, as4 });
			if (!('type' in result))
				for (const set of [result.plain, result.reach?.attributes]) {
					if (set === undefined) continue;
					table.retain(set);
					table.release(set);
				}
			assert.equal(table.size, 0);
		}),
		{ numRuns: 20_000 },
	);
	const good = parser.parse(Uint8Array.from(GOOD), 0, GOOD.length, true, EXTERNAL);
	assert.ok(!('type' in good) && good.plain?.neighborAs === 65001);
});

const path = fc
	.array(fc.tuple(fc.constantFrom(1, 2), fc.array(fc.integer({ min: 1, max: 0xffffffff }), { minLength: 1, maxLength: 5 })), {
		maxLength: 3,
	})
	.map((segments) =>
		Uint8Array.from(
			segments.flatMap(([type, numbers]) => [
				type,
				numbers.length,
				...numbers.flatMap((n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]),
			]),
		),
	);

test('prepending puts numbers in front, leftmost first, and never makes a segment of more than 255', () => {
	fc.assert(
		fc.property(path, fc.array(fc.integer({ min: 1, max: 0xffffffff }), { maxLength: 300 }), (old, numbers) => {
			const result = prependAs(old, numbers);
			assert.ok(isAsPath(result, 0, result.length, 4));
			assert.deepEqual(asNumbers(result, 0, result.length), [...numbers, ...asNumbers(old, 0, old.length)]);
			assert.equal(asPathLength(result, 0, result.length), asPathLength(old, 0, old.length) + numbers.length);
		}),
		{ numRuns: 200 },
	);
});

test('a path survives a hop over a speaker of two-octet AS numbers', () => {
	fc.assert(
		fc.property(path, (original) => {
			const { path: narrow, lossy } = narrowAsPath(original);
			const widened = widenAsPath(narrow, 0, narrow.length);
			assert.equal(
				lossy,
				asNumbers(original, 0, original.length).some((number) => number > 0xffff),
			);
			assert.deepEqual(mergeAs4Path(widened, original), original);
			const longer = prependAs(widened, [7]);
			const merged = mergeAs4Path(longer, original);
			assert.deepEqual(asNumbers(merged, 0, merged.length), [7, ...asNumbers(original, 0, original.length)]);
		}),
	);
	assert.deepEqual(mergeAs4Path(prependAs(new Uint8Array(), [1]), prependAs(new Uint8Array(), [2, 3])), prependAs(new Uint8Array(), [1]));
});

test('equal attributes are one set, whatever their order and flags on the wire, and are freed with the last reference', () => {
	const { table, parser } = tables();
	const parse = (attributes: readonly number[]): AttributeSet => {
		const result = parser.parse(Uint8Array.from(attributes), 0, attributes.length, true, EXTERNAL);
		if ('type' in result || result.plain === undefined) throw new Error('not parsed');
		table.retain(result.plain);
		return result.plain;
	};
	const first = parse(GOOD);
	const second = parse([...NEXT_HOP, 0x50, 1, 0, 1, 0, ...AS_PATH]);
	assert.equal(first, second);
	assert.equal(table.get(first.id), first);
	const { id } = first;
	table.release(first);
	assert.equal(table.size, 1);
	table.release(second);
	assert.equal(table.size, 0);
	assert.equal(parse([...GOOD, 0x80, 4, 4, 0, 0, 0, 5]).id, id);
});

test('what matters for selection is read from the attributes', () => {
	const { parser } = tables();
	const attributes = [
		...[0x40, 1, 1, 2],
		...[0x40, 2, 20, 2, 2, 0, 0, 0, 9, 0, 0, 0, 8, 1, 2, 0, 0, 0, 7, 0, 0, 0, 6],
		...NEXT_HOP,
		...[0x80, 4, 4, 0, 0, 1, 0],
		...[0x40, 5, 4, 0x7f, 0xff, 0xff, 0xff],
		...[0x80, 9, 4, 1, 2, 3, 4],
		...[0x80, 10, 8, 1, 1, 1, 1, 2, 2, 2, 2],
		...[0xc0, 8, 8, 0xff, 0xff, 0xff, 0x01, 0xff, 0xff, 0xff, 0x02],
	];
	const result = parser.parse(Uint8Array.from(attributes), 0, attributes.length, true, INTERNAL);
	assert.ok(!('type' in result));
	const {
		origin,
		asPathLength: length,
		neighborAs,
		med,
		localPreference,
		originatorId,
		clusterListLength,
		noExport,
		noAdvertise,
	} = result.plain as AttributeSet;
	assert.deepEqual(
		{ origin, length, neighborAs, med, localPreference, originatorId, clusterListLength, noExport, noAdvertise },
		{
			origin: 2,
			length: 3,
			neighborAs: 9,
			med: 256,
			localPreference: 0x7fffffff,
			originatorId: 0x01020304,
			clusterListLength: 2,
			noExport: true,
			noAdvertise: true,
		},
	);
	assert.equal(result.plain?.nextHop?.address, '192.0.2.1');
});

test('GRACEFUL_SHUTDOWN makes a route the last choice (RFC 8326)', () => {
	const attributes = [...GOOD, 0xc0, 8, 4, 0xff, 0xff, 0, 0];
	const result = tables().parser.parse(Uint8Array.from(attributes), 0, attributes.length, true, EXTERNAL);
	assert.equal(!('type' in result) && result.plain?.localPreference, 0);
});

test('rewriting changes what it is told to and keeps the order of types', () => {
	const { parser, rewriter } = tables();
	const attributes = [
		...GOOD,
		0x80,
		4,
		4,
		0,
		0,
		0,
		5,
		0xc0,
		8,
		4,
		0,
		1,
		0,
		2,
		0xc0,
		16,
		16,
		0x40,
		2,
		0,
		0,
		0,
		0,
		0,
		1,
		0,
		2,
		0,
		0,
		0,
		0,
		0,
		2,
		0xc0,
		99,
		1,
		1,
	];
	const result = parser.parse(Uint8Array.from(attributes), 0, attributes.length, true, EXTERNAL);
	assert.ok(!('type' in result) && result.plain !== undefined);
	const changed = rewriter.rewrite(result.plain, {
		nextHop: String.fromCharCode(203, 0, 113, 9),
		prepend: [65000],
		localPreference: 200,
		removeMed: true,
		reflection: { originatorId: 5, clusterId: 6 },
		addCommunities: parseCommunities(['1:2', '3:4', '5:6:7']),
		external: true,
	});
	assert.deepEqual([...types(changed)], [1, 2, 3, 5, 8, 9, 10, 16, 32, 99]);
	assert.equal(changed?.nextHop?.address, '203.0.113.9');
	assert.equal(changed?.asPathLength, 2);
	assert.equal(changed?.neighborAs, 65000);
	assert.equal(changed?.localPreference, 200);
	assert.equal(changed?.originatorId, 5);
	const bytes = Buffer.from(changed?.key ?? '', 'latin1').toString('hex');
	assert.ok(bytes.includes('c00808' + '00010002' + '00030004'), 'communities are merged without repetition');
	assert.ok(bytes.includes('c01008' + '0002000000000002'), 'a non-transitive extended community stays inside the AS');
	assert.ok(bytes.includes('e0630101'), 'an unknown attribute is passed on as partial');
	assert.ok(changed !== undefined);
	const back = rewriter.rewrite(changed, { localPreference: 'remove', reflection: 'remove' });
	assert.deepEqual([...types(back)], [1, 2, 3, 8, 16, 32, 99]);
});

test('a route of our own gets a next hop of either family', () => {
	const { rewriter } = tables();
	const own = rewriter.own();
	assert.equal(own.nextHop, undefined);
	const four = rewriter.rewrite(own, { nextHop: String.fromCharCode(192, 0, 2, 7) });
	const six = rewriter.rewrite(own, { nextHop: String.fromCharCode(...V6) });
	assert.deepEqual([...types(four)], [1, 2, 3]);
	assert.deepEqual([...types(six)], [1, 2]);
	assert.equal(six?.nextHop?.address, '2001:db8::1');
	assert.notEqual(six, own);
});

test('communities are read as written, and nothing else', () => {
	assert.deepEqual(parseCommunities(['65535:65281', '4294967295:0:1']), { standard: [0xffffff01], large: [[0xffffffff, 0, 1]] });
	for (const bad of ['', '1', '65536:1', '1:65536', '1:2:3:4', 'a:b', '1:', '-1:1', '1:2:4294967296', ' 1:2'])
		assert.throws(() => parseCommunities([bad]), { code: 'BGP_BAD_CONFIG' }, bad);
});
