/** One client over the datastore: list, watch, compare-and-swap, and the syncer. */
export type { AddressCleanup } from './client/address-cleanup.ts';
export { Client, type ClientModules } from './client/client.ts';
export type { ClusterIdentity } from './client/initialize.ts';
export type { ResourceClient, ResourceFilter, ResourceList, ResourceName } from './client/resource-client.ts';
export { type Clock, systemClock, timestamp } from './clock.ts';
export { type DatastoreConfig, datastoreConfigFromEnv, datastoreConfigFromFile } from './config.ts';
export { datastoreError } from './errors.ts';
export { EtcdBackend } from './etcd/backend.ts';
export type { EtcdModules, EtcdOptions } from './etcd/client.ts';
export { inScope, keyId } from './key.ts';
export { MemoryBackend, type MemoryBackendOptions } from './memory-backend.ts';
export { type OpenOptions, openDatastore } from './open.ts';
export type { SyncBatch, SyncStatus, SyncUpdate } from './syncer/outbox.ts';
export type { SyncerModules } from './syncer/scope-feed.ts';
export { Syncer, type SyncerOptions } from './syncer/syncer.ts';
export * from './types.ts';
