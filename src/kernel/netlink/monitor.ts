import { checked } from '../errno.ts';
import { type Native, native } from '../native.ts';
import type { NetlinkMessage } from './reader.ts';
import { NetlinkSocket } from './socket.ts';

const READABLE = 1;
/** Datagrams per wake-up, so that a flood of events leaves the thread time for other work. */
const RECEIVES_PER_WAKEUP = 64;

/** Reads events of multicast groups as they come and hands them on decoded, all of one wake-up together. */
export class NetlinkMonitor<Event> implements Disposable {
	readonly #native: Native;
	readonly #socket: NetlinkSocket;
	readonly #decode: (message: NetlinkMessage) => Event | undefined;
	readonly #onEvents: (events: readonly Event[]) => void;
	readonly #lost: Event;
	readonly #poll: number;
	#closed = false;

	/**
	 * @param lost the event that says that events were lost
	 * @throws KERNEL_SYSTEM_CALL
	 */
	constructor(
		socket: NetlinkSocket,
		groups: readonly number[],
		decode: (message: NetlinkMessage) => Event | undefined,
		onEvents: (events: readonly Event[]) => void,
		lost: Event,
	) {
		this.#native = native();
		this.#socket = socket;
		this.#decode = decode;
		this.#onEvents = onEvents;
		this.#lost = lost;
		try {
			for (const group of groups) socket.join(group);
			this.#poll = checked(
				this.#native.pollStart(socket.fd, READABLE, (status) => this.#ready(status)),
				'watch a netlink socket',
			);
		} catch (error) {
			socket[Symbol.dispose]();
			throw error;
		}
	}

	[Symbol.dispose](): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#native.pollStop(this.#poll);
		this.#socket[Symbol.dispose]();
	}

	#ready(status: number): void {
		const events: Event[] = [];
		let complete: boolean;
		try {
			complete = this.#socket.receiveWaiting((message) => {
				const event = this.#decode(message);
				if (event !== undefined) events.push(event);
			}, RECEIVES_PER_WAKEUP);
		} catch {
			// an event that cannot be read is as good as a lost one
			complete = false;
		}
		if (!complete) events.push(this.#lost);
		// an overrun raises the socket's error state, which ends the watch
		if (status < 0) this.#native.pollUpdate(this.#poll, READABLE);
		if (events.length > 0) this.#onEvents(events);
	}
}
