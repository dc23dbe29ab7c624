import { MessageReader } from '../wire/framing.ts';
import { ErrorCode, type Notification, StateMachineError } from '../wire/notification.ts';
import type { Negotiated } from './negotiate.ts';

/** A TCP connection as a session sees it. */
export interface Transport {
	/** Queues bytes; they go out in order as the socket takes them. */
	send(bytes: Uint8Array): void;
	/** Bytes queued that the socket has not taken yet. */
	readonly queuedBytes: number;
	/** Closes after what is queued has gone out, within a short time. Nothing is delivered any more. */
	end(): void;
	/** Closes at once. */
	abort(): void;
}

/** States of one connection; the session's own state also knows Idle, Connect and Active. */
export type ConnectionState = 'OpenSent' | 'OpenConfirm' | 'Established';

/** One of the at most two connections of a session (RFC 4271 §6.8). */
export interface Connection {
	readonly transport: Transport;
	readonly direction: 'outgoing' | 'incoming';
	readonly reader: MessageReader;
	state: ConnectionState;
	/** When the peer has been silent for too long; infinite if there is no hold timer. */
	holdDeadlineMs: number;
	/** The hold timer ran out and gets one more chance: bytes may wait in the socket while we were busy. */
	holdSuspect: boolean;
	keepaliveDeadlineMs: number;
	/** Since when the socket has taken nothing although something was queued; undefined while it drains. */
	stuckSinceMs: number | undefined;
	queuedBytes: number;
	negotiated: Negotiated | undefined;
}

export function newConnection(transport: Transport, direction: Connection['direction'], holdDeadlineMs: number): Connection {
	return {
		transport,
		direction,
		reader: new MessageReader(),
		state: 'OpenSent',
		holdDeadlineMs,
		holdSuspect: false,
		keepaliveDeadlineMs: Number.POSITIVE_INFINITY,
		stuckSinceMs: undefined,
		queuedBytes: 0,
		negotiated: undefined,
	};
}

/** The FSM error for a message that a state does not expect (RFC 6608). */
export function unexpectedMessage(state: ConnectionState, type: number): Notification {
	const subcodes: Readonly<Record<ConnectionState, number>> = {
		OpenSent: StateMachineError.openSent,
		OpenConfirm: StateMachineError.openConfirm,
		Established: StateMachineError.established,
	};
	return { type: 'notification', code: ErrorCode.stateMachine, subcode: subcodes[state], data: Uint8Array.of(type) };
}
