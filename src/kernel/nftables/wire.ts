/** Numbers of nfnetlink and nf_tables on the wire (`linux/netfilter/nfnetlink.h`, `nf_tables.h`). */
import { badMessage, checkPayload, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { HookName, TableFamily } from './object.ts';

export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFGENMSG_BYTES = 4;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const NFT_MSG_NEWTABLE = 0;
export const NFT_MSG_GETTABLE = 1;
export const NFT_MSG_DELTABLE = 2;
export const NFT_MSG_NEWCHAIN = 3;
export const NFT_MSG_GETCHAIN = 4;
export const NFT_MSG_DELCHAIN = 5;
export const NFT_MSG_NEWRULE = 6;
export const NFT_MSG_GETRULE = 7;
export const NFT_MSG_DELRULE = 8;
export const NFT_MSG_NEWSET = 9;
export const NFT_MSG_GETSET = 10;
export const NFT_MSG_DELSET = 11;
export const NFT_MSG_NEWSETELEM = 12;
export const NFT_MSG_GETSETELEM = 13;
export const NFT_MSG_DELSETELEM = 14;
export const NFT_MSG_NEWGEN = 15;
export const NFT_MSG_GETGEN = 16;

export const NFTA_LIST_ELEM = 1;
export const NFTA_DATA_VALUE = 1;
export const NFTA_DATA_VERDICT = 2;

/** NFT_NAME_MAXLEN less the zero byte. */
export const MAX_NAME_BYTES = 255;

const FAMILY_NUMBERS: Readonly<Record<TableFamily, number>> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };
const FAMILY_BY_NUMBER = new Map(Object.entries(FAMILY_NUMBERS).map(([name, value]) => [value, name as TableFamily]));

export function familyNumber(family: TableFamily): number {
	return FAMILY_NUMBERS[family];
}

/** Undefined for families that are none of ours. */
export function familyOf(message: NetlinkMessage): TableFamily | undefined {
	checkPayload(message, NFGENMSG_BYTES);
	return FAMILY_BY_NUMBER.get(message.view.getUint8(message.start));
}

const IP_HOOKS: readonly HookName[] = ['prerouting', 'input', 'forward', 'output', 'postrouting'];
/** `linux/netfilter_arp.h` counts its hooks on its own. */
const ARP_HOOKS: readonly HookName[] = ['input', 'output', 'forward'];

/** -1 if the family has no such hook. */
export function hookNumber(family: TableFamily, hook: HookName): number {
	return (family === 'arp' ? ARP_HOOKS : IP_HOOKS).indexOf(hook);
}

/** @throws KERNEL_BAD_MESSAGE */
export function hookByNumber(family: TableFamily, value: number): HookName {
	const hook = (family === 'arp' ? ARP_HOOKS : IP_HOOKS)[value];
	if (hook === undefined || family === 'netdev') throw badMessage(`a base chain of family ${family} has hook number ${value}`);
	return hook;
}

/** Begins an nf_tables message with its `struct nfgenmsg`. */
export function beginNftMessage(writer: MessageWriter, message: number, flags: number, sequence: number, family: number): void {
	writer.begin((NFNL_SUBSYS_NFTABLES << 8) | message, flags, sequence);
	writer.header(NFGENMSG_BYTES).setUint8(0, family);
}

/** A number ↔ name table for one attribute. */
export class Names<Name extends string> {
	readonly #numbers: ReadonlyMap<string, number>;
	readonly #names: ReadonlyMap<number, Name>;

	constructor(numbers: Readonly<Record<Name, number>>) {
		const entries = (Object.keys(numbers) as Name[]).map((name) => [name, numbers[name]] as const);
		this.#numbers = new Map(entries);
		this.#names = new Map(entries.map(([name, value]) => [value, name]));
	}

	number(name: Name): number {
		return this.#numbers.get(name) as number;
	}

	name(value: number | undefined): Name | undefined {
		return value === undefined ? undefined : this.#names.get(value);
	}

	/** The bits of several names together. */
	bits(names: readonly Name[]): number {
		return names.reduce((bits, name) => bits | this.number(name), 0);
	}

	/** The names of the bits that are set, in the order of the table. */
	ofBits(bits: number): Name[] {
		return [...this.#names].filter(([value]) => (bits & value) !== 0).map(([, name]) => name);
	}
}
