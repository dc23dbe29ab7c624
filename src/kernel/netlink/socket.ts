import { checked, errnoMessage, errnoName, systemCallError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { type Native, native } from '../native.ts';
import { Attributes, badMessage, checkPayload, type NetlinkMessage, readMessages } from './reader.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

const EAGAIN = 11;
const ENOBUFS = 105;

/** Answers to a full batch fit; what multicast groups lose beyond it is reported as a loss. */
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** More than the largest message the kernel builds for a dump (32 KiB) or a notification. */
const MESSAGE_BUFFER_BYTES = 128 << 10;
const ANSWER_TIMEOUT_S = 10;
/** Every commit of anybody interrupts a dump; a bound keeps a busy ruleset from holding the thread. */
const DUMP_TRIES = 10;

/** An answer of the kernel to one message: 0 or an error. */
export interface Answer {
	readonly sequence: number;
	readonly errno: number;
	/** Extended acknowledgement text. */
	readonly message: string | undefined;
}

/** A netlink socket. As a request socket it blocks, with a limit; as a monitor it is read when readable. */
export class NetlinkSocket implements Disposable {
	readonly fd: number;
	readonly portId: number;
	readonly #native: Native;
	readonly #buffer = new Uint8Array(MESSAGE_BUFFER_BYTES);
	#sequence = 0;
	#sendBufferBytes = 0;
	#closed = false;

	/** @throws KERNEL_SYSTEM_CALL */
	constructor(protocol: number, namespaceFd: number | undefined) {
		this.#native = native();
		this.fd = checked(
			namespaceFd === undefined
				? this.#native.socket(AF_NETLINK, SOCK_RAW, protocol)
				: this.#native.socketInNamespace(namespaceFd, AF_NETLINK, SOCK_RAW, protocol),
			'open a netlink socket',
		);
		try {
			this.#prepare();
			this.portId = this.#bind();
		} catch (error) {
			this.#native.close(this.fd);
			throw error;
		}
	}

	/** A number no earlier request of this socket had. */
	nextSequence(count = 1): number {
		const first = this.#sequence + 1;
		this.#sequence += count;
		// wrapped by hand: the kernel's field has 32 bits
		if (this.#sequence >= 0x7fffffff) this.#sequence = 0;
		return first;
	}

	/** Subscribes to a multicast group. After bind, which would clear memberships. */
	join(group: number): void {
		this.#option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, `join netlink group ${group}`);
	}

	/**
	 * Sends messages and returns every answer the kernel gave to them. The kernel works inside the system call, so the
	 * answers are there when it returns.
	 *
	 * @throws KERNEL_SYSTEM_CALL, KERNEL_OVERRUN when answers were lost
	 */
	exchange(bytes: Uint8Array): readonly Answer[] {
		this.#drain();
		this.#send(bytes);
		const answers: Answer[] = [];
		for (;;) {
			const received = this.#receive(MSG_DONTWAIT);
			if (received === undefined) return answers;
			for (const message of readMessages(received)) if (message.type === NLMSG_ERROR) answers.push(readAnswer(message));
		}
	}

	/**
	 * Sends one message that asks for an acknowledgement or one answer.
	 *
	 * @param what the request in words, for errors
	 * @param onMessage called with answers other than the acknowledgement
	 * @throws KERNEL_REFUSED, KERNEL_TIMEOUT, KERNEL_SYSTEM_CALL, KERNEL_OVERRUN
	 */
	request(bytes: Uint8Array, sequence: number, what: string, onMessage?: (message: NetlinkMessage) => void): void {
		this.#drain();
		this.#send(bytes);
		for (;;) {
			for (const message of readMessages(this.#receiveInTime(what))) {
				if (message.sequence !== sequence) continue;
				if (message.type !== NLMSG_ERROR) {
					onMessage?.(message);
					continue;
				}
				const answer = readAnswer(message);
				if (answer.errno !== 0) throw refused(answer, what);
				return;
			}
		}
	}

	/**
	 * Lists: sends a dump request and decodes each message of the answer, again from the start if the listing was
	 * interrupted by a change.
	 *
	 * @param build gives the request's bytes for a sequence number
	 * @param decode undefined leaves a message out
	 * @throws KERNEL_REFUSED, KERNEL_DUMP_INTERRUPTED, KERNEL_TIMEOUT, KERNEL_OVERRUN, KERNEL_BAD_MESSAGE
	 */
	dump<T>(build: (sequence: number) => Uint8Array, decode: (message: NetlinkMessage) => T | undefined, what: string): T[] {
		for (let attempt = 0; attempt < DUMP_TRIES; attempt++) {
			const items = this.#dumpOnce(build, decode, what);
			if (items !== undefined) return items;
		}
		throw kernelError('KERNEL_DUMP_INTERRUPTED', {
			message: `${what}: changed during each of ${DUMP_TRIES} listings`,
			hint: 'try again later',
		});
	}

	/**
	 * Reads what a monitor has waiting, without blocking.
	 *
	 * @param receives how many datagrams at most, unless some were lost
	 * @returns false when messages were lost; nothing is left waiting then
	 */
	receiveWaiting(onMessage: (message: NetlinkMessage) => void, receives: number): boolean {
		for (let count = 0; count < receives; count++) {
			const length = this.#native.recv(this.fd, this.#buffer, 0, this.#buffer.length, MSG_DONTWAIT | MSG_TRUNC);
			if (length === -EAGAIN) return true;
			if (length === -ENOBUFS || length > this.#buffer.length) {
				// until its queue is empty the kernel drops further events without another error
				this.#drain();
				return false;
			}
			for (const message of readMessages(this.#buffer.subarray(0, checked(length, 'receive netlink events')))) onMessage(message);
		}
		return true;
	}

	[Symbol.dispose](): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#native.close(this.fd);
	}

	#prepare(): void {
		const timeout = new Uint8Array(16);
		timeout[0] = ANSWER_TIMEOUT_S;
		checked(this.#native.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, timeout), 'set SO_RCVTIMEO');
		checked(this.#native.setsockopt(this.fd, SOL_SOCKET, SO_SNDTIMEO, timeout), 'set SO_SNDTIMEO');
		this.#option(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES, 'set SO_RCVBUFFORCE');
		this.#option(SOL_NETLINK, NETLINK_CAP_ACK, 1, 'set NETLINK_CAP_ACK');
		this.#option(SOL_NETLINK, NETLINK_EXT_ACK, 1, 'set NETLINK_EXT_ACK');
		this.#option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1, 'set NETLINK_GET_STRICT_CHK');
	}

	/** Lets the kernel choose the port and reads it back. */
	#bind(): number {
		const address = new Uint8Array(12);
		const view = new DataView(address.buffer);
		view.setUint16(0, AF_NETLINK, true);
		checked(this.#native.bind(this.fd, address), 'bind a netlink socket');
		checked(this.#native.getsockname(this.fd, address), 'read the port of a netlink socket');
		return view.getUint32(4, true);
	}

	#option(level: number, name: number, value: number, what: string): void {
		const bytes = new Uint8Array(4);
		new DataView(bytes.buffer).setInt32(0, value, true);
		checked(this.#native.setsockopt(this.fd, level, name, bytes), what);
	}

	#send(bytes: Uint8Array): void {
		// a message larger than the send buffer is refused (EMSGSIZE)
		if (bytes.length * 2 > this.#sendBufferBytes) {
			this.#sendBufferBytes = Math.max(bytes.length * 2, 1 << 20);
			this.#option(SOL_SOCKET, SO_SNDBUFFORCE, this.#sendBufferBytes, 'set SO_SNDBUFFORCE');
		}
		const sent = checked(this.#native.send(this.fd, bytes, 0, bytes.length, 0), 'send to netlink');
		if (sent !== bytes.length) throw badMessage(`netlink took ${sent} of ${bytes.length} bytes`);
	}

	/** Removes what is waiting, such as answers to an earlier request that was given up, so that they are not taken for new ones. */
	#drain(): void {
		for (;;) {
			const length = this.#native.recv(this.fd, this.#buffer, 0, this.#buffer.length, MSG_DONTWAIT);
			if (length === -EAGAIN) return;
			if (length < 0 && length !== -ENOBUFS) throw systemCallError(-length, 'receive from netlink');
		}
	}

	/** What one receive gave; undefined when nothing is there. */
	#receive(flags: number): Uint8Array | undefined {
		const length = this.#native.recv(this.fd, this.#buffer, 0, this.#buffer.length, flags | MSG_TRUNC);
		if (length === -EAGAIN) return undefined;
		if (length === -ENOBUFS) throw kernelError('KERNEL_OVERRUN', { message: 'netlink answers were lost', hint: 'list again' });
		checked(length, 'receive from netlink');
		if (length > this.#buffer.length) throw badMessage(`a netlink answer of ${length} bytes is longer than ${this.#buffer.length}`);
		return this.#buffer.subarray(0, length);
	}

	#receiveInTime(what: string): Uint8Array {
		const received = this.#receive(0);
		if (received === undefined)
			throw kernelError('KERNEL_TIMEOUT', { message: `${what}: the kernel gave no answer in ${ANSWER_TIMEOUT_S} s` });
		return received;
	}

	/** Undefined when a change interrupted the listing. */
	#dumpOnce<T>(build: (sequence: number) => Uint8Array, decode: (message: NetlinkMessage) => T | undefined, what: string): T[] | undefined {
		const sequence = this.nextSequence();
		this.#drain();
		this.#send(build(sequence));
		const items: T[] = [];
		let interrupted = false;
		let failure: unknown;
		for (;;) {
			for (const message of readMessages(this.#receiveInTime(what))) {
				if (message.sequence !== sequence) continue;
				interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
				if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
					const answer = readAnswer(message);
					if (answer.errno !== 0) throw refused(answer, what);
					// after the end only, since the kernel refuses a second dump while one is unread
					if (failure !== undefined) throw failure;
					return interrupted ? undefined : items;
				}
				if (failure !== undefined || interrupted) continue;
				try {
					const item = decode(message);
					if (item !== undefined) items.push(item);
				} catch (error) {
					failure = error;
				}
			}
		}
	}
}

/** The content of NLMSG_ERROR or NLMSG_DONE (`struct nlmsgerr`). */
function readAnswer(message: NetlinkMessage): Answer {
	checkPayload(message, 4);
	const errno = -message.view.getInt32(message.start, true);
	// with NETLINK_CAP_ACK the header of the request follows the number, without its content
	const attributesAt = message.type === NLMSG_ERROR ? 20 : 4;
	const hasText = errno !== 0 && (message.flags & NLM_F_ACK_TLVS) !== 0 && message.end - message.start >= attributesAt;
	return {
		sequence: message.sequence,
		errno,
		message: hasText ? Attributes.of(message, attributesAt).string(NLMSGERR_ATTR_MSG) : undefined,
	};
}

function refused(answer: Answer, what: string): ReturnType<typeof kernelError> {
	const words = answer.message === undefined ? '' : `: ${answer.message}`;
	return kernelError('KERNEL_REFUSED', { message: `${what}: ${errnoMessage(answer.errno)}${words}`, found: errnoName(answer.errno) });
}
