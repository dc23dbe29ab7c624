import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import type { Backend, CallOptions } from '../types.ts';
import type { AddressCleanup } from './address-cleanup.ts';
import { type ClusterIdentity, ensureInitialized } from './initialize.ts';
import { ResourceClient } from './resource-client.ts';

export interface ClientModules {
	readonly backend: Backend;
	readonly clock: Clock;
	/** Without it nodes and pools can not be deleted, as their addresses would be lost. */
	readonly addresses?: ((client: Client) => AddressCleanup) | undefined;
}

/** The datastore as programs use it: resources by the rules of the data model, and the backend for everything else. */
export class Client implements AsyncDisposable {
	readonly backend: Backend;
	readonly resources: ResourceClient;
	readonly #clock: Clock;

	constructor({ backend, clock, addresses }: ClientModules) {
		this.backend = backend;
		this.#clock = clock;
		let cleanup: AddressCleanup | undefined;
		this.resources = new ResourceClient({
			backend,
			clock,
			addresses: () => {
				cleanup ??= addresses?.(this);
				if (cleanup !== undefined) return cleanup;
				throw datastoreError('DATASTORE_UNSUPPORTED', {
					message: 'nodes and pools can only be deleted by a client that also manages addresses',
				});
			},
		});
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.backend[Symbol.asyncDispose]();
	}

	/**
	 * Makes sure that the cluster's information and the built-in tiers are there, and notes version and type. A cluster
	 * that is locked (`datastoreReady: false`) stays so.
	 */
	ensureInitialized(identity: ClusterIdentity = {}, options?: CallOptions): Promise<void> {
		return ensureInitialized({ backend: this.backend, clock: this.#clock }, identity, options);
	}
}
