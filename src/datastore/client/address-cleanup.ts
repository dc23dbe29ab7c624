import type { Cidr, Ip } from '#net';
import type { CallOptions } from '../types.ts';

/** The part of address management that deleting nodes and pools needs; the ipam room has it. */
export interface AddressCleanup {
	/** Releases addresses; those that are not assigned are passed over. */
	releaseAddresses(addresses: readonly Ip[], options?: CallOptions): Promise<unknown>;
	/** Gives up a host's blocks, even those in use. */
	releaseHost(host: string, options?: CallOptions): Promise<void>;
	/** Gives up the empty blocks of a pool. */
	releasePool(pool: Cidr, options?: CallOptions): Promise<void>;
}
