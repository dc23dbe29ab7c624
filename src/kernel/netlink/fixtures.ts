/** For tests of codecs: what was written, read back as if it had been received. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { kernelError } from '../errors.ts';
import { type NetlinkMessage, readMessages } from './reader.ts';
import { MessageWriter } from './writer.ts';

const ANY_TYPE = 100;

/** The message that a writer function makes. */
export function written(write: (writer: MessageWriter) => void, type = ANY_TYPE): NetlinkMessage {
	const writer = new MessageWriter();
	writer.begin(type, 0, 1);
	write(writer);
	writer.end();
	const [message] = readMessages(writer.bytes);
	assert.ok(message !== undefined);
	return message;
}

/**
 * Feeds a decoder with arbitrary payloads and with valid ones that were damaged.
 *
 * @param valid writes a valid payload
 */
export function assertSafeDecoder(
	decode: (message: NetlinkMessage) => unknown,
	valid: (writer: MessageWriter) => void,
	type = ANY_TYPE,
): void {
	const good = written(valid, type);
	const whole = new Uint8Array(good.view.buffer, good.view.byteOffset, good.end).slice();
	const damage = fc
		.array(fc.tuple(fc.nat({ max: whole.length - 17 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 })
		.map((changes) => {
			const bytes = whole.slice();
			for (const [at, value] of changes) bytes[16 + at] = value;
			return bytes;
		});
	const noise = fc.uint8Array({ maxLength: 200 }).map((payload) => Uint8Array.from([...header(payload.length + 16, type), ...payload]));
	fc.assert(
		fc.property(fc.oneof(damage, noise), (bytes) => {
			try {
				for (const message of readMessages(bytes)) decode(message);
			} catch (error) {
				if (!kernelError.is(error, 'KERNEL_BAD_MESSAGE')) throw error;
			}
		}),
		{ numRuns: 300 },
	);
}

function header(length: number, type: number): Uint8Array {
	const bytes = new Uint8Array(16);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, length, true);
	view.setUint16(4, type, true);
	return bytes;
}
