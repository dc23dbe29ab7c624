import { type BlockKey, type CallOptions, type IpamBlock, timestamp } from '#datastore';
import { type Cidr, cidrContainsIp, cidrOf, type Ip, parseCidr } from '#net';
import type { Claimant, StoredBlock } from './affinities.ts';
import { attributeAt, collectGarbage, isEmpty, nextVersion, ordinalOf, ordinalsOfHandle, sameHandle, withReleased } from './block.ts';
import type { Context } from './context.ts';
import { ipamError } from './errors.ts';
import { poolOf, selectsHost } from './pools.ts';
import { isRace, orUndefined, untilUncontended } from './retry.ts';

/** An address to be given back; with handle or sequence number only if it still is the one that was read. */
export interface ReleaseRequest {
	readonly address: Ip;
	readonly handleId?: string | undefined;
	readonly sequenceNumber?: bigint | undefined;
}

export interface ReleaseResult {
	readonly released: readonly Ip[];
	/** Addresses that were not assigned. */
	readonly unallocated: readonly Ip[];
}

/**
 * Gives addresses back. All of one block are released together or not at all; the first failure is thrown when every
 * block has been tried.
 *
 * @throws IPAM_BAD_HANDLE, IPAM_BAD_SEQUENCE, IPAM_CONTENTION
 */
export async function releaseAddresses(
	context: Context,
	requests: readonly ReleaseRequest[],
	options?: CallOptions,
): Promise<ReleaseResult> {
	const released: Ip[] = [];
	const unallocated: Ip[] = [];
	const failures: unknown[] = [];
	const { byBlock, nowhere } = await groupByBlock(context, requests, options);
	unallocated.push(...nowhere);
	for (const [cidr, wanted] of byBlock) {
		try {
			const assigned = await releaseInBlock(context, cidr, (block) => chooseOrdinals(block, wanted), options);
			for (const { address } of wanted) (assigned.has(ordinalOf(cidr, address)) ? released : unallocated).push(address);
		} catch (error) {
			failures.push(error);
		}
	}
	if (failures.length > 0) throw failures[0];
	return { released, unallocated };
}

/**
 * Gives back every address of a handle. A block that fails does not keep the others; the first failure is thrown when
 * every block has been tried.
 *
 * @returns the number of addresses
 * @throws DATASTORE_NOT_FOUND if there is no such handle, which for the caller mostly means that all is well
 */
export async function releaseHandle(context: Context, handleId: string, options?: CallOptions): Promise<number> {
	let count = 0;
	const failures: unknown[] = [];
	for (const text of await context.handles.blocksOf(handleId, options)) {
		const cidr = parseCidr(text);
		if (cidr === undefined) continue;
		try {
			count += (await releaseInBlock(context, cidr, (block) => ordinalsOfHandle(block, handleId), options)).size;
		} catch (error) {
			failures.push(error);
		}
	}
	if (failures.length > 0) throw failures[0];
	return count;
}

/** @returns the released ordinals; none if the block is gone */
async function releaseInBlock(
	context: Context,
	cidr: Cidr,
	choose: (block: IpamBlock) => readonly number[],
	options: CallOptions | undefined,
): Promise<ReadonlySet<number>> {
	const { backend, clock } = context;
	const { ipCooldownSeconds } = await context.config(options);
	const attempt = async (): Promise<
		{ readonly before: IpamBlock; readonly after: IpamBlock; readonly ordinals: readonly number[] } | undefined
	> => {
		const stored = await orUndefined(backend.get<BlockKey>({ type: 'block', cidr }, options));
		if (stored === undefined) return undefined;
		const now = clock.now();
		const before = collectGarbage(stored.value, ipCooldownSeconds, now);
		const ordinals = choose(before);
		if (ordinals.length === 0) return undefined;
		const after = withReleased(before, ordinals, timestamp(now), ipCooldownSeconds, now);
		if (isEmpty(after) && after.affinity === null) await backend.delete(stored.key, stored.revision, options);
		else await backend.update(stored.key, nextVersion(after), stored.revision, options);
		return { before, after, ordinals };
	};
	const done = await untilUncontended(context, `releasing addresses of the block ${cidr}`, attempt, options);
	if (done === undefined) return new Set();
	const perHandle = new Map<string, number>();
	for (const ordinal of done.ordinals) {
		const handleId = attributeAt(done.before, ordinal)?.handleId;
		if (handleId !== undefined) perHandle.set(handleId, (perHandle.get(handleId) ?? 0) + 1);
	}
	for (const [handleId, count] of perHandle) await context.handles.remove(handleId, cidr, count, options);
	if (isEmpty(done.after)) await releaseIfUnselected(context, cidr, done.after.affinity, options);
	return new Set(done.ordinals);
}

/** Gives up an emptied block whose pool does not select its host any more. */
async function releaseIfUnselected(context: Context, cidr: Cidr, affinity: string | null, options: CallOptions | undefined): Promise<void> {
	const host = affinity?.startsWith('host:') === true ? affinity.slice(5) : undefined;
	if (host === undefined) return;
	const pool = poolOf(await context.pools(options), cidr);
	const node = await orUndefined(context.client.resources.get('Node', { name: host }, options));
	if (pool === undefined || node === undefined || selectsHost(pool, node.metadata.labels ?? {})) return;
	await releaseBlockIfEmpty(context, { type: 'host', host }, cidr, options);
}

/** Gives up a block unless it is in use or somebody else's by now. */
export async function releaseBlockIfEmpty(context: Context, claimant: Claimant, cidr: Cidr, options?: CallOptions): Promise<void> {
	try {
		await context.affinities.release(claimant, cidr, { mustBeEmpty: true }, options);
	} catch (error) {
		if (!isRace(error) && !ipamError.is(error)) throw error;
	}
}

/** @throws IPAM_BAD_HANDLE, IPAM_BAD_SEQUENCE */
function chooseOrdinals(block: IpamBlock, wanted: readonly ReleaseRequest[]): readonly number[] {
	return wanted.flatMap(({ address, handleId, sequenceNumber }) => {
		const ordinal = ordinalOf(block.cidr, address);
		const attribute = attributeAt(block, ordinal);
		const current = block.sequenceNumberForAllocation[ordinal];
		if (sequenceNumber !== undefined && current !== undefined && current !== sequenceNumber)
			throw ipamError('IPAM_BAD_SEQUENCE', {
				message: `the address ${address} has been assigned anew: its sequence number is ${current}, not ${sequenceNumber}`,
				found: address,
			});
		if (attribute === undefined) return [];
		if (handleId !== undefined && !sameHandle(attribute.handleId, handleId))
			throw ipamError('IPAM_BAD_HANDLE', {
				message: `the address ${address} belongs to the handle ${attribute.handleId ?? '(none)'}, not ${handleId}`,
				found: address,
			});
		return [ordinal];
	});
}

async function groupByBlock(
	context: Context,
	requests: readonly ReleaseRequest[],
	options: CallOptions | undefined,
): Promise<{ readonly byBlock: ReadonlyMap<Cidr, readonly ReleaseRequest[]>; readonly nowhere: readonly Ip[] }> {
	const pools = await context.pools(options);
	const byBlock = new Map<Cidr, ReleaseRequest[]>();
	const nowhere: Ip[] = [];
	let blocks: readonly Cidr[] | undefined;
	for (const request of requests) {
		const pool = poolOf(pools, request.address);
		let cidr = pool === undefined ? undefined : cidrOf(request.address, pool.blockSize);
		// the pool of an old address may be gone; its block is not
		if (cidr === undefined) {
			blocks ??= await allBlocks(context, options);
			cidr = blocks.find((block) => cidrContainsIp(block, request.address));
		}
		if (cidr === undefined) nowhere.push(request.address);
		else byBlock.set(cidr, [...(byBlock.get(cidr) ?? []), request]);
	}
	return { byBlock, nowhere };
}

async function allBlocks(context: Context, options: CallOptions | undefined): Promise<readonly Cidr[]> {
	const { items } = await context.backend.list({ type: 'block' }, options);
	return (items as readonly StoredBlock[]).map(({ key }) => key.cidr);
}
