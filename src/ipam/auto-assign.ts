import { type BlockKey, type CallOptions, datastoreError, type IpamConfig } from '#datastore';
import { type Cidr, cidrContains, cidrNth, type Family, type Ip } from '#net';
import { affinityText, type Claimant, type StoredBlock } from './affinities.ts';
import { collectGarbage, freeOrdinals, isEmpty, nextVersion, type Owner, withAssigned } from './block.ts';
import type { Context } from './context.ts';
import { ipamError } from './errors.ts';
import { choosePools, type IntendedUse, type Pool, poolOf, selectsHost } from './pools.ts';
import type { Reservations } from './reservations.ts';
import { isRace, orUndefined, untilUncontended } from './retry.ts';
import { blockRing, hasSingleAddressBlocks, ringStart } from './ring.ts';

/** How many addresses for whom, and where they may come from. */
export interface AutoAssignRequest extends Owner {
	readonly host: string;
	readonly counts: Readonly<Partial<Record<Family, number>>>;
	readonly intendedUse: IntendedUse;
	/** Only from these pools, whatever they select; without a list from those that select host and namespace. */
	readonly pools?: Readonly<Partial<Record<Family, readonly Cidr[]>>> | undefined;
	readonly namespaceLabels?: Readonly<Record<string, string>> | undefined;
	/** A limit of blocks beside the configured one; the lower one holds. */
	readonly maxBlocksPerHost?: number | undefined;
}

export interface AssignedAddress {
	readonly address: Ip;
	/** The block it comes from; CNI results carry its mask. */
	readonly block: Cidr;
}

/** What one family got. */
export interface FamilyAssignment {
	readonly requested: number;
	readonly addresses: readonly AssignedAddress[];
	/** Why there are fewer than requested. */
	readonly reasons: readonly string[];
}

export type AutoAssignResult = Readonly<Partial<Record<Family, FamilyAssignment>>>;

const DEFAULT_MAX_BLOCKS = 20;
/** A block that was claimed so recently may be empty only because its owner is about to use it. */
const RECLAIM_AGE_MS = 60_000;
const MAX_CLAIM_TRIES = 100;

interface Situation {
	readonly claimant: Claimant;
	readonly config: IpamConfig;
	readonly pools: readonly Pool[];
	readonly reservations: Reservations;
	readonly maxBlocks: number;
}

/** The message for a caller that needs all that it asked for. */
export function shortageText(family: Family, { requested, addresses, reasons }: FamilyAssignment): string {
	return [`Assigned ${addresses.length} out of ${requested} requested IPv${family} addresses`, ...reasons].join('; ');
}

/**
 * Assigns addresses of one family: from the host's own blocks, then from blocks it claims, then, unless affinity is
 * strict, one by one from the blocks of others.
 *
 * @throws IPAM_NO_POOL, IPAM_UNKNOWN_POOL, IPAM_UNKNOWN_NODE, IPAM_CONTENTION, IPAM_BAD_REQUEST
 */
export async function autoAssignFamily(
	context: Context,
	family: Family,
	request: AutoAssignRequest,
	options?: CallOptions,
): Promise<FamilyAssignment & { readonly stopped: boolean }> {
	const requested = request.counts[family] ?? 0;
	if (!Number.isSafeInteger(requested) || requested < 0)
		throw ipamError('IPAM_BAD_REQUEST', { message: `${requested} is no number of addresses`, path: `counts[${family}]`, found: requested });
	const situation = await surveySituation(context, family, request, options);
	const { config, pools } = situation;
	const addresses: AssignedAddress[] = [];
	const missing = (): number => requested - addresses.length;
	const reasons: string[] = [];
	const finder = new BlockFinder(context, situation, family, options);
	await finder.prepare();
	let stopped = false;
	while (missing() > 0) {
		let block: StoredBlock;
		try {
			block = await finder.next();
		} catch (error) {
			if (ipamError.is(error, 'IPAM_BLOCK_LIMIT')) {
				stopped = true;
				reasons.push(error.message);
			} else if (!ipamError.is(error, 'IPAM_NO_FREE_BLOCK')) throw error;
			break;
		}
		addresses.push(...(await assignFrom(context, situation, block.key.cidr, missing(), request, config.strictAffinity, options)));
	}
	if (missing() > 0 && !stopped) {
		if (config.strictAffinity) reasons.push('No more free affine blocks and strict affinity enabled');
		else {
			for (const block of await borrowable(context, situation, family, options)) {
				addresses.push(...(await assignFrom(context, situation, block.key.cidr, missing(), request, false, options)));
				if (missing() === 0) break;
			}
			if (missing() > 0) reasons.push(`No IPs available in pools: [${pools.map(({ cidr }) => cidr).join(' ')}]`);
		}
	}
	return { requested, addresses, reasons, stopped };
}

/** A block of the host that has a free address; claims one if there is none. */
export async function ensureBlock(
	context: Context,
	family: Family,
	request: Omit<AutoAssignRequest, 'counts'>,
	options?: CallOptions,
): Promise<Cidr> {
	const situation = await surveySituation(context, family, { ...request, counts: {} }, options);
	const finder = new BlockFinder(context, situation, family, options);
	await finder.prepare();
	return (await finder.next()).key.cidr;
}

/** Whom addresses of an intended use are assigned for. */
export function claimantFor(host: string, intendedUse: IntendedUse | undefined): Claimant {
	return intendedUse === 'LoadBalancer' ? { type: 'virtual', host: 'load-balancer' } : { type: 'host', host };
}

async function surveySituation(
	context: Context,
	family: Family,
	request: AutoAssignRequest,
	options: CallOptions | undefined,
): Promise<Situation> {
	const { host, intendedUse } = request;
	const claimant = claimantFor(host, intendedUse);
	const [config, allPools, reservations, hostLabels] = await Promise.all([
		context.config(options),
		context.pools(options),
		context.reservations(options),
		claimant.type === 'host' ? labelsOfHost(context, host, options) : {},
	]);
	const limits = [request.maxBlocksPerHost ?? 0, config.maxBlocksPerHost].filter((limit) => limit > 0);
	const pools = choosePools(allPools, {
		host,
		hostLabels,
		namespaceLabels: request.namespaceLabels ?? {},
		family,
		intendedUse,
		pools: request.pools?.[family],
	});
	await releaseUnselectedBlocks(context, claimant, family, allPools, hostLabels, options);
	return { claimant, config, pools, reservations, maxBlocks: limits.length === 0 ? DEFAULT_MAX_BLOCKS : Math.min(...limits) };
}

/** @throws IPAM_UNKNOWN_NODE */
async function labelsOfHost(context: Context, host: string, options: CallOptions | undefined): Promise<Readonly<Record<string, string>>> {
	const node = await orUndefined(context.client.resources.get('Node', { name: host }, options));
	if (node === undefined)
		throw ipamError('IPAM_UNKNOWN_NODE', {
			message: `there is no Node ${host}`,
			hint: 'calico-node makes it when it starts; check that the node name is the same everywhere',
		});
	return node.metadata.labels ?? {};
}

/** Gives up the host's empty blocks in pools that do not select it any more. */
async function releaseUnselectedBlocks(
	context: Context,
	claimant: Claimant,
	family: Family,
	pools: readonly Pool[],
	hostLabels: Readonly<Record<string, string>>,
	options: CallOptions | undefined,
): Promise<void> {
	if (claimant.type !== 'host' || pools.every((pool) => selectsHost(pool, hostLabels))) return;
	for (const { key } of await context.affinities.list(claimant, family, options)) {
		const pool = poolOf(pools, key.cidr);
		if (pool === undefined || selectsHost(pool, hostLabels)) continue;
		await passOver(context.affinities.release(claimant, key.cidr, { mustBeEmpty: true }, options));
	}
}

/** Finds the blocks to assign from, one after the other: those the host has, then those it can claim. */
class BlockFinder {
	readonly #context: Context;
	readonly #situation: Situation;
	readonly #family: Family;
	readonly #options: CallOptions | undefined;
	readonly #start: number;
	#own: Cidr[] = [];
	#owned = 0;

	constructor(context: Context, situation: Situation, family: Family, options: CallOptions | undefined) {
		this.#context = context;
		this.#situation = situation;
		this.#family = family;
		this.#options = options;
		this.#start = ringStart(situation.claimant.host);
	}

	async prepare(): Promise<void> {
		const { claimant, pools } = this.#situation;
		const affinities = await this.#context.affinities.list(claimant, this.#family, this.#options);
		this.#own = affinities.map(({ key }) => key.cidr).filter((cidr) => poolOf(pools, cidr) !== undefined);
		this.#owned = this.#own.length;
	}

	/**
	 * The next block with a free address.
	 *
	 * @throws IPAM_BLOCK_LIMIT, IPAM_NO_FREE_BLOCK, IPAM_CONTENTION
	 */
	async next(): Promise<StoredBlock> {
		const { config, maxBlocks, reservations } = this.#situation;
		for (let cidr = this.#own.shift(); cidr !== undefined; cidr = this.#own.shift()) {
			if (reservations.reservesAllOf(cidr)) continue;
			const block = await this.#ownBlock(cidr);
			if (block !== undefined && hasFree(this.#context, this.#situation, block)) return block;
		}
		if (this.#owned >= maxBlocks)
			throw ipamError('IPAM_BLOCK_LIMIT', {
				message: `Need to allocate an IPAM block but could not - limit of ${maxBlocks} blocks reached for this node`,
			});
		if (!config.autoAllocateBlocks)
			throw ipamError('IPAM_BLOCK_LIMIT', { message: 'failed to find or claim a block, as autoAllocateBlocks is off' });
		const block = await this.#claimBlock();
		this.#owned++;
		return block;
	}

	/** @returns undefined if the host has lost the block, or can not use it */
	async #ownBlock(cidr: Cidr): Promise<StoredBlock | undefined> {
		const attempt = (): Promise<StoredBlock | undefined> =>
			this.#context.affinities.ownedBlock(this.#situation.claimant, cidr, this.#options);
		try {
			return await untilUncontended(this.#context, `taking up the block ${cidr}`, attempt, this.#options);
		} catch (error) {
			if (ipamError.is(error) || datastoreError.is(error, 'DATASTORE_INVALID_ENTRY')) return undefined;
			throw error;
		}
	}

	async #claimBlock(): Promise<StoredBlock> {
		const { claimant } = this.#situation;
		for (let tries = 1; ; tries++) {
			const cidr = await this.#findUsable();
			const attempt = (): Promise<StoredBlock> => this.#context.affinities.claim(claimant, cidr, this.#options);
			try {
				return await untilUncontended(this.#context, `claiming the block ${cidr}`, attempt, this.#options);
			} catch (error) {
				if (!ipamError.is(error, 'IPAM_CLAIMED')) throw error;
				if (tries >= MAX_CLAIM_TRIES)
					throw ipamError('IPAM_CONTENTION', { message: `${tries} blocks were claimed by others first`, cause: error });
			}
		}
	}

	/** @throws IPAM_NO_FREE_BLOCK */
	async #findUsable(): Promise<Cidr> {
		const { pools, reservations } = this.#situation;
		const blocks = await listBlocks(this.#context, this.#family, this.#options);
		const emptyOnes: StoredBlock[] = [];
		for (const pool of pools) {
			const start = hasSingleAddressBlocks(pool.cidr, pool.blockSize) ? this.#context.random() : this.#start;
			const ring = blockRing(pool.cidr, pool.blockSize, start);
			for (let step = ring.next(); step.done !== true; ) {
				const cidr = step.value;
				const reservedUpTo = reservations.endOfReservationAround(cidr);
				if (reservedUpTo !== undefined || reservations.reservesAllOf(cidr)) {
					step = ring.next(reservedUpTo);
					continue;
				}
				const block = blocks.get(cidr);
				if (block === undefined) return cidr;
				if (block !== 'invalid' && hasFree(this.#context, this.#situation, block)) {
					if (block.value.affinity === affinityText(this.#situation.claimant)) return cidr;
					if (isEmpty(block.value)) emptyOnes.push(block);
				}
				step = ring.next();
			}
		}
		for (const block of emptyOnes) if (await this.#reclaim(block)) return block.key.cidr;
		throw ipamError('IPAM_NO_FREE_BLOCK', { message: 'No Free Blocks' });
	}

	/** Takes an empty block from a host that does not use it. */
	async #reclaim({ key, value }: StoredBlock): Promise<boolean> {
		const [, type, host] = /^(host|virtual):(.+)$/.exec(value.affinity ?? '') ?? [];
		const age = value.affinityClaimTime === undefined ? Infinity : this.#context.clock.now() - Date.parse(value.affinityClaimTime);
		if (host === undefined || age < RECLAIM_AGE_MS) return false;
		const owner: Claimant = { type: type === 'virtual' ? 'virtual' : 'host', host };
		const conditions = { mustBeEmpty: true, sequenceNumber: value.sequenceNumber };
		return passOver(this.#context.affinities.release(owner, key.cidr, conditions, this.#options));
	}
}

function hasFree(context: Context, { config, reservations }: Situation, { value }: StoredBlock): boolean {
	const collected = collectGarbage(value, config.ipCooldownSeconds, context.clock.now());
	return freeOrdinals(collected, (address) => reservations.isReserved(address)).length > 0;
}

/** The blocks of the pools in which addresses are free, whoever has them; each host begins with another. */
async function borrowable(
	context: Context,
	situation: Situation,
	family: Family,
	options: CallOptions | undefined,
): Promise<readonly StoredBlock[]> {
	const { pools, claimant } = situation;
	const listed = [...(await listBlocks(context, family, options)).values()];
	const blocks = listed.filter((block) => block !== 'invalid').filter((block) => hasFree(context, situation, block));
	return pools.flatMap((pool) => {
		const inPool = blocks.filter(({ key }) => cidrContains(pool.cidr, key.cidr));
		const start = Math.floor(ringStart(claimant.host) * inPool.length);
		return [...inPool.slice(start), ...inPool.slice(0, start)];
	});
}

async function listBlocks(
	context: Context,
	family: Family,
	options: CallOptions | undefined,
): Promise<ReadonlyMap<Cidr, StoredBlock | 'invalid'>> {
	const { items, invalid } = await context.backend.list({ type: 'block', family }, options);
	const blocks = new Map<Cidr, StoredBlock | 'invalid'>();
	for (const block of items as readonly StoredBlock[]) blocks.set(block.key.cidr, block);
	for (const { key } of invalid) if (key?.type === 'block') blocks.set(key.cidr, 'invalid');
	return blocks;
}

/** Assigns up to a number of free addresses of a block. */
async function assignFrom(
	context: Context,
	{ claimant, config, reservations }: Situation,
	cidr: Cidr,
	count: number,
	owner: Owner,
	onlyAffine: boolean,
	options: CallOptions | undefined,
): Promise<readonly AssignedAddress[]> {
	const { backend, clock, handles } = context;
	const attempt = async (): Promise<readonly AssignedAddress[]> => {
		const stored = await orUndefined(backend.get<BlockKey>({ type: 'block', cidr }, options));
		if (stored === undefined || (onlyAffine && stored.value.affinity !== affinityText(claimant))) return [];
		const block = collectGarbage(stored.value, config.ipCooldownSeconds, clock.now());
		const ordinals = freeOrdinals(block, (address) => reservations.isReserved(address)).slice(0, count);
		if (ordinals.length === 0) return [];
		const { handleId } = owner;
		if (handleId !== undefined) await handles.add(handleId, cidr, ordinals.length, options);
		try {
			await backend.update(stored.key, nextVersion(withAssigned(block, ordinals, owner)), stored.revision, options);
		} catch (error) {
			if (handleId !== undefined && isRace(error)) await handles.remove(handleId, cidr, ordinals.length, options);
			throw error;
		}
		return ordinals.map((ordinal) => ({ address: cidrNth(cidr, ordinal), block: cidr }));
	};
	return untilUncontended(context, `assigning from the block ${cidr}`, attempt, options);
}

/** Whether a release went through; that others were faster, or the block came into use, is no failure of the caller. */
async function passOver(release: Promise<void>): Promise<boolean> {
	try {
		await release;
		return true;
	} catch (error) {
		if (isRace(error) || ipamError.is(error)) return false;
		throw error;
	}
}
