import { type AddressCleanup, type CallOptions, datastoreError, type IpamAttribute, type IpamConfig } from '#datastore';
import { type Cidr, cidrContains, cidrNth, cidrOf, type Family, type Ip, ipFamily, parseCidr } from '#net';
import type { Claimant, StoredAffinity } from './affinities.ts';
import { type AssignRequest, assignAddress } from './assign.ts';
import { type AutoAssignRequest, type AutoAssignResult, autoAssignFamily, ensureBlock, type FamilyAssignment } from './auto-assign.ts';
import { attributeAt, ordinalOf, ordinalsOfHandle } from './block.ts';
import { changeConfig } from './config.ts';
import { Context, type IpamModules } from './context.ts';
import { ipamError } from './errors.ts';
import { poolOf } from './pools.ts';
import { type ReleaseRequest, type ReleaseResult, releaseAddresses, releaseBlockIfEmpty, releaseHandle } from './release.ts';
import { orUndefined, untilUncontended } from './retry.ts';
import { type PoolUsage, poolUsage } from './usage.ts';

/**
 * Calico's address management: pools are cut into blocks, hosts claim blocks, addresses come from the host's blocks.
 * Everything is in the datastore and changed by compare-and-swap, so that any number of hosts may race.
 */
export class Ipam implements AddressCleanup {
	readonly #context: Context;

	constructor(modules: IpamModules) {
		this.#context = new Context(modules);
	}

	/**
	 * Assigns addresses of either family or both. Fewer than requested is no error; the reasons are in the result (see
	 * `shortageText`), and what was assigned stays so until it is released.
	 *
	 * @throws IPAM_NO_POOL, IPAM_UNKNOWN_POOL, IPAM_UNKNOWN_NODE, IPAM_CONTENTION
	 */
	async autoAssign(request: AutoAssignRequest, options?: CallOptions): Promise<AutoAssignResult> {
		const result: Partial<Record<Family, FamilyAssignment>> = {};
		for (const family of [4, 6] as const) {
			if ((request.counts[family] ?? 0) === 0) continue;
			const { stopped, ...assignment } = await autoAssignFamily(this.#context, family, request, options);
			result[family] = assignment;
			if (stopped) break;
		}
		return result;
	}

	/** Assigns an address that the caller chose; see {@link assignAddress} for errors. */
	assign(request: AssignRequest, options?: CallOptions): Promise<void> {
		return assignAddress(this.#context, request, options);
	}

	/** Gives addresses back; see {@link releaseAddresses} for errors. */
	release(requests: readonly ReleaseRequest[], options?: CallOptions): Promise<ReleaseResult> {
		return releaseAddresses(this.#context, requests, options);
	}

	/** Gives addresses back, whoever has them. */
	releaseAddresses(addresses: readonly Ip[], options?: CallOptions): Promise<ReleaseResult> {
		return this.release(
			addresses.map((address) => ({ address })),
			options,
		);
	}

	/**
	 * Gives back every address of a handle.
	 *
	 * @returns their number; 0 if there is no such handle
	 */
	async releaseByHandle(handleId: string, options?: CallOptions): Promise<number> {
		return (await orUndefined(releaseHandle(this.#context, handleId, options))) ?? 0;
	}

	/** The addresses of a handle; none if there is no such handle. */
	async ipsByHandle(handleId: string, options?: CallOptions): Promise<readonly Ip[]> {
		const addresses: Ip[] = [];
		for (const text of (await orUndefined(this.#context.handles.blocksOf(handleId, options))) ?? []) {
			const cidr = parseCidr(text);
			if (cidr === undefined) continue;
			const block = await orUndefined(this.#context.backend.get({ type: 'block', cidr }, options));
			if (block !== undefined) addresses.push(...ordinalsOfHandle(block.value, handleId).map((ordinal) => cidrNth(cidr, ordinal)));
		}
		return addresses;
	}

	/** Who an address is assigned to; undefined if it is free or cools down. */
	async assignmentOf(address: Ip, options?: CallOptions): Promise<IpamAttribute | undefined> {
		const pool = poolOf(await this.#context.pools(options), address);
		if (pool === undefined) return undefined;
		const cidr = cidrOf(address, pool.blockSize);
		const block = await orUndefined(this.#context.backend.get({ type: 'block', cidr }, options));
		return block === undefined ? undefined : attributeAt(block.value, ordinalOf(cidr, address));
	}

	/**
	 * Makes sure that a host has a block with a free address.
	 *
	 * @throws IPAM_NO_FREE_BLOCK, IPAM_BLOCK_LIMIT, IPAM_NO_POOL
	 */
	ensureBlock(family: Family, request: Omit<AutoAssignRequest, 'counts'>, options?: CallOptions): Promise<Cidr> {
		return ensureBlock(this.#context, family, request, options);
	}

	/**
	 * Gives up a host's block.
	 *
	 * @throws IPAM_BLOCK_IN_USE if it must be empty and is not; DATASTORE_NOT_FOUND
	 */
	async releaseAffinity(
		host: string,
		cidr: Cidr,
		{ mustBeEmpty }: { readonly mustBeEmpty: boolean },
		options?: CallOptions,
	): Promise<void> {
		await this.#context.affinities.release({ type: 'host', host }, cidr, { mustBeEmpty }, options);
	}

	/** Gives up all blocks of a host, even those in use: their addresses stay assigned until they are released. */
	async releaseHost(host: string, options?: CallOptions): Promise<void> {
		const claimant: Claimant = { type: 'host', host };
		for (const { key } of await this.#context.affinities.list(claimant, undefined, options)) {
			const attempt = (): Promise<void> => this.#releaseWhatever(claimant, key.cidr, options);
			await untilUncontended(this.#context, `releasing the block ${key.cidr}`, attempt, options);
		}
	}

	/** Gives up the empty blocks inside a pool, whoever has them. */
	async releasePool(pool: Cidr, options?: CallOptions): Promise<void> {
		for (const affinityType of ['host', 'virtual'] as const) {
			const { items } = await this.#context.backend.list(
				{ type: 'affinity', affinityType, family: ipFamily(pool.split('/')[0] as Ip) },
				options,
			);
			for (const { key } of items as readonly StoredAffinity[])
				if (cidrContains(pool, key.cidr))
					await releaseBlockIfEmpty(this.#context, { type: affinityType, host: key.host }, key.cidr, options);
		}
	}

	/** How full pools and blocks are. */
	usage(options?: CallOptions): Promise<readonly PoolUsage[]> {
		return poolUsage(this.#context, options);
	}

	config(options?: CallOptions): Promise<IpamConfig> {
		return this.#context.config(options);
	}

	/** @throws IPAM_BAD_REQUEST */
	setConfig(change: Partial<IpamConfig>, options?: CallOptions): Promise<IpamConfig> {
		return changeConfig({ backend: this.#context.backend, clock: this.#context.clock, random: this.#context.random }, change, options);
	}

	/** Gives up a block of a host that will not come back, in whatever state its claim was left. */
	async #releaseWhatever(claimant: Claimant, cidr: Cidr, options: CallOptions | undefined): Promise<void> {
		try {
			await this.#context.affinities.release(claimant, cidr, { mustBeEmpty: false }, options);
		} catch (error) {
			if (ipamError.is(error, 'IPAM_CLAIMED')) return;
			if (!datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
			await this.#context.affinities.forget(claimant, cidr, options);
		}
	}
}
