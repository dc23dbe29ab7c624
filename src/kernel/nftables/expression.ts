/**
 * The expressions of nf_tables rules, one to one with the kernel's (`linux/netfilter/nf_tables.h`): what is
 * encoded is what a listing gives back. `statement.ts` builds the usual combinations.
 */

/**
 * A data register, counted in 32-bit slots from 0 to 15. A value longer than 4 bytes takes the following slots too;
 * values of at most 16 bytes that stand alone use slots 0, 4, 8 or 12.
 */
export type Register = number;

/** What a rule or a verdict-map element decides. */
export type Verdict =
	| { readonly verdict: 'accept' | 'drop' | 'continue' | 'return' }
	| { readonly verdict: 'jump' | 'goto'; readonly chain: string };

export type MetaKey =
	| 'length'
	| 'protocol'
	| 'priority'
	| 'mark'
	| 'iif'
	| 'oif'
	| 'iifname'
	| 'oifname'
	| 'skuid'
	| 'nfproto'
	| 'l4proto'
	| 'pkttype';

export type CtKey =
	| 'state'
	| 'direction'
	| 'status'
	| 'mark'
	| 'l3proto'
	| 'protocol'
	| 'proto_src'
	| 'proto_dst'
	| 'labels'
	| 'zone'
	| 'src_ip'
	| 'dst_ip'
	| 'src_ip6'
	| 'dst_ip6';

export type PayloadBase = 'link' | 'network' | 'transport' | 'inner';

export type CompareOperator = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte';

export type NatFlag = 'random' | 'persistent' | 'fully-random' | 'netmap';

export type FibFlag = 'saddr' | 'daddr' | 'mark' | 'iif' | 'oif';

/** Values in `data`, `mask`, `xor`, `from` and `to` are bytes as the register holds them: packet fields big endian, meta and ct host endian. */
export type Expression =
	| { readonly kind: 'meta'; readonly key: MetaKey; readonly dreg: Register }
	| { readonly kind: 'meta-set'; readonly key: MetaKey; readonly sreg: Register }
	| { readonly kind: 'payload'; readonly base: PayloadBase; readonly offset: number; readonly length: number; readonly dreg: Register }
	| {
			readonly kind: 'payload-set';
			readonly base: PayloadBase;
			readonly offset: number;
			readonly length: number;
			readonly sreg: Register;
			/** Offset of the internet checksum to correct, from the same base. */
			readonly checksumOffset?: number;
			/** The transport checksum covers the field as well (pseudo header). */
			readonly pseudoHeader?: boolean;
	  }
	| { readonly kind: 'ct'; readonly key: CtKey; readonly direction?: 'original' | 'reply'; readonly dreg: Register }
	| { readonly kind: 'ct-set'; readonly key: CtKey; readonly sreg: Register }
	| { readonly kind: 'cmp'; readonly op: CompareOperator; readonly sreg: Register; readonly data: Uint8Array }
	| { readonly kind: 'range'; readonly op: 'eq' | 'neq'; readonly sreg: Register; readonly from: Uint8Array; readonly to: Uint8Array }
	/** dreg = (sreg & mask) ^ xor; both have the length of the value. */
	| { readonly kind: 'bitwise'; readonly sreg: Register; readonly dreg: Register; readonly mask: Uint8Array; readonly xor: Uint8Array }
	| {
			readonly kind: 'byteorder';
			readonly op: 'ntoh' | 'hton';
			readonly sreg: Register;
			readonly dreg: Register;
			readonly length: number;
			readonly size: 2 | 4 | 8;
	  }
	/**
	 * Membership in a set, the value of a map (`dreg` a register), or the verdict of a verdict map (`dreg: 'verdict'`).
	 * `setId` names a set made in the same transaction that has no final name yet (anonymous sets).
	 */
	| {
			readonly kind: 'lookup';
			readonly set: string;
			readonly setId?: number;
			readonly sreg: Register;
			readonly dreg?: Register | 'verdict';
			readonly invert?: boolean;
	  }
	| { readonly kind: 'immediate'; readonly dreg: Register; readonly data: Uint8Array }
	| ({ readonly kind: 'verdict' } & Verdict)
	/** The values are where counting starts when sent, and what was counted when listed. */
	| { readonly kind: 'counter'; readonly packets: bigint; readonly bytes: bigint }
	/** With `group` to nfnetlink_log, else to the kernel's log at `level` (syslog's number, 4 = warning). */
	| {
			readonly kind: 'log';
			readonly prefix?: string;
			readonly group?: number;
			readonly snapLength?: number;
			readonly queueThreshold?: number;
			readonly level?: number;
			readonly flags?: number;
	  }
	| {
			readonly kind: 'limit';
			readonly of: 'packets' | 'bytes';
			readonly rate: bigint;
			/** The period the rate is for: 1, 60, 3600, 86400 or 604800. */
			readonly perSeconds: bigint;
			readonly burst: number;
			/** Matches what is over the limit. */
			readonly invert?: boolean;
	  }
	/** `ct count`; with `invert` it matches when there are more than `count`. */
	| { readonly kind: 'connlimit'; readonly count: number; readonly invert?: boolean }
	| { readonly kind: 'reject'; readonly with: 'icmp' | 'icmpx'; readonly code: number }
	| { readonly kind: 'reject'; readonly with: 'tcp-reset' }
	| { readonly kind: 'masquerade'; readonly flags?: readonly NatFlag[]; readonly protoMin?: Register; readonly protoMax?: Register }
	| {
			readonly kind: 'nat';
			readonly type: 'snat' | 'dnat';
			readonly family: 4 | 6;
			readonly addressMin?: Register;
			/** Where it differs from `addressMin`. */
			readonly addressMax?: Register;
			readonly protoMin?: Register;
			/** Where it differs from `protoMin`. */
			readonly protoMax?: Register;
			readonly flags?: readonly NatFlag[];
	  }
	| { readonly kind: 'notrack' }
	| {
			readonly kind: 'fib';
			readonly flags: readonly FibFlag[];
			readonly result: 'oif' | 'oifname' | 'type';
			/** Only whether there is a route, as a one-byte boolean. */
			readonly present?: boolean;
			readonly dreg: Register;
	  }
	/** Anything else found in a listing, kept byte for byte so that it can be shown and sent back. */
	| { readonly kind: 'other'; readonly name: string; readonly attributes: Uint8Array };

export type ExpressionKind = Expression['kind'];
