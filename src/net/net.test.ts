import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
	type Cidr,
	cidr,
	cidrContains,
	cidrContainsIp,
	cidrLast,
	cidrNth,
	cidrSize,
	formatIp,
	hostCidr,
	type Ip,
	ip,
	ipBytes,
	ipFromBigInt,
	ipToBigInt,
	PrefixTable,
	parseCidr,
	parseIp,
	parseMac,
} from './index.ts';

const anyBytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
const anyIp: fc.Arbitrary<Ip> = anyBytes.map(formatIp);
const anyCidr: fc.Arbitrary<Cidr> = fc.tuple(anyIp, fc.nat(128)).map(([address, length]) => {
	const bits = ipBytes(address).length * 8;
	return cidr(`${address}/${length % (bits + 1)}`);
});

test('canonical forms', () => {
	const table: readonly (readonly [string, string | undefined])[] = [
		['192.0.2.1', '192.0.2.1'],
		['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
		['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
		['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
		['::', '::'],
		['1::', '1::'],
		['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
		['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
		['010.0.0.1', undefined],
		['1.2.3', undefined],
		['0x7f.1', undefined],
		['256.1.1.1', undefined],
		['1.2.3.4.', undefined],
		['1::2::3', undefined],
		['g::1', undefined],
		['1:2:3:4:5:6:7', undefined],
		['1:2:3:4:5:6:7:8:9', undefined],
		['1:2:3:4:5:6:7::8', undefined],
		['fe80::1%eth0', undefined],
		['1.2.3.4::', undefined],
		['', undefined],
	];
	for (const [text, expected] of table) assert.equal(parseIp(text), expected, text);
});

test('what parses is what node:net calls an address, and parsing is idempotent', () => {
	const texts = fc.oneof(anyIp, fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.%/ '.split('')), maxLength: 24 }));
	fc.assert(
		fc.property(texts, (text) => {
			// '1:2:3:4:5:6:7::' (one group compressed) is legal on input, as node:net says
			const parsed = parseIp(text);
			if (text.includes('%')) assert.equal(parsed, undefined);
			else if (/::/.test(text)) assert.ok(parsed === undefined || isIP(text) === 6);
			else assert.equal(parsed !== undefined, isIP(text) !== 0);
			if (parsed !== undefined) assert.equal(parseIp(parsed), parsed);
		}),
		{ numRuns: 3000 },
	);
});

test('bytes and numbers round-trip', () => {
	fc.assert(
		fc.property(anyIp, (address) => {
			assert.equal(formatIp(ipBytes(address)), address);
			assert.equal(ipFromBigInt(address.includes(':') ? 6 : 4, ipToBigInt(address)), address);
		}),
	);
});

test('prefixes are masked, bounded and exact', () => {
	assert.equal(parseCidr('10.1.2.3/8'), '10.0.0.0/8');
	assert.equal(parseCidr('10.1.2.3'), '10.1.2.3/32');
	assert.equal(parseCidr('2001:db8::1/64'), '2001:db8::/64');
	for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/08', '::/129', '/8', '10.0.0.0/-1'])
		assert.equal(parseCidr(bad), undefined, bad);
	assert.equal(cidrSize(cidr('10.0.0.0/26')), 64n);
	assert.equal(cidrNth(cidr('10.0.0.64/26'), 63), '10.0.0.127');
	assert.equal(cidrLast(cidr('fd00::/122')), 'fd00::3f');
	assert.ok(cidrContains(cidr('0.0.0.0/0'), cidr('10.0.0.0/8')));
	assert.ok(!cidrContainsIp(cidr('0.0.0.0/0'), ip('::1')));
});

test('a prefix table agrees with a linear search', () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(anyCidr, fc.boolean()), { maxLength: 40 }), fc.array(anyIp, { maxLength: 10 }), (operations, probes) => {
			const table = new PrefixTable<number>();
			const model = new Map<Cidr, number>();
			for (const [index, [prefix, keep]] of operations.entries()) {
				if (keep) {
					table.set(prefix, index);
					model.set(prefix, index);
				} else assert.equal(table.delete(prefix), model.delete(prefix));
			}
			assert.equal(table.size, model.size);
			assert.deepEqual(new Map([...table].map(({ prefix, value }) => [prefix, value])), model);
			for (const probe of [...probes, ...[...model.keys()].map((prefix) => cidrLast(prefix))]) {
				const expected = [...model.keys()]
					.filter((prefix) => cidrContainsIp(prefix, probe))
					.sort((a, b) => Number(b.split('/')[1]) - Number(a.split('/')[1]))[0];
				assert.equal(table.longestMatch(probe)?.prefix, expected);
				const covering = [...table.covering(hostCidr(probe))].map(({ prefix }) => prefix);
				assert.deepEqual(new Set(covering), new Set([...model.keys()].filter((prefix) => cidrContainsIp(prefix, probe))));
			}
			for (const prefix of model.keys())
				assert.deepEqual(
					new Set([...table.coveredBy(prefix)].map((entry) => entry.prefix)),
					new Set([...model.keys()].filter((other) => cidrContains(prefix, other))),
				);
		}),
	);
});

test('MAC addresses', () => {
	assert.equal(parseMac('EE-EE-EE-EE-EE-0A'), 'ee:ee:ee:ee:ee:0a');
	assert.equal(parseMac('eeee.eeee.ee0a'), 'ee:ee:ee:ee:ee:0a');
	assert.equal(parseMac('ee:ee:ee:ee:ee'), undefined);
	assert.equal(parseMac('ee:ee:ee-ee:ee:ee'), undefined);
});
