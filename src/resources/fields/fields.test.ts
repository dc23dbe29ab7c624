import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nearestName } from '../nearest.ts';
import { parseAsNumber } from './as-number.ts';
import { isCommunity } from './community.ts';
import { parseDurationMs } from './duration.ts';
import { isLabelValue, isQualifiedName } from './names.ts';
import { parsePort } from './port.ts';
import { parseProtocol, protocolHasPorts, protocolName, protocolNumber } from './protocol.ts';

test('ports are numbers, ranges and names', () => {
	const table: readonly (readonly [string | number, unknown])[] = [
		[80, { min: 80, max: 80 }],
		['80', { min: 80, max: 80 }],
		['1:65535', { min: 1, max: 65_535 }],
		['80:80', { min: 80, max: 80 }],
		['http', { name: 'http' }],
		['8-a', { name: '8-a' }],
		[0, undefined],
		[65_536, undefined],
		[80.5, undefined],
		['2:1', undefined],
		['1:', undefined],
		[':1', undefined],
		['1:2:3', undefined],
		['65536', undefined],
		['123456', undefined],
		['', undefined],
		['a b', undefined],
		['n'.repeat(129), undefined],
	];
	for (const [value, expected] of table) assert.deepEqual(parsePort(value), expected, String(value));
	assert.deepEqual(parsePort(0, 0), { min: 0, max: 0 });
});

test('protocols have one name in whatever case, and numbers stay numbers', () => {
	const table: readonly (readonly [string | number, string | number | undefined])[] = [
		['tcp', 'TCP'],
		['UDPLITE', 'UDPLite'],
		['icmpv6', 'ICMPv6'],
		[6, 6],
		['6', 6],
		['255', 255],
		[0, undefined],
		[256, undefined],
		['tcp ', undefined],
		['constructor', undefined],
		[1.5, undefined],
	];
	for (const [value, expected] of table) assert.equal(parseProtocol(value), expected, String(value));
	assert.equal(protocolNumber('SCTP'), 132);
	assert.equal(protocolNumber(47), 47);
	assert.equal(protocolName(58), 'ICMPv6');
	assert.equal(protocolName(47), undefined);
	assert.ok(protocolHasPorts(17) && protocolHasPorts('TCP') && protocolHasPorts('SCTP'));
	assert.ok(!protocolHasPorts('UDPLite') && !protocolHasPorts('ICMP') && !protocolHasPorts(47));
});

test('AS numbers are read in plain and in dotted form', () => {
	const table: readonly (readonly [string | number, number | undefined])[] = [
		[64_512, 64_512],
		['64512', 64_512],
		['1.10', 65_546],
		['0.1', 1],
		['65535.65535', 4_294_967_295],
		[4_294_967_295, 4_294_967_295],
		[0, undefined],
		['0.0', undefined],
		[4_294_967_296, undefined],
		['65536.0', undefined],
		['0.65536', undefined],
		['1.', undefined],
		['AS1', undefined],
		[1.5, undefined],
	];
	for (const [value, expected] of table) assert.equal(parseAsNumber(value), expected, String(value));
});

test('durations are those of Go', () => {
	const table: readonly (readonly [string, number | undefined])[] = [
		['0', 0],
		['90s', 90_000],
		['1m30s', 90_000],
		['1h0m0.5s', 3_600_500],
		['1.5h', 5_400_000],
		['.5s', 500],
		['1.s', 1000],
		['100us', 0.1],
		['100µs', 0.1],
		['2h45m30s500ms', 9_930_500],
		['', undefined],
		['90', undefined],
		['-1s', undefined],
		['1 s', undefined],
		['1d', undefined],
		['.s', undefined],
		['9999999h', undefined],
	];
	for (const [text, expected] of table) assert.equal(parseDurationMs(text), expected, text);
});

test('communities have two parts of 16 bits or three of 32', () => {
	for (const text of ['0:0', '65535:65535', '4294967295:0:1']) assert.ok(isCommunity(text), text);
	for (const text of ['65536:1', '1', '1:2:3:4', '01:1', '1:', 'a:b', '1:2:4294967296', '']) assert.ok(!isCommunity(text), text);
});

test('label names and values are those of Kubernetes', () => {
	for (const text of ['a', 'A.b_c-d', 'example.com/Name', `a/${'b'.repeat(63)}`, `${'a'.repeat(253)}/b`])
		assert.ok(isQualifiedName(text), text);
	for (const text of ['', '-a', 'a-', 'a/b/c', '/a', 'a/', 'A/b', `a/${'b'.repeat(64)}`, `${'a'.repeat(254)}/b`, 'a b'])
		assert.ok(!isQualifiedName(text), text);
	for (const text of ['', 'a', 'A.b_c-d', 'a'.repeat(63)]) assert.ok(isLabelValue(text), text);
	for (const text of ['-', 'a-', 'a'.repeat(64), 'a/b', 'a\n']) assert.ok(!isLabelValue(text), text);
});

test('no text makes a reader fail or take long', () => {
	const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'019.:smhuµn-ax/ '.split('')), maxLength: 60 }));
	fc.assert(
		fc.property(text, (value) => {
			parsePort(value);
			parseProtocol(value);
			parseAsNumber(value);
			parseDurationMs(value);
			isCommunity(value);
			isQualifiedName(value);
			isLabelValue(value);
			nearestName(value, ['ingress', value]);
		}),
		{ numRuns: 2000 },
	);
	for (const value of ['1'.repeat(100_000), 'a-'.repeat(100_000), '1s'.repeat(100_000), 'a.'.repeat(100_000)]) {
		assert.equal(parsePort(value), undefined);
		assert.equal(parseDurationMs(value), undefined);
		assert.ok(!isQualifiedName(value) && !isLabelValue(value));
		assert.equal(nearestName(value, ['ingress']), undefined);
	}
});

test('the nearest name is the one with the fewest slips of the keyboard', () => {
	const names = ['ingress', 'egress', 'types', 'selector', 'order', 'tier'];
	const table: readonly (readonly [string, string | undefined])[] = [
		['ingres', 'ingress'],
		['Ingress', 'ingress'],
		['igness', 'ingress'],
		['tpyes', 'types'],
		['selektor', 'selector'],
		['oder', 'order'],
		['banana', undefined],
		['x', undefined],
		['', undefined],
	];
	for (const [word, expected] of table) assert.equal(nearestName(word, names), expected, word);
});
