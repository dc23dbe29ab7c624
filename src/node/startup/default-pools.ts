import type { Logger } from 'pino';
import { type Client, datastoreError } from '#datastore';
import { type Cidr, cidr, cidrFamily, cidrOf, cidrsOverlap, FAMILIES, type Family, formatIp, parseCidr } from '#net';
import { API_VERSION, type IPPool } from '#resources';
import { nodeError } from '../errors.ts';
import type { HostInterface } from './address-detection.ts';
import type { PoolSettings } from './start-up-settings.ts';

export interface PoolModules {
	readonly interfaces: () => readonly HostInterface[];
	readonly randomBytes: (count: number) => Uint8Array;
	readonly logger: Logger;
}

/** Private ranges to choose from, in order. */
const IPV4_RANGES: readonly Cidr[] = ['192.168.0.0/16', ...Array.from({ length: 16 }, (_, index) => `172.${16 + index}.0.0/16`)].map(
	(text) => cidr(text),
);

/**
 * Creates a pool for each family that has none.
 *
 * @throws NODE_NO_POOL_RANGE, and what the datastore throws
 */
export async function createDefaultPools(
	client: Client,
	settings: Readonly<Record<Family, PoolSettings | undefined>>,
	modules: PoolModules,
	signal: AbortSignal,
): Promise<void> {
	const existing = (await client.resources.list('IPPool', {}, { signal })).items.flatMap((pool) => parseCidr(pool.spec.cidr) ?? []);
	for (const family of FAMILIES) {
		const wanted = settings[family];
		if (wanted === undefined || existing.some((pool) => cidrFamily(pool) === family)) continue;
		const pool = defaultPool(family, wanted, wanted.cidr ?? freeRange(family, modules));
		try {
			await client.resources.create(pool, { signal });
			modules.logger.info({ pool: pool.metadata.name, cidr: pool.spec.cidr }, 'default pool created');
		} catch (error) {
			// Another node was faster, maybe with another range.
			if (!datastoreError.is(error, 'DATASTORE_EXISTS')) throw error;
		}
	}
}

function defaultPool(family: Family, settings: PoolSettings, range: Cidr): IPPool {
	return {
		apiVersion: API_VERSION,
		kind: 'IPPool',
		metadata: { name: `default-ipv${family}-ippool` },
		spec: {
			cidr: range,
			blockSize: settings.blockSize,
			ipipMode: settings.ipipMode,
			vxlanMode: settings.vxlanMode,
			natOutgoing: settings.natOutgoing,
			nodeSelector: settings.nodeSelector,
			...(settings.disableBgpExport ? { disableBGPExport: true } : {}),
		},
	};
}

/** A range for the pool: the first private one that no interface of the host is in, or a random ULA (RFC 4193 §3.2.2). */
export function freeRange(family: Family, { interfaces, randomBytes }: Pick<PoolModules, 'interfaces' | 'randomBytes'>): Cidr {
	if (family === 6) {
		const bytes = new Uint8Array(16);
		bytes[0] = 0xfd;
		bytes.set(randomBytes(5), 1);
		return cidrOf(formatIp(bytes), 48);
	}
	const used = interfaces().flatMap(({ addresses }) => addresses.map(({ address, length }) => cidrOf(address, length)));
	const free = IPV4_RANGES.find((range) => !used.some((network) => cidrsOverlap(network, range)));
	if (free !== undefined) return free;
	throw nodeError('NODE_NO_POOL_RANGE', {
		message: 'each of the private ranges for a default pool overlaps with a network of this host',
		hint: 'set CALICO_IPV4POOL_CIDR to a range that is free in your network',
	});
}
