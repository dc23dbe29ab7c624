import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kernelError } from '../errors.ts';
import { written } from './fixtures.ts';
import { Attributes, readMessages } from './reader.ts';
import { MessageWriter } from './writer.ts';

test('attributes of every kind are read as written, whatever their padding', () => {
	fc.assert(
		fc.property(
			fc.uint8Array({ maxLength: 40 }),
			fc.string({ minLength: 1, maxLength: 20 }),
			fc.bigInt(0n, 2n ** 64n - 1n),
			(bytes, text, big) => {
				fc.pre(!text.includes('\0') && text.isWellFormed());
				const message = written((writer) => {
					writer.header(8).setUint32(4, 77, true);
					writer.u8(1, 0xfe);
					writer.u16(2, 0xfedc);
					writer.u32(3, 0xfedcba98);
					writer.be16(4, 0xfedc);
					writer.be32(5, 0xfedcba98);
					writer.be64(6, big);
					writer.bytesOf(7, bytes);
					writer.string(8, text, 80);
					writer.flag(9);
					const nest = writer.beginNest(10);
					writer.u32(1, 5);
					writer.endNest(nest);
				});
				assert.equal(message.view.getUint32(message.start + 4, true), 77);
				const attributes = Attributes.of(message, 8);
				assert.deepEqual([attributes.u8(1), attributes.u16(2), attributes.u32(3)], [0xfe, 0xfedc, 0xfedcba98]);
				assert.deepEqual([attributes.be16(4), attributes.be32(5), attributes.be64(6)], [0xfedc, 0xfedcba98, big]);
				assert.deepEqual(attributes.bytes(7), bytes);
				assert.deepEqual([attributes.string(8), attributes.has(9), attributes.has(11)], [text, true, false]);
				assert.equal(attributes.nested(10)?.u32(1), 5);
				assert.equal(attributes.u32(99), undefined);
			},
		),
	);
});

test('the buffer grows over many messages and each is found again', () => {
	const writer = new MessageWriter();
	for (let sequence = 0; sequence < 3000; sequence++) {
		writer.begin(20, 0x5, sequence);
		writer.u32(1, sequence);
		writer.end();
	}
	const messages = readMessages(writer.bytes);
	assert.equal(messages.length, 3000);
	for (const [index, message] of messages.entries()) {
		assert.deepEqual([message.type, message.flags, message.sequence], [20, 0x5, index]);
		assert.equal(Attributes.of(message, 0).u32(1), index);
	}
});

test('what does not fit into an attribute is refused', () => {
	const writer = new MessageWriter();
	const refuses = (write: () => void): void => assert.throws(write, (error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'));
	refuses(() => writer.string(1, '', 15));
	refuses(() => writer.string(1, 'a-name-too-long-', 15));
	refuses(() => writer.string(1, 'zero\0byte', 15));
	refuses(() => writer.bytesOf(1, new Uint8Array(65_532)));
	const nest = writer.beginNest(1);
	writer.bytesOf(2, new Uint8Array(60_000));
	writer.bytesOf(2, new Uint8Array(6_000));
	refuses(() => writer.endNest(nest));
});

test('lengths that do not add up are refused and nothing outside is read', () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			try {
				for (const message of readMessages(bytes)) {
					const attributes = Attributes.of(message, 4);
					for (const type of [0, 1, 2, 3]) {
						attributes.be64(type);
						attributes.nested(type)?.list();
						attributes.string(type);
					}
				}
			} catch (error) {
				assert.ok(kernelError.is(error, 'KERNEL_BAD_MESSAGE'));
			}
		}),
	);
});
