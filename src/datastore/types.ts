/** The contract of a datastore backend: keys of the data model in, decoded values out, compare-and-swap throughout. */
import type { Cidr } from '#net';
import type { AnyResource, KindName } from '#resources';

/** Opaque; only equality means anything. etcd: ModRevision in decimal. */
export type Revision = string & { readonly __revision: unique symbol };

/** The name of one object of the data model, whatever the backend calls it. */
export type Key = ResourceKey | BlockKey | AffinityKey | HandleKey | IpamConfigKey;

export interface ResourceKey {
	readonly type: 'resource';
	readonly kind: KindName;
	/** Undefined for cluster-scoped kinds. */
	readonly namespace?: string | undefined;
	readonly name: string;
}
/** An IPAM block. */
export interface BlockKey {
	readonly type: 'block';
	readonly cidr: Cidr;
}
/** A host's claim to a block. */
export interface AffinityKey {
	readonly type: 'affinity';
	readonly affinityType: 'host' | 'virtual';
	readonly host: string;
	readonly cidr: Cidr;
}
/** The blocks in which a handle has addresses. */
export interface HandleKey {
	readonly type: 'handle';
	readonly handleId: string;
}
/** The IPAM configuration that IPAM itself reads. */
export interface IpamConfigKey {
	readonly type: 'ipam-config';
}

/** The value that belongs to a key. Unknown fields are kept; 64-bit integers are bigint. */
export type ValueOf<K extends Key> = K extends ResourceKey
	? AnyResource
	: K extends BlockKey
		? IpamBlock
		: K extends AffinityKey
			? IpamAffinity
			: K extends HandleKey
				? IpamHandle
				: IpamConfig;

export interface IpamBlock {
	readonly cidr: Cidr;
	/** `host:<node>`, `virtual:load-balancer`, or null for a block without affinity. */
	readonly affinity: string | null;
	/** RFC 3339. */
	readonly affinityClaimTime?: string | undefined;
	/** Per ordinal: index into `attributes`, or null. */
	readonly allocations: readonly (number | null)[];
	/** Ordinals to hand out, front first. */
	readonly unallocated: readonly number[];
	readonly attributes: readonly IpamAttribute[];
	readonly sequenceNumber: bigint;
	readonly sequenceNumberForAllocation: Readonly<Record<string, bigint>>;
	/** Fields this version does not know, kept for the round trip. */
	readonly extra: Readonly<Record<string, unknown>>;
}
export interface IpamAttribute {
	readonly handleId?: string | undefined;
	readonly secondary?: Readonly<Record<string, string>> | undefined;
	readonly alternateOwnerAttributes?: Readonly<Record<string, string>> | undefined;
	/** RFC 3339; the address is cooling down. */
	readonly releasedAt?: string | undefined;
	/** Fields this version does not know, kept for the round trip. */
	readonly extra?: Readonly<Record<string, unknown>>;
}
export interface IpamAffinity {
	readonly state: 'confirmed' | 'pending' | 'pendingDeletion';
	readonly extra?: Readonly<Record<string, unknown>>;
}
export interface IpamHandle {
	/** Block prefix → number of addresses. Not authoritative; the block is. */
	readonly blocks: Readonly<Record<string, number>>;
	readonly extra?: Readonly<Record<string, unknown>>;
}
export interface IpamConfig {
	readonly strictAffinity: boolean;
	readonly autoAllocateBlocks: boolean;
	readonly maxBlocksPerHost: number;
	readonly ipCooldownSeconds: number;
	readonly extra: Readonly<Record<string, unknown>>;
}

export interface KeyValue<K extends Key = Key> {
	readonly key: K;
	readonly value: ValueOf<K>;
	readonly revision: Revision;
}

/** What a list covers: every object of a kind, or of a part of the IPAM data. Affinities are those of hosts unless a type is given. */
export type ListScope =
	| { readonly type: 'resource'; readonly kind: KindName; readonly namespace?: string; readonly namePrefix?: string }
	| { readonly type: 'block'; readonly family?: 4 | 6 }
	| { readonly type: 'affinity'; readonly affinityType?: 'host' | 'virtual'; readonly host?: string; readonly family?: 4 | 6 }
	| { readonly type: 'handle' }
	| { readonly type: 'ipam-config' };

/** A stored object that could not be decoded; reported by name, never dropped in silence. */
export interface InvalidEntry {
	/** The stored name: an etcd key or a Kubernetes object's path. */
	readonly storedName: string;
	readonly key: Key | undefined;
	readonly error: Error;
}

export interface ListResult {
	readonly items: readonly KeyValue[];
	readonly invalid: readonly InvalidEntry[];
	readonly revision: Revision;
}

export type WatchEvent =
	| { readonly type: 'set'; readonly entry: KeyValue }
	| { readonly type: 'delete'; readonly key: Key; readonly revision: Revision }
	| { readonly type: 'invalid'; readonly entry: InvalidEntry; readonly revision: Revision }
	/** Nothing changed up to this revision; a later watch may resume from it. */
	| { readonly type: 'progress'; readonly revision: Revision };

export interface CallOptions {
	readonly signal?: AbortSignal;
}

/**
 * One datastore. All calls have a limit of their own beside the caller's signal.
 * Errors: DATASTORE_EXISTS, DATASTORE_NOT_FOUND, DATASTORE_CONFLICT, DATASTORE_UNAVAILABLE, DATASTORE_UNAUTHORIZED,
 * DATASTORE_INVALID_ENTRY, DATASTORE_REFUSED, DATASTORE_TOO_LARGE, DATASTORE_UNSUPPORTED (the built-in profile), DATASTORE_ABORTED (the signal).
 */
export interface Backend extends AsyncDisposable {
	get<K extends Key>(key: K, options?: CallOptions): Promise<KeyValue<K>>;
	list(scope: ListScope, options?: CallOptions): Promise<ListResult>;
	/** Fails with DATASTORE_EXISTS if the key is there. */
	create<K extends Key>(key: K, value: ValueOf<K>, options?: CallOptions): Promise<KeyValue<K>>;
	/** Fails with DATASTORE_CONFLICT if the object moved on from `revision`. */
	update<K extends Key>(key: K, value: ValueOf<K>, revision: Revision, options?: CallOptions): Promise<KeyValue<K>>;
	/** With a revision: only that version. Fails with DATASTORE_NOT_FOUND or DATASTORE_CONFLICT. */
	delete(key: Key, revision?: Revision, options?: CallOptions): Promise<void>;
	/**
	 * Events after `revision`, batched as they arrive. Ends by throwing: DATASTORE_COMPACTED (list again), DATASTORE_REPLACED
	 * (list again, and trust no revision from before), or DATASTORE_UNAVAILABLE (resume from the last revision seen).
	 */
	watch(scope: ListScope, revision: Revision, options?: CallOptions): AsyncIterable<readonly WatchEvent[]>;
	/** One cheap round trip, for start-up and probes. */
	ping(options?: CallOptions): Promise<void>;
}
