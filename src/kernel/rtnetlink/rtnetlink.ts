import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Family, Ip } from '#net';
import { errnoName } from '../errno.ts';
import { hasErrno, kernelError } from '../errors.ts';
import { badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { readAddress, writeAddress, writeAddressQuery } from './address-codec.ts';
import { readLink, writeLinkChange, writeLinkHeader, writeLinkQuery, writeLinkSpec } from './link-codec.ts';
import { readNeighbour, writeNeighbour, writeNeighbourQuery } from './neighbour-codec.ts';
import type { Address, Link, LinkChange, LinkSpec, Neighbour, Route, RouteFilter, RtOperation, RtOperationFailure } from './object.ts';
import { readRoute, writeRoute, writeRouteKey, writeRouteLookup, writeRouteQuery } from './route-codec.ts';
import {
	NETLINK_ROUTE,
	NLM_F_ACK,
	NLM_F_CREATE,
	NLM_F_DUMP,
	NLM_F_EXCL,
	NLM_F_REPLACE,
	NLM_F_REQUEST,
	RTM_DELADDR,
	RTM_DELLINK,
	RTM_DELNEIGH,
	RTM_DELROUTE,
	RTM_GETADDR,
	RTM_GETLINK,
	RTM_GETNEIGH,
	RTM_GETROUTE,
	RTM_NEWADDR,
	RTM_NEWLINK,
	RTM_NEWNEIGH,
	RTM_NEWROUTE,
} from './wire.ts';

/** The answers to more failing messages than this overrun the receive buffer; it is also what the thread can spare at a time. */
const MAX_OPERATIONS = 500;

const NEW_FLAGS = { add: NLM_F_CREATE | NLM_F_EXCL, replace: NLM_F_CREATE | NLM_F_REPLACE, delete: 0 } as const;

export interface RtnetlinkOptions {
	/** Descriptor of the network namespace to work in; the caller's own if absent. The socket stays there for life. */
	readonly namespaceFd?: number;
}

/**
 * Requests to rtnetlink: devices, addresses, routes, neighbours. Calls are synchronous and bounded; the kernel does
 * the work inside the system call. All throw KERNEL_SYSTEM_CALL, KERNEL_REFUSED, KERNEL_TIMEOUT, KERNEL_OVERRUN
 * and, for what cannot be encoded, KERNEL_BAD_ARGUMENT.
 */
export class Rtnetlink implements Disposable {
	readonly #socket: NetlinkSocket;
	readonly #writer = new MessageWriter();

	constructor(options: RtnetlinkOptions = {}) {
		this.#socket = new NetlinkSocket(NETLINK_ROUTE, options.namespaceFd);
	}

	/** The netlink port of this socket, which events of its changes carry. */
	get portId(): number {
		return this.#socket.portId;
	}

	listLinks(): readonly Link[] {
		return this.#dump(RTM_GETLINK, 'list devices', readLink, (writer) => writeLinkQuery(writer, undefined));
	}

	/** By name or index; undefined if there is none. */
	findLink(which: string | number): Link | undefined {
		try {
			return this.#ask(RTM_GETLINK, `look up device ${which}`, readLink, (writer) => writeLinkQuery(writer, which));
		} catch (error) {
			if (hasErrno(error, 'ENODEV')) return undefined;
			throw error;
		}
	}

	/** EEXIST when the name is taken. */
	createLink(spec: LinkSpec): void {
		this.#request(RTM_NEWLINK, NEW_FLAGS.add, `create ${spec.kind} device ${spec.name}`, (writer) => writeLinkSpec(writer, spec));
	}

	changeLink(index: number, change: LinkChange): void {
		this.#request(RTM_NEWLINK, 0, `change device ${index}`, (writer) => writeLinkChange(writer, index, change));
	}

	deleteLink(index: number): void {
		this.#request(RTM_DELLINK, 0, `delete device ${index}`, (writer) => writeLinkHeader(writer, index));
	}

	listAddresses(filter: { readonly family?: Family; readonly interfaceIndex?: number } = {}): readonly Address[] {
		return this.#dump(RTM_GETADDR, 'list addresses', readAddress, (writer) =>
			writeAddressQuery(writer, filter.family, filter.interfaceIndex),
		);
	}

	/** The routes of a family that fit the filter; empty when the table does not exist. */
	listRoutes(filter: RouteFilter): readonly Route[] {
		return this.#dump(RTM_GETROUTE, 'list routes', readRoute, (writer) => writeRouteQuery(writer, filter));
	}

	/** How the kernel would send a packet to the destination: next hop and source address. ENETUNREACH when there is no way. */
	lookupRoute(destination: Ip): Route {
		const route = this.#ask(RTM_GETROUTE, `look up a route to ${destination}`, readRoute, (writer) =>
			writeRouteLookup(writer, destination),
		);
		if (route === undefined) throw badMessage(`the kernel gave no route to ${destination}`);
		return route;
	}

	/** Neighbours of a family, or the forwarding databases (`bridge`). */
	listNeighbours(filter: { readonly family: Family | 'bridge'; readonly interfaceIndex?: number }): readonly Neighbour[] {
		return this.#dump(RTM_GETNEIGH, 'list neighbours', readNeighbour, (writer) =>
			writeNeighbourQuery(writer, filter.family, filter.interfaceIndex),
		);
	}

	/**
	 * Sends many changes, at most 500 in one system call, giving way to the event loop between those. Each stands
	 * alone: one failing does not undo others.
	 *
	 * @returns the failures; empty when all went well
	 */
	async apply(operations: readonly RtOperation[], signal?: AbortSignal): Promise<readonly RtOperationFailure[]> {
		const failures: RtOperationFailure[] = [];
		for (let start = 0; start < operations.length; start += MAX_OPERATIONS) {
			if (start > 0) await nextTurn();
			signal?.throwIfAborted();
			const chunk = operations.slice(start, start + MAX_OPERATIONS);
			for (const failure of this.applyNow(chunk)) failures.push({ ...failure, index: failure.index + start });
		}
		return failures;
	}

	/** The same, at once, for at most 500 operations. */
	applyNow(operations: readonly RtOperation[]): readonly RtOperationFailure[] {
		if (operations.length > MAX_OPERATIONS)
			throw kernelError('KERNEL_BAD_ARGUMENT', {
				message: `${operations.length} changes at once`,
				allowed: `at most ${MAX_OPERATIONS}`,
				hint: 'use apply',
			});
		if (operations.length === 0) return [];
		const first = this.#socket.nextSequence(operations.length);
		this.#writer.clear();
		for (const [index, operation] of operations.entries()) {
			// failures are answered without being asked for; the last answer tells that all were handled
			const ack = index === operations.length - 1 ? NLM_F_ACK : 0;
			writeOperation(this.#writer, operation, NLM_F_REQUEST | ack | NEW_FLAGS[operation.op], first + index);
		}
		const answers = this.#socket.exchange(this.#writer.bytes);
		if (!answers.some((answer) => answer.sequence === first + operations.length - 1))
			throw kernelError('KERNEL_TIMEOUT', { message: 'the kernel did not acknowledge a batch of changes' });
		return answers
			.filter((answer) => answer.errno !== 0)
			.map((answer) => ({ index: answer.sequence - first, errno: errnoName(answer.errno), message: answer.message }));
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
	}

	#request(type: number, flags: number, what: string, write: (writer: MessageWriter) => void): void {
		const sequence = this.#socket.nextSequence();
		this.#socket.request(this.#build(type, NLM_F_ACK | flags, sequence, write), sequence, what);
	}

	/** A request that is answered with one object. */
	#ask<T>(
		type: number,
		what: string,
		read: (message: NetlinkMessage) => T | undefined,
		write: (writer: MessageWriter) => void,
	): T | undefined {
		let found: T | undefined;
		const sequence = this.#socket.nextSequence();
		this.#socket.request(this.#build(type, NLM_F_ACK, sequence, write), sequence, what, (message) => (found = read(message)));
		return found;
	}

	#dump<T>(type: number, what: string, read: (message: NetlinkMessage) => T | undefined, write: (writer: MessageWriter) => void): T[] {
		try {
			return this.#socket.dump((sequence) => this.#build(type, NLM_F_DUMP, sequence, write), read, what);
		} catch (error) {
			// a routing table that was never used
			if (hasErrno(error, 'ENOENT')) return [];
			throw error;
		}
	}

	#build(type: number, flags: number, sequence: number, write: (writer: MessageWriter) => void): Uint8Array {
		this.#writer.clear();
		this.#writer.begin(type, NLM_F_REQUEST | flags, sequence);
		write(this.#writer);
		this.#writer.end();
		return this.#writer.bytes;
	}
}

function writeOperation(writer: MessageWriter, operation: RtOperation, flags: number, sequence: number): void {
	const isDelete = operation.op === 'delete';
	if ('route' in operation) {
		writer.begin(isDelete ? RTM_DELROUTE : RTM_NEWROUTE, flags, sequence);
		if (isDelete) writeRouteKey(writer, operation.route, 0);
		else writeRoute(writer, operation.route);
	} else if ('address' in operation) {
		writer.begin(isDelete ? RTM_DELADDR : RTM_NEWADDR, flags, sequence);
		writeAddress(writer, operation.address);
	} else {
		writer.begin(isDelete ? RTM_DELNEIGH : RTM_NEWNEIGH, flags, sequence);
		writeNeighbour(writer, operation.neighbour);
	}
	writer.end();
}
