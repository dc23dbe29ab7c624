import {
	type AffinityKey,
	type Backend,
	type BlockKey,
	type CallOptions,
	type Clock,
	datastoreError,
	type KeyValue,
	timestamp,
} from '#datastore';
import type { Cidr } from '#net';
import { emptyBlock, isEmpty, nextVersion } from './block.ts';
import { ipamError } from './errors.ts';
import { isRace, orUndefined } from './retry.ts';

/** Who claims blocks: a host, or everyone's load balancers. */
export interface Claimant {
	readonly type: AffinityKey['affinityType'];
	readonly host: string;
}

export type StoredBlock = KeyValue<BlockKey>;
export type StoredAffinity = KeyValue<AffinityKey>;

/** The claimant as a block names it. */
export function affinityText({ type, host }: Claimant): string {
	return `${type}:${host}`;
}

export interface ReleaseConditions {
	/** Only a block in which nothing is in use. */
	readonly mustBeEmpty: boolean;
	/** Only this version of the block. */
	readonly sequenceNumber?: bigint | undefined;
}

/**
 * The claims of hosts to blocks. A claim is an affinity and the block's own word; they are two objects, so a claim goes
 * through states that whoever comes next can complete after a crash:
 *
 *     absent → pending → (block created) → confirmed → pendingDeletion → (block deleted or disowned) → absent
 *
 * An address is handed out of one's own block only when the affinity is confirmed. Methods throw DATASTORE_CONFLICT,
 * DATASTORE_NOT_FOUND or DATASTORE_EXISTS when others changed the same objects; the caller starts over.
 */
export class Affinities {
	readonly #backend: Backend;
	readonly #clock: Clock;

	constructor({ backend, clock }: { readonly backend: Backend; readonly clock: Clock }) {
		this.#backend = backend;
		this.#clock = clock;
	}

	/** The blocks that a claimant has an affinity to, whatever its state. */
	async list({ type, host }: Claimant, family: 4 | 6 | undefined, options?: CallOptions): Promise<readonly StoredAffinity[]> {
		const scope = { type: 'affinity', affinityType: type, host, ...(family === undefined ? {} : { family }) } as const;
		return (await this.#backend.list(scope, options)).items as readonly StoredAffinity[];
	}

	/**
	 * Claims a block that has no owner yet, or completes a claim that was begun.
	 *
	 * @throws IPAM_CLAIMED if it is someone else's
	 */
	async claim(claimant: Claimant, cidr: Cidr, options?: CallOptions): Promise<StoredBlock> {
		return this.#blockOf(await this.#pending(claimant, cidr, options), options);
	}

	/**
	 * The block of an affinity that exists, its claim completed if it was left unfinished.
	 *
	 * @returns undefined if there is no such affinity
	 * @throws IPAM_CLAIMED if the block is not the claimant's any more
	 */
	async ownedBlock(claimant: Claimant, cidr: Cidr, options?: CallOptions): Promise<StoredBlock | undefined> {
		const affinity = await orUndefined(this.#backend.get(keyOf(claimant, cidr), options));
		return affinity === undefined ? undefined : this.#blockOf(affinity, options);
	}

	/**
	 * Gives up a block: an empty one is deleted, another stays without owner until its last address is released.
	 *
	 * @throws IPAM_BLOCK_IN_USE, IPAM_CLAIMED; DATASTORE_NOT_FOUND if there is no such affinity or block
	 */
	async release(claimant: Claimant, cidr: Cidr, conditions: ReleaseConditions, options?: CallOptions): Promise<void> {
		const affinity = await this.#backend.get(keyOf(claimant, cidr), options);
		const block = await this.#backend.get({ type: 'block', cidr }, options);
		if (conditions.sequenceNumber !== undefined && block.value.sequenceNumber !== conditions.sequenceNumber)
			throw datastoreError('DATASTORE_CONFLICT', { message: `the block ${cidr} has changed since it was listed` });
		if (block.value.affinity !== null && block.value.affinity !== affinityText(claimant)) {
			await this.#backend.delete(affinity.key, affinity.revision, options);
			throw claimed(cidr, block.value.affinity);
		}
		if (conditions.mustBeEmpty && !isEmpty(block.value))
			throw ipamError('IPAM_BLOCK_IN_USE', { message: `the block ${cidr} of ${affinityText(claimant)} has addresses in use` });
		const leaving = await this.#setState(affinity, 'pendingDeletion', options);
		if (isEmpty(block.value)) await this.#backend.delete(block.key, block.revision, options);
		else if (block.value.affinity !== null) {
			const { affinityClaimTime: _time, ...disowned } = { ...nextVersion(block.value), affinity: null };
			await this.#backend.update(block.key, disowned, block.revision, options);
		}
		await this.#backend.delete(leaving.key, leaving.revision, options);
	}

	/** Removes an affinity that has no block, as a crash can leave it behind. */
	async forget(claimant: Claimant, cidr: Cidr, options?: CallOptions): Promise<void> {
		const affinity = await orUndefined(this.#backend.get(keyOf(claimant, cidr), options));
		if (affinity === undefined) return;
		const block = await orUndefined(this.#backend.get<BlockKey>({ type: 'block', cidr }, options));
		if (block !== undefined) throw datastoreError('DATASTORE_CONFLICT', { message: `the block ${cidr} has just been created` });
		await this.#backend.delete(affinity.key, affinity.revision, options);
	}

	async #pending(claimant: Claimant, cidr: Cidr, options: CallOptions | undefined): Promise<StoredAffinity> {
		const key = keyOf(claimant, cidr);
		try {
			return await this.#backend.create(key, { state: 'pending' }, options);
		} catch (error) {
			if (!datastoreError.is(error, 'DATASTORE_EXISTS')) throw error;
		}
		const existing = await this.#backend.get(key, options);
		return existing.value.state === 'confirmed' ? existing : this.#setState(existing, 'pending', options);
	}

	async #blockOf(affinity: StoredAffinity, options: CallOptions | undefined): Promise<StoredBlock> {
		const { cidr } = affinity.key;
		const block = await orUndefined(this.#backend.get<BlockKey>({ type: 'block', cidr }, options));
		if (block === undefined) return this.#createBlock(await this.#setState(affinity, 'pending', options), options);
		if (block.value.affinity !== affinityText(claimantOf(affinity))) return this.#giveWay(affinity, block, options);
		if (affinity.value.state === 'confirmed') return block;
		const pending = await this.#setState(affinity, 'pending', options);
		// a new version of the block, so that whoever is just deleting it fails
		const renewed = await this.#backend.update(block.key, nextVersion(block.value), block.revision, options);
		await this.#confirm(pending, options);
		return renewed;
	}

	async #createBlock(affinity: StoredAffinity, options: CallOptions | undefined): Promise<StoredBlock> {
		const { cidr } = affinity.key;
		const now = this.#clock.now();
		const owner = affinityText(claimantOf(affinity));
		let block: StoredBlock;
		try {
			block = await this.#backend.create({ type: 'block', cidr }, emptyBlock(cidr, owner, timestamp(now), now), options);
		} catch (error) {
			if (!datastoreError.is(error, 'DATASTORE_EXISTS')) throw error;
			block = await this.#backend.get({ type: 'block', cidr }, options);
			if (block.value.affinity !== owner) return this.#giveWay(affinity, block, options);
		}
		await this.#confirm(affinity, options);
		return block;
	}

	/** Withdraws a claim to a block that is not the claimant's. */
	async #giveWay(affinity: StoredAffinity, block: StoredBlock, options: CallOptions | undefined): Promise<never> {
		await this.#backend.delete(affinity.key, affinity.revision, options);
		throw claimed(affinity.key.cidr, block.value.affinity);
	}

	async #confirm(affinity: StoredAffinity, options: CallOptions | undefined): Promise<void> {
		try {
			await this.#setState(affinity, 'confirmed', options);
		} catch (error) {
			if (!isRace(error)) throw error;
			const current = await orUndefined(this.#backend.get(affinity.key, options));
			if (current?.value.state !== 'confirmed') throw error;
		}
	}

	#setState(affinity: StoredAffinity, state: 'confirmed' | 'pending' | 'pendingDeletion', options?: CallOptions): Promise<StoredAffinity> {
		return this.#backend.update(affinity.key, { ...affinity.value, state }, affinity.revision, options);
	}
}

function keyOf({ type, host }: Claimant, cidr: Cidr): AffinityKey {
	return { type: 'affinity', affinityType: type, host, cidr };
}

function claimantOf({ key }: StoredAffinity): Claimant {
	return { type: key.affinityType, host: key.host };
}

function claimed(cidr: Cidr, owner: string | null): Error {
	return ipamError('IPAM_CLAIMED', { message: `the block ${cidr} ${owner === null ? 'has no owner' : `belongs to ${owner}`}` });
}
