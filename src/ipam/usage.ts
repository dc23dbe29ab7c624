import type { CallOptions, IpamBlock } from '#datastore';
import { type Cidr, cidrContains, cidrNth, cidrSize, type Ip } from '#net';
import type { StoredBlock } from './affinities.ts';
import { attributeAt } from './block.ts';
import type { Context } from './context.ts';
import type { Reservations } from './reservations.ts';

/** How full a pool or a block is, in addresses. */
export interface Usage {
	readonly cidr: Cidr;
	readonly total: bigint;
	/** Assigned, or cooling down. */
	readonly inUse: bigint;
	/** Reserved and not in use. */
	readonly reserved: bigint;
	readonly free: bigint;
}

export interface BlockUsage extends Usage {
	/** `host:<node>`, `virtual:load-balancer` or null. */
	readonly affinity: string | null;
	readonly borrowed: readonly BorrowedAddress[];
}

/** An address that a host has from a block that is not its own. */
export interface BorrowedAddress {
	readonly address: Ip;
	readonly block: Cidr;
	readonly blockOwner: string | null;
	readonly borrower: string;
	readonly attributes: Readonly<Record<string, string>>;
}

export interface PoolUsage extends Usage {
	readonly name: string;
	readonly blocks: readonly BlockUsage[];
}

/** How full every pool and each of its blocks is, in the order of addresses. */
export async function poolUsage(context: Context, options?: CallOptions): Promise<readonly PoolUsage[]> {
	const [pools, reservations, listed] = await Promise.all([
		context.pools(options),
		context.reservations(options),
		context.backend.list({ type: 'block' }, options),
	]);
	const blocks = (listed.items as readonly StoredBlock[]).map(({ value }) => blockUsage(value, reservations));
	return pools.map(({ name, cidr }) => {
		const own = blocks.filter((block) => cidrContains(cidr, block.cidr));
		const total = cidrSize(cidr);
		const inUse = own.reduce((sum, block) => sum + block.inUse, 0n);
		const inUseAndReserved = own.reduce((sum, block) => sum + reservations.countIn(block.cidr) - block.reserved, 0n);
		const reserved = reservations.countIn(cidr) - inUseAndReserved;
		return { name, cidr, total, inUse, reserved, free: total - inUse - reserved, blocks: own };
	});
}

function blockUsage(block: IpamBlock, reservations: Reservations): BlockUsage {
	const { cidr, affinity, allocations } = block;
	let inUse = 0n;
	let reserved = 0n;
	const borrowed: BorrowedAddress[] = [];
	for (const [ordinal, index] of allocations.entries()) {
		const address = cidrNth(cidr, ordinal);
		if (index === null) {
			if (reservations.isReserved(address)) reserved++;
			continue;
		}
		inUse++;
		const attributes = attributeAt(block, ordinal)?.secondary ?? {};
		const borrower = attributes['node'];
		if (borrower !== undefined && affinity !== `host:${borrower}` && affinity?.startsWith('virtual:') !== true)
			borrowed.push({ address, block: cidr, blockOwner: affinity, borrower, attributes });
	}
	const total = cidrSize(cidr);
	return { cidr, total, inUse, reserved, free: total - inUse - reserved, affinity, borrowed };
}
