import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, type Ip } from '#net';
import { kernelError } from '../errors.ts';
import { packInetAddress, packUnixAddress, unpackInetAddress } from './sockaddr.ts';

const ip = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })).map(formatIp);

test('socket addresses are unpacked as they were packed', () => {
	fc.assert(
		fc.property(ip, fc.nat({ max: 65535 }), (address, port) => {
			assert.deepEqual(unpackInetAddress(packInetAddress({ address, port }, 3)), { address, port });
		}),
	);
});

test('arbitrary bytes as a socket address give an error of the room or a value, nothing else', () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
			try {
				unpackInetAddress(bytes);
			} catch (error) {
				assert.ok(kernelError.is(error, 'KERNEL_BAD_MESSAGE'));
			}
		}),
	);
});

test('ports and paths that do not fit are refused', () => {
	const refuses = (call: () => unknown): void => assert.throws(call, (error) => kernelError.is(error, 'KERNEL_BAD_ARGUMENT'));
	for (const port of [-1, 65536, 1.5]) refuses(() => packInetAddress({ address: '10.0.0.1' as Ip, port }));
	for (const path of ['', 'x'.repeat(108), 'a\0b']) refuses(() => packUnixAddress(path));
	assert.equal(packUnixAddress('x'.repeat(107)).length, 110);
});
