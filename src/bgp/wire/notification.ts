import { putUint16 } from './bytes.ts';

/** A NOTIFICATION message (RFC 4271 §4.5), received or to be sent. */
export interface Notification {
	readonly type: 'notification';
	readonly code: number;
	readonly subcode: number;
	readonly data: Uint8Array;
}

/** IANA "BGP Error (Notification) Codes". */
export const ErrorCode = {
	header: 1,
	open: 2,
	update: 3,
	holdTimer: 4,
	stateMachine: 5,
	cease: 6,
	routeRefresh: 7,
	sendHoldTimer: 8,
} as const;

export const HeaderError = { notSynchronized: 1, badLength: 2, badType: 3 } as const;
export const OpenError = { version: 1, badPeerAs: 2, badIdentifier: 3, optionalParameter: 4, holdTime: 6, capability: 7 } as const;
export const UpdateError = { malformedAttributes: 1, invalidNetwork: 10 } as const;
/** RFC 6608. */
export const StateMachineError = { openSent: 1, openConfirm: 2, established: 3 } as const;
/** RFC 4486, RFC 8538. */
export const CeaseError = {
	administrativeShutdown: 2,
	peerDeconfigured: 3,
	connectionRejected: 5,
	configurationChange: 6,
	collision: 7,
	outOfResources: 8,
	hardReset: 9,
} as const;

const EMPTY = new Uint8Array(0);

export function notification(code: number, subcode = 0, data: Uint8Array = EMPTY): Notification {
	return { type: 'notification', code, subcode, data };
}

/** A notification whose data is one 16 bit value, as RFC 4271 §6 asks for lengths and versions. */
export function notificationWith16(code: number, subcode: number, value: number): Notification {
	const data = new Uint8Array(2);
	putUint16(data, 0, value);
	return notification(code, subcode, data);
}

/** A Cease that also ends graceful restart, around the notification that says why (RFC 8538 §3.1). */
export function hardReset(inner: Notification): Notification {
	return notification(ErrorCode.cease, CeaseError.hardReset, Uint8Array.of(inner.code, inner.subcode, ...inner.data));
}

export function isHardReset(message: Notification): boolean {
	return message.code === ErrorCode.cease && message.subcode === CeaseError.hardReset;
}

const CODE_TEXT: Readonly<Record<number, string>> = {
	1: 'Message header error',
	2: 'OPEN message error',
	3: 'UPDATE message error',
	4: 'Hold timer expired',
	5: 'Finite state machine error',
	6: 'Cease',
	7: 'ROUTE-REFRESH message error',
	8: 'Send hold timer expired',
};

const SUBCODE_TEXT: Readonly<Record<number, readonly (string | undefined)[]>> = {
	1: [undefined, 'connection not synchronized', 'bad message length', 'bad message type'],
	2: [
		undefined,
		'unsupported version number',
		'bad peer AS',
		'bad BGP identifier',
		'unsupported optional parameter',
		undefined,
		'unacceptable hold time',
		'unsupported capability',
		undefined,
		undefined,
		undefined,
		'role mismatch',
	],
	3: [
		undefined,
		'malformed attribute list',
		'unrecognized well-known attribute',
		'missing well-known attribute',
		'attribute flags error',
		'attribute length error',
		'invalid ORIGIN',
		undefined,
		'invalid NEXT_HOP',
		'optional attribute error',
		'invalid network field',
		'malformed AS_PATH',
	],
	5: [undefined, 'unexpected message in OpenSent', 'unexpected message in OpenConfirm', 'unexpected message in Established'],
	6: [
		undefined,
		'maximum number of prefixes reached',
		'administrative shutdown',
		'peer de-configured',
		'administrative reset',
		'connection rejected',
		'other configuration change',
		'connection collision resolution',
		'out of resources',
		'hard reset',
		'BFD down',
	],
	7: [undefined, 'invalid message length'],
};

/** A notification in words, with the shutdown communication of RFC 9003 when it carries one. */
export function describeNotification(message: Notification): string {
	const [innerCode, innerSubcode] = message.data;
	if (
		isHardReset(message) &&
		innerCode !== undefined &&
		innerSubcode !== undefined &&
		(innerCode !== message.code || innerSubcode !== message.subcode)
	)
		return `Hard reset: ${describeNotification(notification(innerCode, innerSubcode, message.data.subarray(2)))}`;
	const code = CODE_TEXT[message.code] ?? `error ${message.code}`;
	const subcode = SUBCODE_TEXT[message.code]?.[message.subcode] ?? (message.subcode === 0 ? undefined : `subcode ${message.subcode}`);
	const communication = shutdownCommunication(message);
	return [code, subcode, communication === undefined ? undefined : JSON.stringify(communication)]
		.filter((part) => part !== undefined)
		.join(': ');
}

/** RFC 9003 §2: one length octet, then that much UTF-8; anything else carries no text. */
function shutdownCommunication(message: Notification): string | undefined {
	if (message.code !== ErrorCode.cease || (message.subcode !== 2 && message.subcode !== 4)) return undefined;
	const length = message.data[0] ?? 0;
	if (length === 0 || length > message.data.length - 1) return undefined;
	return new TextDecoder().decode(message.data.subarray(1, 1 + length));
}
