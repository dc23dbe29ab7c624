import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '#net';
import { type Capabilities, NO_CAPABILITIES } from './capability.ts';
import { HEADER_LENGTH, MessageType } from './constants.ts';
import { encodeEndOfRib } from './end-of-rib.ts';
import { decodeNotification, encodeKeepalive, encodeNotification, frame, MessageReader } from './framing.ts';
import { countNlri } from './nlri.ts';
import { describeNotification, hardReset, type Notification, notification } from './notification.ts';
import { decodeOpen, encodeOpen, type OpenMessage } from './open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from './route-refresh.ts';

const family = fc.constantFrom<Family>(4, 6);

function perFamily<T extends object>(more: { readonly [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<({ family: Family } & T)[]> {
	const entry = fc.record({ family, ...more }, { noNullPrototype: true }) as unknown as fc.Arbitrary<{ family: Family } & T>;
	return fc.uniqueArray(entry, { selector: (value) => value.family });
}

/** Like `fc.record`, but as plain as what decoders make. */
function record<T>(fields: { readonly [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
	return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const capabilities: fc.Arbitrary<Capabilities> = record<Capabilities>({
	families: fc.option(fc.uniqueArray(family, { minLength: 1 }), { nil: undefined }),
	routeRefresh: fc.boolean(),
	enhancedRouteRefresh: fc.boolean(),
	as4: fc.option(fc.integer({ min: 1, max: 0xffffffff }), { nil: undefined }),
	gracefulRestart: fc.option(
		record({
			restarting: fc.boolean(),
			notification: fc.boolean(),
			restartTimeSeconds: fc.nat(4095),
			families: perFamily<{ forwarding: boolean }>({ forwarding: fc.boolean() }),
		}),
		{ nil: undefined },
	),
	addPath: perFamily<{ receive: boolean; send: boolean }>({ receive: fc.constant(true), send: fc.boolean() }),
	extendedNextHop: fc.uniqueArray(family),
});

const open: fc.Arbitrary<OpenMessage> = record<OpenMessage>({
	type: fc.constant('open' as const),
	asNumber: fc.integer({ min: 1, max: 0xffff }),
	holdTimeSeconds: fc.constantFrom(0, 3, 90, 240, 65535),
	routerId: fc.integer({ min: 1, max: 0xffffffff }),
	capabilities,
}).map((message) => ({ ...message, asNumber: message.capabilities.as4 ?? message.asNumber }));

/** The messages a reader finds when the stream comes in pieces of the given sizes. */
function readAll(stream: Uint8Array, sizes: readonly number[]): { readonly messages: string[]; readonly error: Notification | undefined } {
	const reader = new MessageReader();
	const messages: string[] = [];
	let offset = 0;
	for (let piece = 0; offset < stream.length; piece++) {
		const size = sizes.length === 0 ? stream.length : (sizes[piece % sizes.length] ?? 1);
		const error = reader.read(stream.slice(offset, offset + size), (type, bytes, start, end) => {
			messages.push(`${type} ${Buffer.from(bytes.subarray(start, end)).toString('hex')}`);
			return true;
		});
		if (error !== undefined) return { messages, error };
		offset += size;
	}
	return { messages, error: undefined };
}

function decode(message: Uint8Array): OpenMessage | Notification {
	return decodeOpen(message, HEADER_LENGTH, message.length);
}

test('an OPEN with any capabilities comes back as it was sent', () => {
	fc.assert(
		fc.property(open, (message) => {
			assert.deepEqual(decode(encodeOpen(message)), message);
		}),
	);
});

test('an OPEN may spread capabilities over several parameters, and use the extended form of RFC 9072', () => {
	const fixed = [4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 1];
	const families = [2, 6, 1, 4, 0, 1, 0, 1];
	const as4 = [2, 6, 65, 4, 0, 1, 0, 0];
	const plain = decode(frame(MessageType.open, Uint8Array.from([...fixed, 16, ...families, ...as4])));
	const extended = [2, 0, 6, 1, 4, 0, 1, 0, 1, 2, 0, 6, 65, 4, 0, 1, 0, 0];
	const long = decode(frame(MessageType.open, Uint8Array.from([...fixed, 255, 255, 0, extended.length, ...extended])));
	const expected = {
		type: 'open',
		asNumber: 65536,
		holdTimeSeconds: 90,
		routerId: 0x0a000001,
		capabilities: { ...NO_CAPABILITIES, families: [4], as4: 65536 },
	};
	assert.deepEqual(plain, expected);
	assert.deepEqual(long, expected);
});

test('an OPEN that cannot be accepted is answered with the code of RFC 4271 §6.2', () => {
	const body = (bytes: readonly number[]) => frame(MessageType.open, Uint8Array.from(bytes));
	const table: readonly (readonly [string, readonly number[], string])[] = [
		['version 3', [3, 1, 1, 0, 90, 1, 1, 1, 1, 0], 'OPEN message error: unsupported version number'],
		['AS 0', [4, 0, 0, 0, 90, 1, 1, 1, 1, 0], 'OPEN message error: bad peer AS'],
		['hold time 1', [4, 1, 1, 0, 1, 1, 1, 1, 1, 0], 'OPEN message error: unacceptable hold time'],
		['hold time 2', [4, 1, 1, 0, 2, 1, 1, 1, 1, 0], 'OPEN message error: unacceptable hold time'],
		['router ID 0', [4, 1, 1, 0, 90, 0, 0, 0, 0, 0], 'OPEN message error: bad BGP identifier'],
		['four-octet AS 0', [4, 1, 1, 0, 90, 1, 1, 1, 1, 8, 2, 6, 65, 4, 0, 0, 0, 0], 'OPEN message error: bad peer AS'],
		['authentication parameter', [4, 1, 1, 0, 90, 1, 1, 1, 1, 3, 1, 1, 0], 'OPEN message error: unsupported optional parameter'],
		['parameters longer than said', [4, 1, 1, 0, 90, 1, 1, 1, 1, 2, 2, 1, 0], 'OPEN message error'],
		['parameters shorter than said', [4, 1, 1, 0, 90, 1, 1, 1, 1, 200, 2, 0], 'OPEN message error'],
		['one octet of a parameter', [4, 1, 1, 0, 90, 1, 1, 1, 1, 1, 2], 'OPEN message error'],
		['parameter past the end', [4, 1, 1, 0, 90, 1, 1, 1, 1, 3, 2, 9, 0], 'OPEN message error'],
		['capability past its parameter', [4, 1, 1, 0, 90, 1, 1, 1, 1, 4, 2, 2, 65, 4], 'OPEN message error'],
		['one octet of a capability', [4, 1, 1, 0, 90, 1, 1, 1, 1, 3, 2, 1, 65], 'OPEN message error'],
		['extended length without length', [4, 1, 1, 0, 90, 1, 1, 1, 1, 255, 255], 'OPEN message error'],
		['extended length with half a length', [4, 1, 1, 0, 90, 1, 1, 1, 1, 255, 255, 0], 'OPEN message error'],
		['extended length past the end', [4, 1, 1, 0, 90, 1, 1, 1, 1, 255, 255, 255, 255, 2, 0, 0], 'OPEN message error'],
		['extended parameter past the end', [4, 1, 1, 0, 90, 1, 1, 1, 1, 255, 255, 0, 3, 2, 255, 255], 'OPEN message error'],
	];
	for (const [name, bytes, expected] of table) {
		const result = decode(body(bytes));
		assert.equal(result.type === 'notification' ? describeNotification(result) : 'accepted', expected, name);
	}
});

test('capabilities whose content does not fit are ignored, unknown ones too', () => {
	const values = [
		[1, 3, 0, 1, 0],
		[64, 1, 0],
		[65, 2, 0, 0],
		[69, 3, 0, 1, 1],
		[69, 4, 0, 1, 1, 9],
		[5, 5, 0, 1, 0, 1, 0],
		[239, 0],
		[1, 4, 0, 25, 0, 65],
	];
	for (const value of values) {
		const result = decode(
			frame(MessageType.open, Uint8Array.from([4, 1, 1, 0, 90, 1, 1, 1, 1, value.length + 2, 2, value.length, ...value])),
		);
		assert.equal(result.type, 'open', String(value));
		if (result.type === 'open')
			assert.deepEqual(result.capabilities, { ...NO_CAPABILITIES, families: value[0] === 1 && value.length === 6 ? [] : undefined });
	}
});

test('messages are found however the stream is cut', () => {
	const message = fc.oneof(
		open.map(encodeOpen),
		fc.constant(encodeKeepalive()),
		fc.constant(encodeEndOfRib(6)),
		fc.uint8Array({ maxLength: 300 }).map((data) => encodeNotification(notification(6, 2, data))),
		fc.uint8Array({ minLength: 4, maxLength: 4077 }).map((body) => frame(MessageType.update, body)),
	);
	fc.assert(
		fc.property(
			fc.array(message, { maxLength: 8 }),
			fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 5 }),
			(messages, sizes) => {
				const stream = Buffer.concat(messages);
				const whole = readAll(stream, []);
				assert.equal(whole.error, undefined);
				assert.equal(whole.messages.length, messages.length);
				assert.deepEqual(readAll(stream, sizes), whole);
			},
		),
	);
});

test('a stream that is no BGP is refused with the code of RFC 4271 §6.1', () => {
	const head = (length: number, type: number) => [...Array<number>(16).fill(0xff), length >> 8, length & 0xff, type];
	const table: readonly (readonly [string, readonly number[], string])[] = [
		['marker', [...Array<number>(15).fill(0xff), 0, 0, 19, 4], 'Message header error: connection not synchronized'],
		['HTTP', [...Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')], 'Message header error: connection not synchronized'],
		['length 18', head(18, 4), 'Message header error: bad message length'],
		['length 4097', head(4097, 2), 'Message header error: bad message length'],
		['KEEPALIVE of 20', head(20, 4), 'Message header error: bad message length'],
		['OPEN of 28', head(28, 1), 'Message header error: bad message length'],
		['UPDATE of 22', head(22, 2), 'Message header error: bad message length'],
		['NOTIFICATION of 20', head(20, 3), 'Message header error: bad message length'],
		['type 0', head(19, 0), 'Message header error: bad message type'],
		['type 6', head(19, 6), 'Message header error: bad message type'],
	];
	for (const [name, bytes, expected] of table) {
		const { error } = readAll(Uint8Array.from(bytes), [7]);
		assert.equal(error && describeNotification(error), expected, name);
	}
});

test('a reader survives any bytes, at once or one by one', () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, synchronized) => {
			const stream = synchronized ? Uint8Array.from([...Array<number>(16).fill(0xff), ...noise]) : noise;
			const [whole, single] = [readAll(stream, []), readAll(stream, [1])];
			assert.deepEqual(single.messages, whole.messages);
		}),
		{ numRuns: 2000 },
	);
});

test('an OPEN of any bytes is either read or answered with an error', () => {
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 10, maxLength: 120 }), fc.boolean(), (bytes, valid) => {
			if (valid) bytes.set([4, 0, 1, 0, 90, 1, 1, 1, 1, bytes.length - 10]);
			assert.ok(['open', 'notification'].includes(decodeOpen(bytes, 0, bytes.length).type));
		}),
		{ numRuns: 5000 },
	);
});

test('NLRI are counted only if every length fits the family and the end', () => {
	const table: readonly (readonly [readonly number[], number, boolean, number])[] = [
		[[], 32, false, 0],
		[[0], 32, false, 1],
		[[24, 10, 0, 0], 32, false, 1],
		[[24, 10, 0, 0, 25, 10, 0, 0, 128], 32, false, 2],
		[[33, 10, 0, 0, 0, 0], 32, false, -1],
		[[129, ...Array<number>(17).fill(0)], 128, false, -1],
		[[24, 10, 0], 32, false, -1],
		[[0, 0, 0, 1, 24, 10, 0, 0], 32, true, 1],
		[[0, 0, 0, 1], 32, true, -1],
		[[0, 0], 32, true, -1],
	];
	for (const [bytes, bits, addPath, expected] of table)
		assert.equal(countNlri(Uint8Array.from(bytes), 0, bytes.length, bits, addPath), expected, String(bytes));
});

test('route refresh messages round-trip, and odd ones are ignored or refused', () => {
	for (const ipFamily of [4, 6] as const)
		for (const kind of ['request', 'begin', 'end'] as const) {
			const message = encodeRouteRefresh(ipFamily, kind);
			assert.deepEqual(decodeRouteRefresh(message, HEADER_LENGTH, message.length), { type: 'refresh', family: ipFamily, kind });
		}
	assert.equal(decodeRouteRefresh(Uint8Array.of(0, 1, 7, 1), 0, 4), undefined);
	assert.equal(decodeRouteRefresh(Uint8Array.of(0, 9, 0, 1), 0, 4), undefined);
	const bad = decodeRouteRefresh(Uint8Array.of(0, 1, 0), 0, 3);
	assert.equal(bad?.type === 'notification' && describeNotification(bad), 'ROUTE-REFRESH message error: invalid message length');
});

test('notifications are put into words, a shutdown communication only if it is well formed', () => {
	const table: readonly (readonly [Notification, string])[] = [
		[notification(4), 'Hold timer expired'],
		[notification(6, 3), 'Cease: peer de-configured'],
		[notification(6, 2, Uint8Array.of(3, 0x62, 0x79, 0x65)), 'Cease: administrative shutdown: "bye"'],
		[notification(6, 2, Uint8Array.of(200, 0x62)), 'Cease: administrative shutdown'],
		[notification(6, 4, Uint8Array.of(1, 0x0a)), 'Cease: administrative reset: "\\n"'],
		[notification(6, 77), 'Cease: subcode 77'],
		[notification(99, 1), 'error 99: subcode 1'],
		[hardReset(notification(6, 3)), 'Hard reset: Cease: peer de-configured'],
		[hardReset(hardReset(notification(6, 3))), 'Cease: hard reset'],
	];
	for (const [message, words] of table) assert.equal(describeNotification(message), words);
	const sent = encodeNotification(notification(6, 2, new Uint8Array(9000)));
	assert.equal(sent.length, 4096);
	assert.equal(decodeNotification(sent, HEADER_LENGTH, sent.length).subcode, 2);
});
