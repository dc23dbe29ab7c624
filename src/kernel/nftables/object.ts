import type { SetDataType, SetKeyType } from './data-type.ts';
import type { Expression, Verdict } from './expression.ts';

/** The families of nftables tables that Tortie uses. */
export type TableFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev';

/** What names a table. */
export interface TableRef {
	readonly family: TableFamily;
	readonly name: string;
}

export interface Table extends TableRef {
	/** Shown by `nft list` as the table's comment. */
	readonly comment?: string;
}

export type ChainType = 'filter' | 'nat' | 'route';

export type HookName = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';

/** Where a base chain is attached. */
export interface BaseChain {
	readonly type: ChainType;
	readonly hook: HookName;
	/** Lower runs earlier: raw −300, mangle −150, dstnat −100, filter 0, srcnat 100. */
	readonly priority: number;
	readonly policy: 'accept' | 'drop';
}

export interface Chain {
	readonly name: string;
	/** Absent in chains that are reached by jumps only. */
	readonly base?: BaseChain;
	readonly comment?: string;
}

export interface Rule {
	readonly chain: string;
	readonly expressions: readonly Expression[];
	readonly comment?: string;
}

/** A rule in the kernel. */
export interface ListedRule extends Rule {
	/** The kernel's number of the rule, unique in its table. */
	readonly handle: bigint;
}

/** A set or, with `data`, a map. */
export interface SetSpec {
	readonly name: string;
	/** One type, or several for a concatenated key. */
	readonly key: readonly SetKeyType[];
	/** Makes it a map; `verdict` makes it a verdict map. */
	readonly data?: SetDataType;
	/** Keys are ranges: a tree for a single type, concatenated ranges ("pipapo") for several. Overlaps are refused. */
	readonly interval?: boolean;
	/** Elements are given with the set in its transaction and never change. */
	readonly constant?: boolean;
	/** Unnamed: lives and dies with the rule that looks it up. Only listings and {@link NftBatch.addAnonymousSet} make it. */
	readonly anonymous?: boolean;
	readonly comment?: string;
}

/** One element; bytes as {@link packKey} makes them. */
export interface SetElement {
	readonly key: Uint8Array;
	/** In interval sets: the last key of the range, inclusive. Absent: only `key`. */
	readonly keyEnd?: Uint8Array;
	/** In maps. */
	readonly data?: Uint8Array | Verdict;
}
