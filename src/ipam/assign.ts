import type { BlockKey, CallOptions } from '#datastore';
import { cidrOf, type Ip } from '#net';
import { affinityText, type StoredBlock } from './affinities.ts';
import { claimantFor } from './auto-assign.ts';
import { attributeAt, collectGarbage, nextVersion, type Owner, ordinalOf, withAssigned } from './block.ts';
import type { Context } from './context.ts';
import { ipamError } from './errors.ts';
import { type IntendedUse, poolOf } from './pools.ts';
import { isRace, orUndefined, untilUncontended } from './retry.ts';

export interface AssignRequest extends Owner {
	readonly address: Ip;
	readonly host: string;
	/** What the pool must allow; anything if left out. */
	readonly intendedUse?: IntendedUse | undefined;
}

/**
 * Assigns one address that the caller chose. Selectors and reservations of pools are not asked: it is explicit.
 *
 * @throws IPAM_NOT_IN_POOL, IPAM_NO_POOL, IPAM_ASSIGNED, IPAM_NOT_AFFINE, IPAM_CLAIMED, IPAM_CONTENTION
 */
export async function assignAddress(context: Context, request: AssignRequest, options?: CallOptions): Promise<void> {
	const { address, host, intendedUse, handleId } = request;
	const [pools, config] = await Promise.all([context.pools(options), context.config(options)]);
	const pool = poolOf(
		pools.filter(({ enabled }) => enabled),
		address,
	);
	if (pool === undefined)
		throw ipamError('IPAM_NOT_IN_POOL', {
			message: `The provided IP address ${address} is not in a configured pool`,
			found: address,
			allowed: 'an address of an enabled IPPool',
		});
	if (intendedUse !== undefined && !pool.spec.allowedUses?.includes(intendedUse))
		throw ipamError('IPAM_NO_POOL', {
			message: `the pool ${pool.name} of the address ${address} is not for ${intendedUse}`,
			hint: `allow ${intendedUse} in its allowedUses`,
		});
	const cidr = cidrOf(address, pool.blockSize);
	const claimant = claimantFor(host, intendedUse);
	const ordinal = ordinalOf(cidr, address);
	const attempt = async (): Promise<void> => {
		const stored: StoredBlock =
			(await orUndefined(context.backend.get<BlockKey>({ type: 'block', cidr }, options))) ??
			(await context.affinities.claim(claimant, cidr, options));
		if (config.strictAffinity && stored.value.affinity !== affinityText(claimant))
			throw ipamError('IPAM_NOT_AFFINE', {
				message: `the address ${address} is in the block ${cidr} of ${stored.value.affinity ?? 'nobody'}, and affinity is strict`,
				found: address,
			});
		const block = collectGarbage(stored.value, config.ipCooldownSeconds, context.clock.now());
		if (block.allocations[ordinal] !== null)
			throw ipamError('IPAM_ASSIGNED', {
				message: `the address ${address} is ${attributeAt(block, ordinal) === undefined ? 'cooling down after its release' : 'already assigned'}`,
				found: address,
			});
		if (handleId !== undefined) await context.handles.add(handleId, cidr, 1, options);
		try {
			await context.backend.update(stored.key, nextVersion(withAssigned(block, [ordinal], request)), stored.revision, options);
		} catch (error) {
			if (handleId !== undefined && isRace(error)) await context.handles.remove(handleId, cidr, 1, options);
			throw error;
		}
	};
	await untilUncontended(context, `assigning ${address}`, attempt, options);
}
