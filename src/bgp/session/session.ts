import type { SessionState } from '../router-config.ts';
import { MessageType } from '../wire/constants.ts';
import { decodeNotification, encodeKeepalive, encodeNotification } from '../wire/framing.ts';
import {
	CeaseError,
	describeNotification,
	ErrorCode,
	hardReset,
	isHardReset,
	type Notification,
	notification,
} from '../wire/notification.ts';
import { decodeOpen, encodeOpen } from '../wire/open.ts';
import { decodeRouteRefresh, type RouteRefresh } from '../wire/route-refresh.ts';
import { type Connection, newConnection, type Transport, unexpectedMessage } from './connection.ts';
import { isRefusal, type LocalOpen, type Negotiated, negotiate } from './negotiate.ts';

/** Before the peer's OPEN has come (RFC 4271 §8.2.2). */
const LARGE_HOLD_MS = 240_000;
/** RFC 9687 §3.1: at least this long, and no shorter than the hold time. */
const SEND_HOLD_MS = 480_000;

export interface SessionOptions {
	/** Waits for the peer to connect. */
	readonly passive: boolean;
	/** ConnectRetryTime: the first attempts come soon, later ones up to so far apart. */
	readonly connectRetryMs: { readonly least: number; readonly most: number };
	/** How long the session rests after an error; doubled with each one in a row (DampPeerOscillations). */
	readonly errorWaitMs: { readonly least: number; readonly most: number };
}

/** How an established session ended. */
export interface SessionEnd {
	readonly reason: string;
	/** Routes of the peer may be kept for graceful restart: the connection was lost rather than ended (RFC 4724 §4.2). */
	readonly restart: boolean;
}

/** What the session's surroundings do for it. None may throw. */
export interface SessionHost {
	/** Monotonic milliseconds. */
	now(): number;
	/** In [0, 1). */
	random(): number;
	/** Our side of the negotiation, asked for each new connection. */
	localOpen(): LocalOpen;
	/** Starts a connection; answer with {@link Session.connected} or {@link Session.connectFailed}, unless cancelled. */
	connect(): void;
	cancelConnect(): void;
	stateChanged(state: SessionState): void;
	established(negotiated: Negotiated, transport: Transport): void;
	ended(end: SessionEnd): void;
	/** An UPDATE body. @returns the notification that ends the session, if any */
	update(bytes: Uint8Array, start: number, end: number): Notification | undefined;
	refresh(refresh: RouteRefresh): void;
}

/**
 * The state machine of one peer (RFC 4271 §8). It is told what happens and what time it is; it never waits or reads a clock by
 * itself. {@link Session.tick} has to be called a few times per second.
 */
export class Session {
	readonly #host: SessionHost;
	#options: SessionOptions;
	#state: SessionState = 'Idle';
	#running = false;
	#connecting = false;
	#connections: Connection[] = [];
	/** Idle: end of the rest after an error. Active: the next attempt to connect. */
	#retryAtMs = Number.POSITIVE_INFINITY;
	#errorsInRow = 0;
	#attemptsInRow = 0;
	#info = '';

	constructor(host: SessionHost, options: SessionOptions) {
		this.#host = host;
		this.#options = options;
	}

	get state(): SessionState {
		return this.#state;
	}

	/** The last failure in words, empty if there was none. */
	get info(): string {
		return this.#info;
	}

	/** Takes effect with the next attempt; the connection there is stays. */
	setOptions(options: SessionOptions): void {
		const becameActive = this.#options.passive && !options.passive;
		this.#options = options;
		if (becameActive && this.#state === 'Active') this.#retryAtMs = this.#host.now();
	}

	/** ManualStart (RFC 4271 §8.1.2). */
	start(): void {
		if (this.#running) return;
		this.#running = true;
		this.#goActive(0);
	}

	/**
	 * ManualStop: ends the session with a NOTIFICATION.
	 *
	 * @param restartAfterMs rests that long and starts again; stays down if absent
	 */
	stop(message: Notification, restartAfterMs?: number): void {
		this.#info = describeNotification(message);
		this.#running = restartAfterMs !== undefined;
		this.#closeAll(message);
		this.#goIdle(restartAfterMs);
	}

	/** Drops the connection without a word, as a process that dies does: the peer keeps our routes by graceful restart. */
	abandon(): void {
		this.#running = false;
		this.#stopConnecting();
		for (const connection of this.#connections) connection.transport.abort();
		this.#connections = [];
	}

	/** The outgoing connection is there. */
	connected(transport: Transport): void {
		if (!this.#connecting) {
			transport.abort();
			return;
		}
		this.#connecting = false;
		this.#open(transport, 'outgoing');
	}

	connectFailed(reason: string): void {
		if (!this.#connecting) return;
		this.#connecting = false;
		this.#info = reason;
		if (this.#connections.length === 0) this.#retry();
	}

	/** The peer has connected to us. */
	accepted(transport: Transport): void {
		const established = this.#connections.find(({ state }) => state === 'Established');
		if (!this.#running || this.#state === 'Idle') {
			transport.abort();
			return;
		}
		if (established !== undefined) {
			if (established.negotiated?.gracefulRestart === undefined) {
				transport.send(encodeNotification(notification(ErrorCode.cease, CeaseError.collision)));
				transport.end();
				return;
			}
			// RFC 4724 §4.2: the peer would not connect again had it not lost the session
			this.#info = 'The peer connected again: it has restarted';
			this.#drop(established, 'abort');
			this.#host.ended({ reason: this.#info, restart: true });
		}
		const older = this.#connections.find(({ direction }) => direction === 'incoming');
		if (older !== undefined) this.#drop(older, 'abort');
		this.#open(transport, 'incoming');
	}

	/** Bytes arrived. They are only read during the call. */
	received(transport: Transport, bytes: Uint8Array): void {
		const connection = this.#connections.find((candidate) => candidate.transport === transport);
		if (connection === undefined) return;
		const problem = connection.reader.read(bytes, (type, body, start, end) => {
			this.#message(connection, type, body, start, end);
			return this.#connections.includes(connection);
		});
		if (problem !== undefined) this.#fail(connection, problem);
	}

	/** The connection ended or failed (TcpConnectionFails). */
	closed(transport: Transport, reason: string): void {
		const connection = this.#connections.find((candidate) => candidate.transport === transport);
		if (connection === undefined) return;
		const wasEstablished = connection.state === 'Established';
		this.#drop(connection, 'abort');
		if (wasEstablished) {
			this.#info = reason;
			this.#host.ended({ reason, restart: true });
		}
		if (this.#connections.length > 0 || this.#connecting) this.#report();
		else {
			if (!wasEstablished) this.#info = reason;
			this.#retry();
		}
	}

	/** Runs what is due. */
	tick(): void {
		const now = this.#host.now();
		if (now >= this.#retryAtMs) {
			this.#retryAtMs = Number.POSITIVE_INFINITY;
			if (this.#state === 'Idle') this.#goActive(0);
			else if (this.#state === 'Active') this.#connect();
		}
		for (const connection of this.#connections) {
			if (now >= connection.holdDeadlineMs) {
				if (connection.holdSuspect) {
					this.#fail(connection, notification(ErrorCode.holdTimer));
					continue;
				}
				connection.holdSuspect = true;
			}
			if (this.#isStuck(connection, now)) {
				this.#fail(connection, notification(ErrorCode.sendHoldTimer));
				continue;
			}
			if (now >= connection.keepaliveDeadlineMs) this.#keepalive(connection);
		}
	}

	#open(transport: Transport, direction: Connection['direction']): void {
		const connection = newConnection(transport, direction, this.#host.now() + LARGE_HOLD_MS);
		this.#connections.push(connection);
		this.#retryAtMs = Number.POSITIVE_INFINITY;
		transport.send(encodeOpen(this.#host.localOpen().open));
		this.#report();
	}

	#message(connection: Connection, type: number, bytes: Uint8Array, start: number, end: number): void {
		if (type === MessageType.notification) this.#notified(connection, decodeNotification(bytes, start, end));
		else if (type === MessageType.open && connection.state === 'OpenSent') this.#opened(connection, bytes, start, end);
		else if (type === MessageType.keepalive && connection.state !== 'OpenSent') this.#alive(connection);
		else if (connection.state === 'Established' && type === MessageType.update) {
			this.#restartHold(connection);
			const problem = this.#host.update(bytes, start, end);
			if (problem !== undefined) this.#fail(connection, problem);
		} else if (connection.state === 'Established' && type === MessageType.routeRefresh) {
			this.#restartHold(connection);
			const refresh = decodeRouteRefresh(bytes, start, end);
			if (refresh?.type === 'notification') this.#fail(connection, refresh);
			else if (refresh !== undefined) this.#host.refresh(refresh);
		} else this.#fail(connection, unexpectedMessage(connection.state, type));
	}

	#opened(connection: Connection, bytes: Uint8Array, start: number, end: number): void {
		const open = decodeOpen(bytes, start, end);
		if (open.type === 'notification') {
			this.#fail(connection, open);
			return;
		}
		const local = this.#host.localOpen();
		const result = negotiate(local, open);
		if (isRefusal(result)) {
			this.#fail(connection, result.notification, result.reason);
			return;
		}
		connection.negotiated = result;
		if (this.#losesCollision(connection, result, local)) return;
		connection.state = 'OpenConfirm';
		this.#restartHold(connection);
		this.#keepalive(connection);
		this.#report();
	}

	/**
	 * RFC 4271 §6.8 with RFC 6286 §2.3: of two connections in OpenConfirm, the one opened by the side with the higher BGP
	 * Identifier, or the higher AS if those are equal, stays.
	 *
	 * @returns whether the given connection was the one to go
	 */
	#losesCollision(connection: Connection, peer: Negotiated, local: LocalOpen): boolean {
		const other = this.#connections.find((candidate) => candidate !== connection);
		if (other === undefined || other.state === 'OpenSent') return false;
		const peerDominates = peer.routerId > local.open.routerId || (peer.routerId === local.open.routerId && local.peerAs > local.localAs);
		const winner = peerDominates ? 'incoming' : 'outgoing';
		const loser = other.state === 'Established' || connection.direction !== winner ? connection : other;
		this.#drop(loser, notification(ErrorCode.cease, CeaseError.collision));
		return loser === connection;
	}

	#alive(connection: Connection): void {
		this.#restartHold(connection);
		if (connection.state !== 'OpenConfirm' || connection.negotiated === undefined) return;
		connection.state = 'Established';
		for (const other of this.#connections.filter((candidate) => candidate !== connection))
			this.#drop(other, notification(ErrorCode.cease, CeaseError.collision));
		this.#stopConnecting();
		this.#errorsInRow = 0;
		this.#attemptsInRow = 0;
		this.#info = '';
		this.#report();
		this.#host.established(connection.negotiated, connection.transport);
	}

	#notified(connection: Connection, message: Notification): void {
		const reason = `Received: ${describeNotification(message)}`;
		const established = connection.state === 'Established';
		const collision = !established && message.code === ErrorCode.cease && message.subcode === CeaseError.collision;
		const restart = established && this.#keepsRoutes(connection, message);
		this.#drop(connection, 'abort');
		if (this.#connections.length > 0 && (collision || !established)) {
			this.#report();
			return;
		}
		this.#info = reason;
		if (established) this.#host.ended({ reason, restart });
		if (collision) this.#retry();
		else this.#rest();
	}

	/** Ends a connection because of an error on it. */
	#fail(connection: Connection, message: Notification, reason = describeNotification(message)): void {
		const established = connection.state === 'Established';
		this.#info = reason;
		this.#drop(connection, message);
		if (established) this.#host.ended({ reason, restart: this.#keepsRoutes(connection, message) });
		if (this.#connections.length > 0) this.#report();
		else this.#rest();
	}

	/** RFC 8538 §4. */
	#keepsRoutes(connection: Connection, message: Notification): boolean {
		return connection.negotiated?.gracefulRestart?.notification === true && !isHardReset(message);
	}

	#drop(connection: Connection, how: Notification | 'abort'): void {
		this.#connections = this.#connections.filter((candidate) => candidate !== connection);
		if (how === 'abort') connection.transport.abort();
		else {
			connection.transport.send(encodeNotification(how));
			connection.transport.end();
		}
	}

	#closeAll(message: Notification): void {
		this.#stopConnecting();
		const established = this.#connections.some(({ state }) => state === 'Established');
		for (const connection of this.#connections) {
			// RFC 8538 §3: without a hard reset the peer would keep our routes
			const keeps = connection.negotiated?.gracefulRestart?.notification === true;
			this.#drop(connection, keeps ? hardReset(message) : message);
		}
		if (established) this.#host.ended({ reason: this.#info, restart: false });
	}

	/** Idle for a while after an error, longer with each error in a row. */
	#rest(): void {
		this.#stopConnecting();
		this.#goIdle(this.#jittered(backedOff(this.#options.errorWaitMs, this.#errorsInRow++)));
	}

	/** Active until the next attempt. */
	#retry(): void {
		this.#goActive(this.#jittered(backedOff(this.#options.connectRetryMs, this.#attemptsInRow++)));
	}

	#goIdle(forMs: number | undefined): void {
		this.#retryAtMs = this.#running && forMs !== undefined ? this.#host.now() + forMs : Number.POSITIVE_INFINITY;
		this.#setState('Idle');
	}

	#goActive(connectAfterMs: number): void {
		if (!this.#running) {
			this.#goIdle(undefined);
			return;
		}
		this.#setState('Active');
		if (this.#options.passive) this.#retryAtMs = Number.POSITIVE_INFINITY;
		else if (connectAfterMs === 0) this.#connect();
		else this.#retryAtMs = this.#host.now() + connectAfterMs;
	}

	#connect(): void {
		this.#connecting = true;
		this.#retryAtMs = Number.POSITIVE_INFINITY;
		this.#setState('Connect');
		this.#host.connect();
	}

	#stopConnecting(): void {
		if (!this.#connecting) return;
		this.#connecting = false;
		this.#host.cancelConnect();
	}

	/** Takes the session's state from its most advanced connection. */
	#report(): void {
		const order: readonly SessionState[] = ['Established', 'OpenConfirm', 'OpenSent'];
		const state = order.find((candidate) => this.#connections.some((connection) => connection.state === candidate));
		if (state !== undefined) this.#setState(state);
		else if (this.#connecting) this.#setState('Connect');
	}

	#setState(state: SessionState): void {
		if (state === this.#state) return;
		this.#state = state;
		this.#host.stateChanged(state);
	}

	#restartHold(connection: Connection): void {
		const holdTimeMs = connection.negotiated?.holdTimeMs ?? 0;
		connection.holdDeadlineMs = holdTimeMs === 0 ? Number.POSITIVE_INFINITY : this.#host.now() + holdTimeMs;
		connection.holdSuspect = false;
	}

	#keepalive(connection: Connection): void {
		const holdTimeMs = connection.negotiated?.holdTimeMs ?? 0;
		connection.transport.send(encodeKeepalive());
		connection.keepaliveDeadlineMs = holdTimeMs === 0 ? Number.POSITIVE_INFINITY : this.#host.now() + this.#jittered(holdTimeMs / 3);
	}

	/** RFC 9687: the peer does not take what we send. */
	#isStuck(connection: Connection, now: number): boolean {
		const queued = connection.transport.queuedBytes;
		if (queued === 0 || queued < connection.queuedBytes) connection.stuckSinceMs = undefined;
		else connection.stuckSinceMs ??= now;
		connection.queuedBytes = queued;
		const limit = Math.max(SEND_HOLD_MS, connection.negotiated?.holdTimeMs ?? 0);
		return connection.stuckSinceMs !== undefined && now - connection.stuckSinceMs >= limit;
	}

	/** RFC 4271 §10: between 75 % and all of a time. */
	#jittered(timeMs: number): number {
		return timeMs * (0.75 + 0.25 * this.#host.random());
	}
}

/** Twice as long each time. */
function backedOff({ least, most }: SessionOptions['connectRetryMs'], timesBefore: number): number {
	return Math.min(most, least * 2 ** Math.min(timesBefore, 16));
}
