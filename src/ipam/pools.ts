import { type Cidr, cidr, cidrContains, cidrContainsIp, cidrFamily, type Family, type Ip } from '#net';
import { applyDefaults, type IPPool } from '#resources';
import { evaluateSelector, parseSelector } from '#selector';
import { ipamError } from './errors.ts';

export type IntendedUse = 'Workload' | 'Tunnel' | 'LoadBalancer';

/** An address pool, as IPAM uses it. */
export interface Pool {
	readonly name: string;
	readonly cidr: Cidr;
	readonly blockSize: number;
	readonly enabled: boolean;
	readonly spec: IPPool['spec'];
}

/** Who asks for addresses. */
export interface PoolRequest {
	readonly host: string;
	readonly hostLabels: Readonly<Record<string, string>>;
	readonly namespaceLabels: Readonly<Record<string, string>>;
	readonly family: Family;
	readonly intendedUse: IntendedUse;
	/** Only these pools, whatever they select. */
	readonly pools?: readonly Cidr[] | undefined;
}

/** The pools of stored resources; older ones may lack fields that have defaults. */
export function poolsOf(resources: readonly IPPool[]): readonly Pool[] {
	return resources.map((resource) => {
		const { metadata, spec, status } = applyDefaults(resource);
		const isAllocatable = status?.conditions?.every(({ type, status }) => type !== 'Allocatable' || status !== 'False') ?? true;
		return {
			name: metadata.name,
			cidr: cidr(spec.cidr),
			blockSize: spec.blockSize as number,
			enabled: spec.disabled !== true && metadata.deletionTimestamp === undefined && isAllocatable,
			spec,
		};
	});
}

/**
 * The pools that may give a host automatic addresses, in the order of the list.
 *
 * @throws IPAM_UNKNOWN_POOL, IPAM_NO_POOL
 */
export function choosePools(pools: readonly Pool[], request: PoolRequest): readonly Pool[] {
	const { host, family, intendedUse } = request;
	const enabled = pools.filter(({ enabled, cidr }) => enabled && cidrFamily(cidr) === family);
	const candidates =
		request.pools === undefined || request.pools.length === 0
			? enabled.filter(
					(pool) => pool.spec.assignmentMode === 'Automatic' && selectsHost(pool, request.hostLabels) && selectsNamespace(pool, request),
				)
			: request.pools.map((wanted) => requestedPool(enabled, wanted));
	if (candidates.length === 0)
		throw ipamError('IPAM_NO_POOL', {
			message: `there is no enabled IPv${family} pool for the node ${host}`,
			hint: 'create an IPPool, or check disabled, nodeSelector, namespaceSelector and assignmentMode of those there are',
		});
	const usable = candidates.filter(({ spec }) => spec.allowedUses?.includes(intendedUse));
	if (usable.length === 0)
		throw ipamError('IPAM_NO_POOL', {
			message: 'cannot find a qualified ippool, no pools match the required use',
			found: intendedUse,
			hint: `allow ${intendedUse} in the allowedUses of a pool`,
		});
	return usable;
}

/** The pool that holds an address or a block. */
export function poolOf(pools: readonly Pool[], where: Ip | Cidr): Pool | undefined {
	return pools.find(({ cidr }) => (where.includes('/') ? cidrContains(cidr, where as Cidr) : cidrContainsIp(cidr, where as Ip)));
}

export function selectsHost({ spec }: Pool, labels: Readonly<Record<string, string>>): boolean {
	return matchesLabels(spec.nodeSelector, labels);
}

function selectsNamespace({ spec }: Pool, { namespaceLabels }: PoolRequest): boolean {
	return matchesLabels(spec.namespaceSelector, namespaceLabels);
}

function matchesLabels(selector: string | undefined, labels: Readonly<Record<string, string>>): boolean {
	if (selector === undefined || selector === '') return true;
	return evaluateSelector(parseSelector(selector), new Map(Object.entries(labels)));
}

function requestedPool(enabled: readonly Pool[], wanted: Cidr): Pool {
	const pool = enabled.find(({ cidr }) => cidr === wanted);
	if (pool === undefined)
		throw ipamError('IPAM_UNKNOWN_POOL', {
			message: `the given pool (${wanted}) does not exist, or is not enabled`,
			hint: 'name an enabled IPPool by its CIDR',
		});
	return pool;
}
