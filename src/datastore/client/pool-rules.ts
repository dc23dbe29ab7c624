import { cidr, cidrContains, cidrParts, cidrsOverlap } from '#net';
import type { IPPool } from '#resources';
import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import type { Backend, BlockKey, CallOptions, KeyValue, ResourceKey } from '../types.ts';
import type { AddressCleanup } from './address-cleanup.ts';

/** How long writers that saw the pool enabled get to finish before its blocks go. */
const DISABLE_GRACE_MS = 500;

/**
 * A pool must not overlap another, nor cut existing blocks to another size.
 *
 * @param pool with defaults filled in
 * @throws DATASTORE_NOT_ALLOWED
 */
export async function checkNewPool(backend: Backend, pool: IPPool, options?: CallOptions): Promise<void> {
	const network = cidr(pool.spec.cidr, 'spec.cidr');
	for (const { value } of (await backend.list({ type: 'resource', kind: 'IPPool' }, options)).items) {
		const other = value as IPPool;
		if (cidrsOverlap(network, cidr(other.spec.cidr)))
			throw datastoreError('DATASTORE_NOT_ALLOWED', {
				message: `the pool overlaps the pool ${other.metadata.name} (${other.spec.cidr})`,
				path: 'spec.cidr',
				found: pool.spec.cidr,
				allowed: 'a network that no other pool has a part of',
			});
	}
	for (const { key } of (await backend.list({ type: 'block', family: cidrParts(network).family }, options)).items as KeyValue<BlockKey>[]) {
		if (!cidrContains(network, key.cidr) || cidrParts(key.cidr).length === pool.spec.blockSize) continue;
		throw datastoreError('DATASTORE_NOT_ALLOWED', {
			message: `there are blocks in the pool's network that have another size, such as ${key.cidr}`,
			path: 'spec.blockSize',
			found: pool.spec.blockSize,
			allowed: String(cidrParts(key.cidr).length),
		});
	}
}

/**
 * A pool keeps its network, its block size and whether it is for load balancers.
 *
 * @throws DATASTORE_NOT_ALLOWED
 */
export function checkPoolChange(before: IPPool, after: IPPool): void {
	const fixed: readonly (readonly [string, unknown, unknown])[] = [
		['spec.cidr', cidr(before.spec.cidr), cidr(after.spec.cidr, 'spec.cidr')],
		['spec.blockSize', before.spec.blockSize, after.spec.blockSize],
	];
	for (const [path, was, is] of fixed)
		if (was !== is)
			throw datastoreError('DATASTORE_NOT_ALLOWED', {
				message: `a pool's ${path.slice(5)} can not be changed`,
				path,
				found: is,
				allowed: String(was),
				hint: 'create another pool, disable this one, and let the workloads move',
			});
	const isForLoadBalancers = ({ spec }: IPPool): boolean => spec.allowedUses?.includes('LoadBalancer') ?? false;
	if (isForLoadBalancers(before) !== isForLoadBalancers(after))
		throw datastoreError('DATASTORE_NOT_ALLOWED', {
			message: 'LoadBalancer can be neither added to nor taken from a pool that exists',
			path: 'spec.allowedUses',
		});
}

/** Disables the pool, gives up its empty blocks, then deletes it. */
export async function deletePool(
	{ backend, clock, addresses }: { readonly backend: Backend; readonly clock: Clock; readonly addresses: AddressCleanup },
	key: ResourceKey,
	options?: CallOptions,
): Promise<void> {
	const { value, revision } = await backend.get(key, options);
	const pool = value as IPPool;
	if (pool.spec.disabled !== true) await backend.update(key, { ...pool, spec: { ...pool.spec, disabled: true } }, revision, options);
	await clock.sleep(DISABLE_GRACE_MS, options?.signal);
	await addresses.releasePool(cidr(pool.spec.cidr), options);
	await backend.delete(key, undefined, options);
}
