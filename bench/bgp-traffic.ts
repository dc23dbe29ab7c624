/**
 * The two peers of the forwarding benchmark: one sends prepared UPDATE messages to the router under test, the other counts prefixes
 * that come out. Prints `{"ms": …}` when the last one has arrived. Arguments: JSON of {@link TrafficSettings}.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface TrafficSettings {
	readonly router: string;
	readonly routerAs: number;
	readonly sender: { readonly address: string; readonly asNumber: number };
	readonly receiver: { readonly address: string; readonly asNumber: number };
	readonly prefixes: number;
	readonly prefixesPerSet: number;
}

const OPEN = 1;
const UPDATE = 2;
const NOTIFICATION = 3;
const KEEPALIVE = 4;

const settings = JSON.parse(process.argv[2] ?? '{}') as TrafficSettings;

let received = 0;
const finished = Promise.withResolvers<number>();
const messages = prepareUpdates();
const receiver = await session(settings.receiver, countPrefixes());
const sender = await session(settings.sender, () => undefined);
// what the router announces by itself, such as its connected network, shall not fall into the measurement
await new Promise((resolve) => setTimeout(resolve, 500));
received = 0;
const start = performance.now();
for (const chunk of messages) sender.write(chunk);
const ms = (await finished.promise) - start;
console.log(JSON.stringify({ ms }));
process.stdin.resume();
await once(process.stdin, 'end');
receiver.destroy();
sender.destroy();

/** Reads whole messages only as far as needed to count the /24 prefixes in UPDATEs. */
function countPrefixes(): (type: number, bytes: Buffer, offset: number, length: number) => void {
	return (type, bytes, offset, length) => {
		if (type !== UPDATE) return;
		const withdrawn = bytes.readUInt16BE(offset + 19);
		const attributes = bytes.readUInt16BE(offset + 21 + withdrawn);
		received += (length - 23 - withdrawn - attributes) / 4;
		if (received === settings.prefixes) finished.resolve(performance.now());
	};
}

/** Opens a session and keeps it alive. */
async function session(
	own: { readonly address: string; readonly asNumber: number },
	onMessage: (type: number, bytes: Buffer, offset: number, length: number) => void,
): Promise<Socket> {
	const socket = connect({ host: settings.router, port: 179, localAddress: own.address });
	socket.setNoDelay(true);
	await once(socket, 'connect');
	const established = Promise.withResolvers<undefined>();
	let rest: Buffer = Buffer.alloc(0);
	socket.on('data', (chunk: Buffer) => {
		const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
		let offset = 0;
		while (bytes.length - offset >= 19) {
			const length = bytes.readUInt16BE(offset + 16);
			if (bytes.length - offset < length) break;
			const type = bytes[offset + 18] ?? 0;
			if (type === NOTIFICATION) throw new Error(`the router sent NOTIFICATION ${bytes[offset + 19]}/${bytes[offset + 20]}`);
			if (type === OPEN) socket.write(message(KEEPALIVE, Buffer.alloc(0)));
			if (type === KEEPALIVE) established.resolve(undefined);
			onMessage(type, bytes, offset, length);
			offset += length;
		}
		rest = bytes.subarray(offset);
	});
	socket.write(message(OPEN, openBody(own)));
	await established.promise;
	const timer = setInterval(() => socket.write(message(KEEPALIVE, Buffer.alloc(0))), 10_000);
	socket.on('close', () => clearInterval(timer));
	return socket;
}

function openBody(own: { readonly address: string; readonly asNumber: number }): Buffer {
	const capabilities = Buffer.from([1, 4, 0, 1, 0, 1, 65, 4, 0, 0, own.asNumber >> 8, own.asNumber & 0xff]);
	const head = Buffer.from([4, own.asNumber >> 8, own.asNumber & 0xff, 0, 90, ...own.address.split('.').map(Number)]);
	return Buffer.concat([head, Buffer.from([capabilities.length + 2, 2, capabilities.length]), capabilities]);
}

function message(type: number, body: Buffer): Buffer {
	const bytes = Buffer.alloc(19 + body.length, 0xff);
	bytes.writeUInt16BE(bytes.length, 16);
	bytes[18] = type;
	body.copy(bytes, 19);
	return bytes;
}

/** One UPDATE per attribute set, in chunks of about 64 KiB. */
function prepareUpdates(): Buffer[] {
	const chunks: Buffer[] = [];
	let pending: Buffer[] = [];
	let size = 0;
	for (let first = 0; first < settings.prefixes; first += settings.prefixesPerSet) {
		const bytes = message(UPDATE, updateBody(first));
		pending.push(bytes);
		size += bytes.length;
		if (size > 65536 || first + settings.prefixesPerSet >= settings.prefixes) {
			chunks.push(Buffer.concat(pending));
			pending = [];
			size = 0;
		}
	}
	return chunks;
}

function updateBody(first: number): Buffer {
	const set = first / settings.prefixesPerSet;
	const path = [settings.sender.asNumber, 100_000 + (set >> 8), 200_000 + (set & 0xff), 300_000 + (set % 977)];
	const asPath = Buffer.alloc(2 + path.length * 4);
	asPath.set([2, path.length]);
	for (const [index, asNumber] of path.entries()) asPath.writeUInt32BE(asNumber, 2 + index * 4);
	const communities = Buffer.alloc(8);
	communities.writeUInt32BE(((settings.sender.asNumber << 16) | (set & 0xffff)) >>> 0, 0);
	communities.writeUInt32BE(((settings.sender.asNumber << 16) | 7) >>> 0, 4);
	const attributes = Buffer.concat([
		Buffer.from([0x40, 1, 1, 0]),
		Buffer.from([0x40, 2, asPath.length]),
		asPath,
		Buffer.from([0x40, 3, 4, ...settings.sender.address.split('.').map(Number)]),
		Buffer.from([0xc0, 8, communities.length]),
		communities,
	]);
	const nlri = Buffer.alloc(settings.prefixesPerSet * 4);
	for (let index = 0; index < settings.prefixesPerSet; index++) {
		nlri.writeUInt32BE((((1 << 24) + ((first + index) << 8)) >>> 8) | (24 << 24), index * 4);
	}
	return Buffer.concat([Buffer.from([0, 0, attributes.length >> 8, attributes.length & 0xff]), attributes, nlri]);
}
