import { createHash } from 'node:crypto';
import { addressBits, type Cidr, cidrFamily, cidrNth, cidrOf, cidrParts, type Ip, ipToBigInt } from '#net';

/**
 * The blocks of a pool once around, from a place that depends on the host, so that hosts which claim at the same time
 * rarely meet. A pool can have more blocks than anyone could walk: the caller may jump.
 *
 * @param start uniform in [0, 1)
 */
export function* blockRing(pool: Cidr, blockSize: number, start: number): Generator<Cidr, void, Ip | undefined> {
	const { family, length, address } = cidrParts(pool);
	const count = 1n << BigInt(blockSize - length);
	const step = 1n << BigInt(addressBits(family) - blockSize);
	const base = ipToBigInt(address);
	const first = (BigInt(Math.floor(start * 2 ** 32)) * count) >> 32n;
	for (const [from, to] of [
		[first, count],
		[0n, first],
	] as const)
		for (let index = from; index < to; index++) {
			const jumpBehind: Ip | undefined = yield cidrOf(cidrNth(pool, index * step), blockSize);
			if (jumpBehind !== undefined) index = (ipToBigInt(jumpBehind) - base) / step;
		}
}

/** Where a host begins on every ring, in [0, 1): the same after a restart, unrelated for other hosts. */
export function ringStart(host: string): number {
	return createHash('sha256').update(host).digest().readUInt32BE() / 2 ** 32;
}

/** Whether a pool's blocks hold one address each, where a fixed start would make a host collide with itself. */
export function hasSingleAddressBlocks(pool: Cidr, blockSize: number): boolean {
	return blockSize === addressBits(cidrFamily(pool));
}
