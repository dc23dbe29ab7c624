import { putUint16, uint16 } from './bytes.ts';
import { HEADER_LENGTH, MAX_MESSAGE_LENGTH, MessageType } from './constants.ts';
import { ErrorCode, HeaderError, type Notification, notification, notificationWith16 } from './notification.ts';

/** Least length of each message type, header included (RFC 4271 §6.1, RFC 7313 §5); the index is the type. */
const LEAST_LENGTH: readonly number[] = [0, 29, 23, 21, 19, 23];
const NOTHING = new Uint8Array(0);

/** Is given one whole message at a time; the bytes are only valid during the call. Returns whether to go on. */
export type MessageHandler = (type: number, bytes: Uint8Array, start: number, end: number) => boolean;

/** Cuts a TCP byte stream into BGP messages. Holds at most one partial message. */
export class MessageReader {
	#partial: Uint8Array = NOTHING;
	#held = 0;

	/**
	 * Takes the next bytes of the stream. `start` and `end` given to the handler bound the message body, without its header.
	 *
	 * @returns the notification to answer with when the stream is no longer BGP (RFC 4271 §6.1)
	 */
	read(chunk: Uint8Array, handle: MessageHandler): Notification | undefined {
		let offset = 0;
		if (this.#held > 0) {
			offset = this.#fill(chunk, 0, HEADER_LENGTH);
			if (this.#held < HEADER_LENGTH) return undefined;
			const length = checkHeader(this.#partial, 0);
			if (typeof length !== 'number') return length;
			offset = this.#fill(chunk, offset, length);
			if (this.#held < length) return undefined;
			this.#held = 0;
			if (!handle(this.#partial[18] as number, this.#partial, HEADER_LENGTH, length)) return undefined;
		}
		while (chunk.length - offset >= HEADER_LENGTH) {
			const length = checkHeader(chunk, offset);
			if (typeof length !== 'number') return length;
			if (chunk.length - offset < length) break;
			if (!handle(chunk[offset + 18] as number, chunk, offset + HEADER_LENGTH, offset + length)) return undefined;
			offset += length;
		}
		this.#fill(chunk, offset, chunk.length - offset);
		return undefined;
	}

	/** Moves bytes until `wanted` are held; returns the offset behind those taken. */
	#fill(chunk: Uint8Array, offset: number, wanted: number): number {
		const count = Math.min(wanted - this.#held, chunk.length - offset);
		if (count <= 0) return offset;
		if (this.#partial.length === 0) this.#partial = new Uint8Array(MAX_MESSAGE_LENGTH);
		this.#partial.set(chunk.subarray(offset, offset + count), this.#held);
		this.#held += count;
		return offset + count;
	}
}

function checkHeader(bytes: Uint8Array, offset: number): number | Notification {
	for (let index = offset; index < offset + 16; index++)
		if (bytes[index] !== 0xff) return notification(ErrorCode.header, HeaderError.notSynchronized);
	const length = uint16(bytes, offset + 16);
	const type = bytes[offset + 18] as number;
	if (length < HEADER_LENGTH || length > MAX_MESSAGE_LENGTH) return notificationWith16(ErrorCode.header, HeaderError.badLength, length);
	const least = LEAST_LENGTH[type];
	if (type === 0 || least === undefined) return notification(ErrorCode.header, HeaderError.badType, Uint8Array.of(type));
	// RFC 7313 §5 gives a ROUTE-REFRESH of the wrong length an error code of its own
	if (type !== MessageType.routeRefresh && (length < least || (type === MessageType.keepalive && length !== least)))
		return notificationWith16(ErrorCode.header, HeaderError.badLength, length);
	return length;
}

/** Writes a message header; returns the offset of the body. */
export function putHeader(bytes: Uint8Array, offset: number, type: number, length: number): number {
	bytes.fill(0xff, offset, offset + 16);
	putUint16(bytes, offset + 16, length);
	bytes[offset + 18] = type;
	return offset + HEADER_LENGTH;
}

/** A whole message around a body. */
export function frame(type: number, body: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(HEADER_LENGTH + body.length);
	putHeader(bytes, 0, type, bytes.length);
	bytes.set(body, HEADER_LENGTH);
	return bytes;
}

/** RFC 4271 §4.4. */
export function encodeKeepalive(): Uint8Array {
	return frame(MessageType.keepalive, NOTHING);
}

/** RFC 4271 §4.5; data that would not fit a message is cut. */
export function encodeNotification(message: Notification): Uint8Array {
	const data = message.data.subarray(0, MAX_MESSAGE_LENGTH - HEADER_LENGTH - 2);
	const body = new Uint8Array(2 + data.length);
	body[0] = message.code;
	body[1] = message.subcode;
	body.set(data, 2);
	return frame(MessageType.notification, body);
}

/** The notification in a message body of at least two bytes. */
export function decodeNotification(bytes: Uint8Array, start: number, end: number): Notification {
	return notification(bytes[start] as number, bytes[start + 1], bytes.slice(start + 2, end));
}
