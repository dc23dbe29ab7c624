import type { AddressCleanup } from './client/address-cleanup.ts';
import { Client } from './client/client.ts';
import { systemClock } from './clock.ts';
import type { DatastoreConfig } from './config.ts';
import { EtcdBackend } from './etcd/backend.ts';

export interface OpenOptions {
	/** Address management for the deletion of nodes and pools; the ipam room has it. */
	readonly addresses?: ((client: Client) => AddressCleanup) | undefined;
}

/**
 * Opens the datastore. Connecting happens in the background: the first call waits for it within its own limit, so a
 * program that starts before its datastore can report that and go on.
 */
export function openDatastore(config: DatastoreConfig, options: OpenOptions = {}): Client {
	const backend = new EtcdBackend({ random: Math.random }, config.etcd);
	return new Client({ backend, clock: systemClock, addresses: options.addresses });
}
