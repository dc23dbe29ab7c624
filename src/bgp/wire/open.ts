import { putUint16, putUint32, uint16, uint32 } from './bytes.ts';
import { type Capabilities, decodeCapabilities, encodeCapabilities, NO_CAPABILITIES } from './capability.ts';
import { AS_TRANS, MessageType } from './constants.ts';
import { frame } from './framing.ts';
import { ErrorCode, type Notification, notification, notificationWith16, OpenError } from './notification.ts';

const VERSION = 4;
const CAPABILITIES_PARAMETER = 2;
/** RFC 9072 §2: in place of the length, and as the type of the first parameter, it announces the extended form. */
const EXTENDED = 255;

/** An OPEN message (RFC 4271 §4.2). */
export interface OpenMessage {
	readonly type: 'open';
	/** The AS number, from the four-octet capability when there is one. */
	readonly asNumber: number;
	readonly holdTimeSeconds: number;
	/** BGP Identifier as an unsigned number. */
	readonly routerId: number;
	readonly capabilities: Capabilities;
}

/** A whole OPEN message. */
export function encodeOpen(open: OpenMessage): Uint8Array {
	const capabilities = encodeCapabilities(open.capabilities);
	const parameters = capabilities.length === 0 ? 0 : capabilities.length + 2;
	const body = new Uint8Array(10 + parameters);
	body[0] = VERSION;
	putUint16(body, 1, open.asNumber > 0xffff ? AS_TRANS : open.asNumber);
	putUint16(body, 3, open.holdTimeSeconds);
	putUint32(body, 5, open.routerId);
	body[9] = parameters;
	if (parameters > 0) {
		body[10] = CAPABILITIES_PARAMETER;
		body[11] = capabilities.length;
		body.set(capabilities, 12);
	}
	return frame(MessageType.open, body);
}

/**
 * Reads an OPEN body of at least ten bytes.
 *
 * @returns the notification of RFC 4271 §6.2 if it cannot be accepted whatever the configuration
 */
export function decodeOpen(bytes: Uint8Array, start: number, end: number): OpenMessage | Notification {
	const version = bytes[start] as number;
	if (version !== VERSION) return notificationWith16(ErrorCode.open, OpenError.version, VERSION);
	const as2 = uint16(bytes, start + 1);
	const holdTimeSeconds = uint16(bytes, start + 3);
	const routerId = uint32(bytes, start + 5);
	const capabilities = decodeParameters(bytes, start + 9, end);
	if ('type' in capabilities) return capabilities;
	const asNumber = capabilities.as4 ?? as2;
	// RFC 7607 §2
	if (asNumber === 0) return notification(ErrorCode.open, OpenError.badPeerAs);
	if (holdTimeSeconds === 1 || holdTimeSeconds === 2) return notification(ErrorCode.open, OpenError.holdTime);
	if (routerId === 0) return notification(ErrorCode.open, OpenError.badIdentifier);
	return { type: 'open', asNumber, holdTimeSeconds, routerId, capabilities };
}

function decodeParameters(bytes: Uint8Array, start: number, end: number): Capabilities | Notification {
	const malformed = notification(ErrorCode.open);
	let length = bytes[start] as number;
	let offset = start + 1;
	let lengthOctets = 1;
	if (length > 0 && end > offset && bytes[offset] === EXTENDED) {
		if (end - offset < 3) return malformed;
		length = uint16(bytes, offset + 1);
		offset += 3;
		lengthOctets = 2;
	}
	if (length !== end - offset) return malformed;
	let capabilities = NO_CAPABILITIES;
	while (offset < end) {
		if (end - offset < 1 + lengthOctets) return malformed;
		const type = bytes[offset] as number;
		const size = lengthOctets === 2 ? uint16(bytes, offset + 1) : (bytes[offset + 1] as number);
		offset += 1 + lengthOctets;
		if (size > end - offset) return malformed;
		if (type !== CAPABILITIES_PARAMETER) return notification(ErrorCode.open, OpenError.optionalParameter);
		const more = decodeCapabilities(bytes, offset, offset + size, capabilities);
		if (more === undefined) return malformed;
		capabilities = more;
		offset += size;
	}
	return capabilities;
}
