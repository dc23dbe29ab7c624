import { NetlinkMonitor } from '../netlink/monitor.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { TableFamily } from './object.ts';
import {
	familyOf,
	NETLINK_NETFILTER,
	NFGENMSG_BYTES,
	NFNL_SUBSYS_NFTABLES,
	NFNLGRP_NFTABLES,
	NFT_MSG_DELCHAIN,
	NFT_MSG_DELRULE,
	NFT_MSG_DELSET,
	NFT_MSG_DELSETELEM,
	NFT_MSG_DELTABLE,
	NFT_MSG_NEWCHAIN,
	NFT_MSG_NEWGEN,
	NFT_MSG_NEWRULE,
	NFT_MSG_NEWSET,
	NFT_MSG_NEWSETELEM,
	NFT_MSG_NEWTABLE,
} from './wire.ts';

/** A change of the ruleset, by anybody. */
export type NftEvent =
	| {
			readonly kind: 'table' | 'chain' | 'rule' | 'set' | 'elements';
			readonly change: 'new' | 'delete';
			/** Undefined for families that are none of ours. */
			readonly family: TableFamily | undefined;
			readonly table: string;
			/** Name of the chain, of the rule's chain, or of the set; absent for tables. */
			readonly name: string | undefined;
			/** Netlink port of the socket that made the change. */
			readonly portId: number;
	  }
	/** The end of a transaction. */
	| {
			readonly kind: 'generation';
			readonly generation: number;
			readonly processId: number;
			readonly processName: string;
			readonly portId: number;
	  }
	/** Events were lost: compare {@link NftSocket.generation} with what own commits explain, else list again. */
	| { readonly kind: 'resync' };

export interface NftMonitorOptions {
	readonly namespaceFd?: number;
	/** Called with all events of one wake-up. Must not throw. */
	readonly onEvents: (events: readonly NftEvent[]) => void;
	/** Changes made through these sockets are left out. */
	readonly ownPortIds?: readonly number[];
}

const NFTA_GEN_ID = 1;
const NFTA_GEN_PROC_PID = 2;
const NFTA_GEN_PROC_NAME = 3;
const TABLE_NAME = 1;

/** By message: what changed, and the attribute that names it. The first attribute of all names the table. */
const CHANGES: ReadonlyMap<number, readonly ['table' | 'chain' | 'rule' | 'set' | 'elements', 'new' | 'delete', number]> = new Map([
	[NFT_MSG_NEWTABLE, ['table', 'new', 0]],
	[NFT_MSG_DELTABLE, ['table', 'delete', 0]],
	[NFT_MSG_NEWCHAIN, ['chain', 'new', 3]],
	[NFT_MSG_DELCHAIN, ['chain', 'delete', 3]],
	[NFT_MSG_NEWRULE, ['rule', 'new', 2]],
	[NFT_MSG_DELRULE, ['rule', 'delete', 2]],
	[NFT_MSG_NEWSET, ['set', 'new', 2]],
	[NFT_MSG_DELSET, ['set', 'delete', 2]],
	[NFT_MSG_NEWSETELEM, ['elements', 'new', 2]],
	[NFT_MSG_DELSETELEM, ['elements', 'delete', 2]],
]);

/** Reports changes of nf_tables (NFNLGRP_NFTABLES) from its construction until it is disposed of. */
export class NftMonitor implements Disposable {
	readonly #monitor: NetlinkMonitor<NftEvent>;

	/** @throws KERNEL_SYSTEM_CALL */
	constructor(options: NftMonitorOptions) {
		const own = new Set(options.ownPortIds);
		const decode = (message: NetlinkMessage): NftEvent | undefined => (own.has(message.portId) ? undefined : readNftEvent(message));
		this.#monitor = new NetlinkMonitor(
			new NetlinkSocket(NETLINK_NETFILTER, options.namespaceFd),
			[NFNLGRP_NFTABLES],
			decode,
			options.onEvents,
			{ kind: 'resync' },
		);
	}

	[Symbol.dispose](): void {
		this.#monitor[Symbol.dispose]();
	}
}

/** Undefined for kinds of objects that Tortie does not use. @throws KERNEL_BAD_MESSAGE */
export function readNftEvent(message: NetlinkMessage): NftEvent | undefined {
	if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined;
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	const { portId } = message;
	if ((message.type & 0xff) === NFT_MSG_NEWGEN)
		return {
			kind: 'generation',
			generation: attributes.be32(NFTA_GEN_ID) ?? 0,
			processId: attributes.be32(NFTA_GEN_PROC_PID) ?? 0,
			processName: attributes.string(NFTA_GEN_PROC_NAME) ?? '',
			portId,
		};
	const change = CHANGES.get(message.type & 0xff);
	if (change === undefined) return undefined;
	const table = attributes.string(TABLE_NAME);
	if (table === undefined) throw badMessage(`an nftables event of type ${message.type & 0xff} names no table`);
	const name = change[2] === 0 ? undefined : attributes.string(change[2]);
	return { kind: change[0], change: change[1], family: familyOf(message), table, name, portId };
}
