import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kernelError } from '../errors.ts';
import { keyLength, packKey, packRange, type SetKeyType, TYPE_FACTS, unpackKey } from './data-type.ts';

const number = (bits: number): fc.Arbitrary<string> => fc.nat({ max: 2 ** bits - 1 }).map(String);
const octets = fc.array(fc.nat({ max: 255 }), { minLength: 4, maxLength: 4 }).map((each) => each.join('.'));
const VALUES: Readonly<Record<SetKeyType, fc.Arbitrary<string>>> = {
	ipv4_addr: octets,
	ipv6_addr: fc.integer({ min: 1, max: 0xffff }).map((group) => `fd00::${group.toString(16)}`),
	ether_addr: fc
		.array(fc.nat({ max: 255 }), { minLength: 6, maxLength: 6 })
		.map((each) => each.map((byte) => byte.toString(16).padStart(2, '0')).join(':')),
	inet_proto: number(8),
	inet_service: number(16),
	icmp_type: number(8),
	icmp_code: number(8),
	icmpv6_type: number(8),
	icmpv6_code: number(8),
	mark: fc.integer({ min: 0, max: 0xffffffff }).map(String),
	ifname: fc.stringMatching(/^[a-z0-9._-]{1,15}$/),
	dscp: number(8),
};
const types = fc.array(fc.constantFrom(...(Object.keys(TYPE_FACTS) as SetKeyType[])), { minLength: 1, maxLength: 5 });

test('a key of any types is unpacked as it was packed', () => {
	fc.assert(
		fc.property(
			types.chain((types) => fc.tuple(fc.constant(types), fc.tuple(...types.map((type) => VALUES[type])))),
			([types, values]) => {
				const key = packKey(types, values);
				assert.equal(key.length, keyLength(types));
				assert.deepEqual(unpackKey(types, key), values);
			},
		),
	);
});

test('parts have the byte order and padding of the kernel', () => {
	assert.deepEqual(packKey(['inet_service'], ['0x1234']), Uint8Array.of(0x12, 0x34));
	assert.deepEqual(packKey(['mark'], ['0x12345678']), Uint8Array.of(0x78, 0x56, 0x34, 0x12));
	assert.deepEqual(packKey(['inet_proto', 'inet_service'], ['6', '80']), Uint8Array.of(6, 0, 0, 0, 0, 80, 0, 0));
	assert.equal(packKey(['ifname', 'ipv4_addr'], ['eth0', '10.0.0.1']).length, 20);
});

test('ranges are given as a prefix, as first and last, or as one value', () => {
	const ends = (types: readonly SetKeyType[], values: readonly string[]): unknown => {
		const { key, keyEnd } = packRange(types, values);
		return [unpackKey(types, key), unpackKey(types, keyEnd)];
	};
	assert.deepEqual(ends(['ipv4_addr'], ['10.1.2.3/12']), [['10.0.0.0'], ['10.15.255.255']]);
	assert.deepEqual(ends(['ipv4_addr'], ['0.0.0.0/0']), [['0.0.0.0'], ['255.255.255.255']]);
	assert.deepEqual(ends(['ipv6_addr'], ['fd00::/63']), [['fd00::'], ['fd00::1:ffff:ffff:ffff:ffff']]);
	assert.deepEqual(ends(['ipv4_addr', 'inet_service'], ['10.0.0.1-10.0.0.9', '80']), [
		['10.0.0.1', '80'],
		['10.0.0.9', '80'],
	]);
	assert.deepEqual(ends(['ifname', 'ipv4_addr'], ['a-b', '10.0.0.1']), [
		['a-b', '10.0.0.1'],
		['a-b', '10.0.0.1'],
	]);
});

const bad: readonly (readonly [SetKeyType, string])[] = [
	['ipv4_addr', 'fd00::1'],
	['ipv4_addr', '10.0.0.256'],
	['ipv4_addr', '10.0.0.0/33'],
	['ipv4_addr', 'fd00::/8'],
	['ipv6_addr', '10.0.0.1'],
	['ether_addr', '00:11:22:33:44'],
	['inet_proto', '256'],
	['inet_proto', 'tcp'],
	['inet_service', '-1'],
	['inet_service', '65536'],
	['mark', '4294967296'],
	['ifname', ''],
	['ifname', 'a-name-too-long-'],
];

test('what is not a value of its type is refused', () => {
	for (const [type, value] of bad)
		for (const call of [packKey, packRange])
			assert.throws(
				() => call([type], [value]),
				(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
				`${type} ${value}`,
			);
	assert.throws(
		() => packKey(['mark', 'mark'], ['1']),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
	assert.throws(
		() => packRange(['mark'], ['1', '2']),
		(error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'),
	);
	assert.throws(
		() => unpackKey(['mark'], new Uint8Array(5)),
		(error) => kernelError.is(error, 'KERNEL_BAD_MESSAGE'),
	);
});
