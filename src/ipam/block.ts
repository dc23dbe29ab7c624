import { isDeepStrictEqual } from 'node:util';
import type { IpamAttribute, IpamBlock } from '#datastore';
import { type Cidr, cidrNth, cidrParts, cidrSize, type Ip, ipToBigInt } from '#net';

/** Calico keeps the first addresses of a block on Windows hosts under this handle; they do not count as use. */
const WINDOWS_RESERVED_HANDLE = 'windows-reserved-ipam-handle';

/** Who an assigned address belongs to. */
export interface Owner {
	readonly handleId?: string | undefined;
	readonly attributes?: Readonly<Record<string, string>> | undefined;
}

export function emptyBlock(cidr: Cidr, affinity: string, claimTime: string, nowMs: number): IpamBlock {
	const size = Number(cidrSize(cidr));
	return {
		cidr,
		affinity,
		affinityClaimTime: claimTime,
		allocations: Array.from<null>({ length: size }).fill(null),
		unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
		attributes: [],
		// the start is nanoseconds since 1970, so that a block made anew does not repeat numbers of its predecessor
		sequenceNumber: BigInt(nowMs) * 1_000_000n,
		sequenceNumberForAllocation: {},
		extra: {},
	};
}

/** The ordinals that can be handed out, in the order in which they are. */
export function freeOrdinals(block: IpamBlock, isReserved: (address: Ip) => boolean): readonly number[] {
	return block.unallocated.filter((ordinal) => block.allocations[ordinal] === null && !isReserved(cidrNth(block.cidr, ordinal)));
}

/** Whether nothing in the block is in use; an address that cools down is. */
export function isEmpty({ allocations, attributes }: IpamBlock): boolean {
	return allocations.every((index) => index === null || attributes[index]?.handleId?.toLowerCase() === WINDOWS_RESERVED_HANDLE);
}

/** The attribute of an address in use; undefined if it is free or cools down. */
export function attributeAt(block: IpamBlock, ordinal: number): IpamAttribute | undefined {
	const index = block.allocations[ordinal] ?? null;
	const attribute = index === null ? undefined : block.attributes[index];
	return attribute?.releasedAt === undefined ? attribute : undefined;
}

/** The place of an address in a block that contains it. */
export function ordinalOf(cidr: Cidr, address: Ip): number {
	return Number(ipToBigInt(address) - ipToBigInt(cidrParts(cidr).address));
}

/** The ordinals in use under a handle. */
export function ordinalsOfHandle(block: IpamBlock, handleId: string): readonly number[] {
	return block.allocations.flatMap((_, ordinal) => (sameHandle(attributeAt(block, ordinal)?.handleId, handleId) ? [ordinal] : []));
}

/** Handles written by some old plugins end in a carriage return and more, which does not count. */
export function sameHandle(a: string | undefined, b: string | undefined): boolean {
	return a?.split('\r', 1)[0] === b?.split('\r', 1)[0];
}

/** The block with free ordinals assigned to an owner; equal owners share a record. */
export function withAssigned(block: IpamBlock, ordinals: readonly number[], { handleId, attributes }: Owner): IpamBlock {
	const record: IpamAttribute = { handleId, ...(attributes === undefined ? {} : { secondary: attributes }) };
	const existing = block.attributes.findIndex((other) => isDeepStrictEqual({ ...other }, { ...record }));
	const index = existing < 0 ? block.attributes.length : existing;
	const taken = new Set(ordinals);
	return {
		...block,
		allocations: block.allocations.map((current, ordinal) => (taken.has(ordinal) ? index : current)),
		unallocated: block.unallocated.filter((ordinal) => !taken.has(ordinal)),
		attributes: existing < 0 ? [...block.attributes, record] : block.attributes,
		sequenceNumberForAllocation: {
			...block.sequenceNumberForAllocation,
			...Object.fromEntries(ordinals.map((ordinal) => [ordinal, block.sequenceNumber])),
		},
	};
}

/** The block with ordinals given back; they cool down before they are handed out again. */
export function withReleased(
	block: IpamBlock,
	ordinals: readonly number[],
	releasedAt: string,
	cooldownSeconds: number,
	nowMs: number,
): IpamBlock {
	const given = new Set(ordinals);
	const index = block.attributes.length;
	return collectGarbage(
		{
			...block,
			allocations: block.allocations.map((current, ordinal) => (given.has(ordinal) ? index : current)),
			attributes: [...block.attributes, { releasedAt }],
			sequenceNumberForAllocation: {
				...block.sequenceNumberForAllocation,
				...Object.fromEntries(ordinals.map((ordinal) => [ordinal, block.sequenceNumber])),
			},
		},
		cooldownSeconds,
		nowMs,
	);
}

/** The block with cooled-down addresses free again, at the end of the queue, and without records that nobody uses. */
export function collectGarbage(block: IpamBlock, cooldownSeconds: number, nowMs: number): IpamBlock {
	const isOver = block.attributes.map(
		({ releasedAt }) => releasedAt !== undefined && nowMs - Date.parse(releasedAt) >= cooldownSeconds * 1000,
	);
	const freed = block.allocations.flatMap((index, ordinal) => (index !== null && isOver[index] === true ? [ordinal] : []));
	const used = new Set(block.allocations.filter((index) => index !== null && isOver[index] !== true));
	if (freed.length === 0 && used.size === block.attributes.length) return block;
	const isFreed = new Set(freed);
	const attributes: IpamAttribute[] = [];
	const newIndex = new Map<number | null, number>();
	for (const [index, attribute] of block.attributes.entries()) if (used.has(index)) newIndex.set(index, attributes.push(attribute) - 1);
	return {
		...block,
		allocations: block.allocations.map((index) => newIndex.get(index) ?? null),
		unallocated: [...block.unallocated.filter((ordinal) => !isFreed.has(ordinal)), ...freed],
		attributes,
		sequenceNumberForAllocation: Object.fromEntries(
			Object.entries(block.sequenceNumberForAllocation).filter(([ordinal]) => !isFreed.has(Number(ordinal))),
		),
	};
}

/** The block as its next version: every update counts. */
export function nextVersion(block: IpamBlock): IpamBlock {
	return { ...block, sequenceNumber: BigInt.asUintN(64, block.sequenceNumber + 1n) };
}
