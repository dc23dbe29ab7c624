import { setImmediate as nextTurn } from 'node:timers/promises';
import { FAMILIES, type Family, formatIp, type Ip, ipBytes, ipFamily } from '#net';
import { errnoMessage, errnoName } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { Attributes, type NetlinkMessage } from '../netlink/reader.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { MessageWriter } from '../netlink/writer.ts';

/** `linux/netfilter/nfnetlink.h`, `nfnetlink_conntrack.h`. */
const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const NFGENMSG_BYTES = 4;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLA_F_NESTED = 0x8000;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
/** CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST */
const CTA_IP = { 4: { source: 1, destination: 2 }, 6: { source: 3, destination: 4 } } as const;
/** CTA_FILTER_F_CTA_IP_SRC, CTA_FILTER_F_CTA_IP_DST */
const FILTER_FLAG = { source: 1, destination: 2 } as const;
const AF = { 4: 2, 6: 10 } as const;
const ENOENT = 2;
const MAX_DELETES = 500;

/** Where an address can stand in an entry. */
interface Place {
	readonly tuple: number;
	readonly side: 'source' | 'destination';
}

const PLACES: readonly Place[] = [
	{ tuple: CTA_TUPLE_ORIG, side: 'source' },
	{ tuple: CTA_TUPLE_ORIG, side: 'destination' },
	{ tuple: CTA_TUPLE_REPLY, side: 'source' },
];

type Filter = (typeof PLACES)[number] & { readonly address: Ip };

/** Up to this many addresses are asked for one by one. The kernel walks its whole table each time, about 5 ms. */
const MAX_FILTERED = 4;

/** An entry: what names it to the kernel, and the addresses by which it is looked for. */
interface Entry {
	readonly original: Uint8Array;
	readonly id: Uint8Array | undefined;
	readonly zone: Uint8Array | undefined;
	readonly addresses: readonly Ip[];
}

export interface ConntrackOptions {
	/** Descriptor of the network namespace to work in; the caller's own if absent. The socket stays there for life. */
	readonly namespaceFd?: number;
}

/** Requests to connection tracking; the kernel walks its table inside the system call. */
export class Conntrack implements Disposable {
	readonly #socket: NetlinkSocket;
	readonly #writer = new MessageWriter();

	/** @throws KERNEL_SYSTEM_CALL */
	constructor(options: ConntrackOptions = {}) {
		this.#socket = new NetlinkSocket(NETLINK_NETFILTER, options.namespaceFd);
	}

	/**
	 * Deletes every entry that has one of the addresses as original source, original destination or reply source, so
	 * that who gets the address next inherits no "established". Gives way to the event loop between listings.
	 *
	 * @returns how many entries were deleted
	 * @throws KERNEL_REFUSED, KERNEL_SYSTEM_CALL, KERNEL_TIMEOUT, KERNEL_OVERRUN, KERNEL_DUMP_INTERRUPTED
	 */
	async deleteByAddresses(addresses: ReadonlySet<Ip>): Promise<number> {
		let count = 0;
		for (const family of FAMILIES) {
			const wanted = [...addresses].filter((address) => ipFamily(address) === family);
			const filters: (Filter | undefined)[] =
				family === 6 || wanted.length > MAX_FILTERED
					? [undefined]
					: wanted.flatMap((address) => PLACES.map((place) => ({ address, ...place })));
			for (const filter of wanted.length === 0 ? [] : filters) {
				const entries = this.#list(family, filter).filter((entry) => entry.addresses.some((address) => addresses.has(address)));
				for (let start = 0; start < entries.length; start += MAX_DELETES)
					count += this.#delete(family, entries.slice(start, start + MAX_DELETES));
				await nextTurn();
			}
		}
		return count;
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
	}

	/**
	 * The kernel filters since Linux 5.8; older ones give all entries. For IPv6 it may not be asked to: Linux 6.18 then
	 * gives exactly the entries that do not match.
	 */
	#list(family: Family, filter: Filter | undefined): Entry[] {
		const build = (sequence: number): Uint8Array => {
			this.#writer.clear();
			this.#begin(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, family);
			if (filter !== undefined) this.#writeFilter(family, filter);
			this.#writer.end();
			return this.#writer.bytes;
		};
		return this.#socket.dump(build, (message) => readEntry(message, family), 'list tracked connections');
	}

	#writeFilter(family: Family, { address, tuple, side }: Filter): void {
		const flags = this.#writer.beginNest(CTA_FILTER);
		// CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS have the numbers of the tuples they are about
		this.#writer.u32(tuple, FILTER_FLAG[side]);
		this.#writer.endNest(flags);
		const nest = this.#writer.beginNest(tuple);
		const addresses = this.#writer.beginNest(CTA_TUPLE_IP);
		this.#writer.bytesOf(CTA_IP[family][side], ipBytes(address));
		this.#writer.endNest(addresses);
		this.#writer.endNest(nest);
	}

	#delete(family: Family, entries: readonly Entry[]): number {
		const first = this.#socket.nextSequence(entries.length);
		this.#writer.clear();
		for (const [index, { original, id, zone }] of entries.entries()) {
			this.#begin(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, first + index, family);
			this.#writer.bytesOf(CTA_TUPLE_ORIG | NLA_F_NESTED, original);
			if (id !== undefined) this.#writer.bytesOf(CTA_ID, id);
			if (zone !== undefined) this.#writer.bytesOf(CTA_ZONE, zone);
			this.#writer.end();
		}
		const answers = this.#socket.exchange(this.#writer.bytes);
		// an entry may end by itself before it is deleted
		const failure = answers.find(({ errno }) => errno !== 0 && errno !== ENOENT);
		if (failure !== undefined)
			throw kernelError('KERNEL_REFUSED', {
				message: `delete tracked connections: ${errnoMessage(failure.errno)}`,
				found: errnoName(failure.errno),
			});
		return answers.filter(({ errno }) => errno === 0).length;
	}

	#begin(message: number, flags: number, sequence: number, family: Family): void {
		this.#writer.begin((NFNL_SUBSYS_CTNETLINK << 8) | message, flags, sequence);
		this.#writer.header(NFGENMSG_BYTES).setUint8(0, AF[family]);
	}
}

function readEntry(message: NetlinkMessage, family: Family): Entry | undefined {
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	const original = attributes.bytes(CTA_TUPLE_ORIG);
	if (original === undefined) return undefined;
	const addresses = PLACES.flatMap(({ tuple, side }) => {
		const bytes = attributes.nested(tuple)?.nested(CTA_TUPLE_IP)?.bytes(CTA_IP[family][side]);
		return bytes === undefined ? [] : [formatIp(bytes)];
	});
	return { original, id: attributes.bytes(CTA_ID), zone: attributes.bytes(CTA_ZONE), addresses };
}
