import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { TcpConnection } from '#kernel';
import { ip } from '#net';
import { SocketTransport } from './socket-transport.ts';

/** A socket that takes as many bytes per call as it is told to. */
class FakeConnection {
	readonly local = { address: ip('10.0.0.1'), port: 179 };
	readonly taken: number[] = [];
	calls = 0;
	closed = false;
	room = Number.POSITIVE_INFINITY;

	send(buffers: readonly Uint8Array[], offset = 0): number {
		this.calls++;
		const bytes = buffers.flatMap((buffer) => [...buffer]).slice(offset, offset + this.room);
		this.taken.push(...bytes);
		return bytes.length;
	}

	close(): void {
		this.closed = true;
	}
}

function scene() {
	const events: string[] = [];
	const connection = new FakeConnection();
	const transport = new SocketTransport({
		onConnected: () => events.push('connected'),
		onData: (bytes) => events.push(`data ${[...bytes].join()}`),
		onDrained: () => events.push('drained'),
		onClosed: (reason) => events.push(reason),
	});
	transport.attach(connection as unknown as TcpConnection);
	const buffer = new Uint8Array(8);
	return { events, connection, transport, buffer, handlers: transport.tcpHandlers(buffer) };
}

test('what is sent in one turn goes out in one system call, in order', async () => {
	const { connection, transport } = scene();
	for (const byte of [1, 2, 3]) transport.send(Uint8Array.of(byte));
	assert.equal(transport.queuedBytes, 3);
	await Promise.resolve();
	assert.deepEqual([connection.calls, connection.taken, transport.queuedBytes], [1, [1, 2, 3], 0]);
	assert.equal(transport.localAddress, '10.0.0.1');
});

test('nothing is lost, doubled or reordered however little the socket takes', async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.array(fc.uint8Array({ minLength: 1, maxLength: 9 }), { maxLength: 300 }),
			fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }),
			async (pieces, rooms) => {
				const { connection, transport, handlers } = scene();
				let turn = 0;
				for (const piece of pieces) {
					connection.room = rooms[turn++ % rooms.length] ?? 0;
					transport.send(piece);
					if (turn % 3 === 0) await Promise.resolve();
					if (turn % 5 === 0) handlers.onWritable();
				}
				connection.room = 1000;
				await Promise.resolve();
				for (let round = 0; round < 10; round++) handlers.onWritable();
				assert.deepEqual(
					connection.taken,
					pieces.flatMap((piece) => [...piece]),
				);
				assert.equal(transport.queuedBytes, 0);
			},
		),
		{ numRuns: 200 },
	);
});

test('ending lets the last words out first, but not for ever', async () => {
	const { connection, transport, events, buffer, handlers } = scene();
	connection.room = 2;
	transport.send(Uint8Array.of(1, 2, 3));
	transport.end();
	assert.deepEqual([connection.taken, connection.closed], [[1, 2], false]);
	buffer[0] = 9;
	handlers.onData(1);
	transport.send(Uint8Array.of(4));
	handlers.onWritable();
	assert.deepEqual([connection.taken, connection.closed], [[1, 2, 3], true]);
	const stuck = scene();
	stuck.connection.room = 0;
	stuck.transport.send(Uint8Array.of(1));
	stuck.transport.end();
	for (let waited = 0; waited < 5000 && !stuck.connection.closed; waited += 50) await sleep(50);
	assert.equal(stuck.connection.closed, true);
	assert.deepEqual([...events, ...stuck.events], []);
});

test('a lost connection is reported once, an aborted one not at all', () => {
	const lost = scene();
	lost.handlers.onConnected?.();
	lost.buffer.set([7, 8]);
	lost.handlers.onData(2);
	lost.handlers.onClosed({ kind: 'end' });
	lost.handlers.onClosed({ kind: 'end' });
	assert.deepEqual(lost.events, ['connected', 'data 7,8', 'Connection closed']);
	const aborted = scene();
	aborted.transport.abort();
	aborted.handlers.onClosed({ kind: 'end' });
	aborted.transport.send(Uint8Array.of(1));
	assert.deepEqual([aborted.events, aborted.connection.closed, aborted.transport.queuedBytes], [[], true, 0]);
});
