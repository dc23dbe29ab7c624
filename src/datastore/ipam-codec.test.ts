import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr } from '#net';
import { datastoreError } from './errors.ts';
import {
	decodeAffinity,
	decodeBlock,
	decodeHandle,
	decodeIpamConfig,
	encodeAffinity,
	encodeBlock,
	encodeHandle,
	encodeIpamConfig,
} from './ipam-codec.ts';
import { formatLosslessJson, parseLosslessJson } from './json.ts';
import type { IpamBlock } from './types.ts';

const isInvalid = (error: unknown): boolean => datastoreError.is(error, 'DATASTORE_INVALID_ENTRY');

test('numbers of 64 bits come through with every digit', () => {
	const text = '{"a":18446744073709551615,"b":[9007199254740993,-9223372036854775808,7],"c":1.5}';
	assert.deepEqual(parseLosslessJson(text), { a: 18446744073709551615n, b: [9007199254740993n, -9223372036854775808n, 7], c: 1.5 });
	assert.equal(formatLosslessJson(parseLosslessJson(text)), text);
});

test('a block that Calico wrote is read, and written back with what is not known', () => {
	const text =
		'{"cidr":"192.168.21.64/30","affinity":"host:worker-1","affinity_claim_time":"2026-08-22T10:01:00Z","allocations":[0,1,null,null],' +
		'"unallocated":[2,3],"attributes":[{"handle_id":"ipip-tunnel-addr-worker-1","secondary":{"node":"worker-1"}},{"handle_id":"net.4c1f","later":1}],' +
		'"sequenceNumber":1755856920123456789,"sequenceNumberForAllocation":{"0":1755856920123456787,"1":1755856920123456788},"deleted":false,"new":{"x":9007199254740993}}';
	const block = decodeBlock(text);
	assert.equal(block.sequenceNumber, 1755856920123456789n);
	assert.deepEqual(block.attributes[1], { handleId: 'net.4c1f', extra: { later: 1 } });
	assert.equal(encodeBlock(block), text);
});

test('blocks of older releases are understood', () => {
	const block = decodeBlock(
		'{"cidr":"10.0.0.0/31","hostAffinity":"h1","strictAffinity":false,"allocations":[null,null],"unallocated":[0,1],"attributes":null}',
	);
	assert.equal(block.affinity, 'host:h1');
	assert.equal(block.sequenceNumber, 0n);
	assert.match(encodeBlock(block), /"affinity":"host:h1",.*"strictAffinity":false/);
});

test('a block that contradicts itself is invalid, and the field is named', () => {
	const base = { cidr: '10.0.0.0/31', affinity: null, allocations: [null, null], unallocated: [0, 1], attributes: [], sequenceNumber: 1 };
	const table: readonly (readonly [object, string])[] = [
		[{ cidr: 'x' }, 'cidr'],
		[{ cidr: '10.0.0.0/8' }, 'cidr'],
		[{ allocations: [null] }, 'allocations'],
		[{ allocations: [0, null] }, 'allocations[0]'],
		[{ allocations: 'x' }, 'allocations'],
		[{ unallocated: [2] }, 'unallocated[0]'],
		[{ unallocated: [-1] }, 'unallocated[0]'],
		[{ attributes: [7] }, 'attributes[0]'],
		[{ attributes: [{ handle_id: 7 }] }, 'attributes[0].handle_id'],
		[{ attributes: [{ secondary: { a: 1 } }] }, 'attributes[0].secondary.a'],
		[{ sequenceNumber: -1 }, 'sequenceNumber'],
		[{ sequenceNumber: 1.5 }, 'sequenceNumber'],
		[{ sequenceNumberForAllocation: { '0': 'x' } }, 'sequenceNumberForAllocation.0'],
		[{ affinity: 7 }, 'affinity'],
	];
	for (const [change, path] of table)
		assert.throws(
			() => decodeBlock(JSON.stringify({ ...base, ...change })),
			(error) => isInvalid(error) && (error as { path?: string }).path === path,
			path,
		);
});

test('an affinity without a state is confirmed', () => {
	for (const text of ['', '{}', '{"state":""}', '{"state":"confirmed","deleted":false}'])
		assert.equal(decodeAffinity(text).state, 'confirmed');
	assert.equal(encodeAffinity({ state: 'pendingDeletion' }), '{"state":"pendingDeletion","deleted":false}');
	assert.throws(() => decodeAffinity('{"state":"maybe"}'), isInvalid);
});

test('handles keep their counts', () => {
	const text = '{"block":{"192.168.21.64/26":1,"fd80::/122":1},"deleted":false}';
	assert.equal(encodeHandle(decodeHandle(text)), text);
});

test('a configuration without auto_allocate_blocks does not allocate blocks', () => {
	assert.deepEqual(decodeIpamConfig('{"strict_affinity":true}'), {
		strictAffinity: true,
		autoAllocateBlocks: false,
		maxBlocksPerHost: 0,
		ipCooldownSeconds: 0,
		extra: {},
	});
	const text =
		'{"strict_affinity":false,"auto_allocate_blocks":true,"maxBlocksPerHost":20,"ipCooldownSeconds":30,"kubeVirtVMAddressPersistence":"Enabled"}';
	assert.equal(encodeIpamConfig(decodeIpamConfig(text)), text);
});

test('a block survives writing and reading', () => {
	const word = fc.stringMatching(/^[a-z.-]{1,12}$/);
	const words = fc.dictionary(word, word, { noNullPrototype: true, maxKeys: 3 });
	const anyBlock: fc.Arbitrary<IpamBlock> = fc
		.record({
			affinity: fc.option(word.map((host) => `host:${host}`)),
			attributes: fc.array(
				fc.record(
					{ handleId: word, secondary: words, releasedAt: fc.constant('2026-08-22T10:00:00Z') },
					{ requiredKeys: ['handleId'], noNullPrototype: true },
				),
				{ minLength: 1, maxLength: 3 },
			),
			choices: fc.array(fc.option(fc.nat(), { freq: 2 }), { minLength: 8, maxLength: 8 }),
			sequenceNumber: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
			extra: fc.dictionary(word, fc.oneof(fc.integer(), word, fc.bigInt({ min: 2n ** 53n + 1n, max: 2n ** 64n })), {
				noNullPrototype: true,
				maxKeys: 2,
			}),
		})
		.map(({ choices, attributes, extra, ...rest }) => {
			const allocations = choices.map((choice) => (choice === null ? null : choice % attributes.length));
			return {
				...rest,
				cidr: cidr('10.0.0.8/29'),
				affinityClaimTime: undefined,
				allocations,
				unallocated: allocations.flatMap((index, ordinal) => (index === null ? [ordinal] : [])),
				attributes,
				sequenceNumberForAllocation: Object.fromEntries(
					allocations.flatMap((index, ordinal) => (index === null ? [] : [[ordinal, rest.sequenceNumber]])),
				),
				extra,
			};
		});
	fc.assert(fc.property(anyBlock, (block) => assert.deepEqual(decodeBlock(encodeBlock(block)), block)));
});

test('no stored text makes a decoder fail with anything but a report', () => {
	const mangled = fc
		.tuple(
			fc.constantFrom(
				'{"cidr":"10.0.0.0/31","allocations":[0,null],"unallocated":[1],"attributes":[{"handle_id":"a"}],"sequenceNumber":1}',
				'{"state":"pending"}',
				'{"block":{"10.0.0.0/31":1}}',
				'{"strict_affinity":true}',
			),
			fc.nat(130),
			fc.string({ maxLength: 4 }),
		)
		.map(([text, at, insert]) => text.slice(0, at) + insert + text.slice(at + insert.length));
	fc.assert(
		fc.property(fc.oneof(fc.string(), fc.json(), mangled), (text) => {
			for (const decode of [decodeBlock, decodeAffinity, decodeHandle, decodeIpamConfig])
				try {
					decode(text);
				} catch (error) {
					assert.ok(isInvalid(error), String(error));
				}
		}),
		{ numRuns: 1000 },
	);
});
