import {
	type AnyResource,
	applyDefaults,
	decodeStored,
	type IPPool,
	KINDS,
	type KindName,
	parseResource,
	type ResourceOf,
} from '#resources';
import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import type { Backend, CallOptions, InvalidEntry, ResourceKey, Revision } from '../types.ts';
import type { AddressCleanup } from './address-cleanup.ts';
import { ensureInitialized, ensureTier } from './initialize.ts';
import { checkIsNew, checkWasRead, newIdentity } from './metadata.ts';
import { deleteNode } from './node-removal.ts';
import { checkNewPool, checkPoolChange, deletePool } from './pool-rules.ts';
import { checkTierDeletable, checkTierExists, isBuiltInTier } from './tier-rules.ts';

/** Which object of a kind. */
export interface ResourceName {
	readonly name: string;
	/** Of namespaced kinds only. */
	readonly namespace?: string | undefined;
}

export interface ResourceList<R> {
	readonly items: readonly R[];
	/** Stored objects that could not be read. */
	readonly invalid: readonly InvalidEntry[];
	readonly revision: Revision;
}

export interface ResourceFilter {
	readonly namespace?: string | undefined;
	readonly namePrefix?: string | undefined;
}

interface Modules {
	readonly backend: Backend;
	readonly clock: Clock;
	/** @throws DATASTORE_UNSUPPORTED */
	readonly addresses: () => AddressCleanup;
}

const MAX_APPLY_TRIES = 10;

/** Resources by the rules of the data model: validation, defaults, identity, and what a change of one does to others. */
export class ResourceClient {
	readonly #modules: Modules;

	constructor(modules: Modules) {
		this.#modules = modules;
	}

	/** @throws DATASTORE_NOT_FOUND, DATASTORE_INVALID_ENTRY, RESOURCE_INVALID */
	async get<Name extends KindName>(kind: Name, name: ResourceName, options?: CallOptions): Promise<ResourceOf<Name>> {
		return (await this.#modules.backend.get(resourceKey(kind, name), options)).value as ResourceOf<Name>;
	}

	async list<Name extends KindName>(
		kind: Name,
		{ namespace, namePrefix }: ResourceFilter = {},
		options?: CallOptions,
	): Promise<ResourceList<ResourceOf<Name>>> {
		const scope = {
			type: 'resource',
			kind,
			...(namespace === undefined ? {} : { namespace }),
			...(namePrefix === undefined ? {} : { namePrefix }),
		} as const;
		const { items, invalid, revision } = await this.#modules.backend.list(scope, options);
		return { items: items.map(({ value }) => value as ResourceOf<Name>), invalid, revision };
	}

	/**
	 * @returns the object as stored, with defaults, unique ID, time of creation and revision
	 * @throws RESOURCE_INVALID, DATASTORE_EXISTS, DATASTORE_NOT_ALLOWED
	 */
	async create<R extends AnyResource>(resource: R, options?: CallOptions): Promise<R> {
		checkIsNew(resource);
		const checked = applyDefaults(parseResource(resource));
		await this.#beforeCreate(checked, options);
		const created = { ...checked, metadata: newIdentity(checked.metadata, this.#modules.clock) } as AnyResource;
		return (await this.#modules.backend.create(keyOf(created), created, options)).value as R;
	}

	/**
	 * Replaces the version that was read.
	 *
	 * @param resource a read object with changes; fields that this version does not know may stand in it
	 * @throws RESOURCE_INVALID, DATASTORE_CONFLICT, DATASTORE_NOT_FOUND, DATASTORE_NOT_ALLOWED
	 */
	async update<R extends AnyResource>(resource: R, options?: CallOptions): Promise<R> {
		checkWasRead(resource);
		const checked: AnyResource = applyDefaults(resource);
		decodeStored(checked.kind, checked);
		await this.#beforeUpdate(checked, options);
		const revision = resource.metadata.resourceVersion as Revision;
		return (await this.#modules.backend.update(keyOf(checked), checked, revision, options)).value as R;
	}

	/**
	 * Creates the object, or replaces whatever version of it there is; a given revision has to be the current one.
	 *
	 * @throws RESOURCE_INVALID, DATASTORE_CONFLICT, DATASTORE_NOT_ALLOWED
	 */
	async apply<R extends AnyResource>(resource: R, options?: CallOptions): Promise<R> {
		const { resourceVersion: wanted = '', uid: _uid, creationTimestamp: _created, ...metadata } = resource.metadata;
		for (let tries = 1; ; tries++) {
			try {
				const current = await this.#find(keyOf(resource), options);
				if (current === undefined) return await this.create({ ...resource, metadata }, options);
				const { resourceVersion, uid, creationTimestamp } = current.metadata;
				const identity = { resourceVersion: wanted === '' ? resourceVersion : wanted, uid, creationTimestamp };
				const next = { ...resource, metadata: { ...metadata, ...identity } };
				return await this.update(parseResource(next) as R, options);
			} catch (error) {
				const raced = datastoreError.is(error) && ['DATASTORE_EXISTS', 'DATASTORE_CONFLICT', 'DATASTORE_NOT_FOUND'].includes(error.code);
				if (!raced || wanted !== '' || tries >= MAX_APPLY_TRIES) throw error;
			}
		}
	}

	/**
	 * Deletes an object and what belongs to it: with a node its endpoints, addresses and own configurations, with a pool
	 * its empty blocks.
	 *
	 * @throws DATASTORE_NOT_FOUND, DATASTORE_NOT_ALLOWED; DATASTORE_CONFLICT if a revision is given and is not the current one
	 */
	async delete(kind: KindName, name: ResourceName, revision?: Revision, options?: CallOptions): Promise<void> {
		const { backend, clock, addresses } = this.#modules;
		const key = resourceKey(kind, name);
		if (revision !== undefined) await this.#checkRevision(key, revision, options);
		if (kind === 'Node') return deleteNode({ backend, addresses: addresses() }, key, options);
		if (kind === 'IPPool') return deletePool({ backend, clock, addresses: addresses() }, key, options);
		if (kind === 'Tier') await checkTierDeletable(backend, key.name, options);
		return backend.delete(key, revision, options);
	}

	async #beforeCreate(resource: AnyResource, options: CallOptions | undefined): Promise<void> {
		const { backend, clock } = this.#modules;
		if (resource.kind === 'Node') await ensureInitialized({ backend, clock }, {}, options);
		if (resource.kind === 'IPPool') await checkNewPool(backend, resource, options);
		await this.#checkTier(resource, options);
	}

	async #beforeUpdate(resource: AnyResource, options: CallOptions | undefined): Promise<void> {
		if (resource.kind === 'IPPool') {
			const before = await this.#find(keyOf(resource), options);
			if (before !== undefined) checkPoolChange(applyDefaults(before as IPPool), resource);
		}
		await this.#checkTier(resource, options);
	}

	async #checkTier(resource: AnyResource, options: CallOptions | undefined): Promise<void> {
		if (resource.kind !== 'NetworkPolicy' && resource.kind !== 'GlobalNetworkPolicy') return;
		const { backend, clock } = this.#modules;
		const tier = resource.spec.tier ?? 'default';
		if (isBuiltInTier(tier)) await ensureTier({ backend, clock }, tier, options);
		else await checkTierExists(backend, tier, options);
	}

	async #checkRevision(key: ResourceKey, wanted: Revision, options: CallOptions | undefined): Promise<void> {
		const { revision } = await this.#modules.backend.get(key, options);
		if (revision !== wanted)
			throw datastoreError('DATASTORE_CONFLICT', { message: `${key.kind} ${key.name} is at revision ${revision}, not ${wanted}` });
	}

	async #find(key: ResourceKey, options: CallOptions | undefined): Promise<AnyResource | undefined> {
		try {
			return (await this.#modules.backend.get(key, options)).value;
		} catch (error) {
			if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
			throw error;
		}
	}
}

function keyOf({ kind, metadata }: AnyResource): ResourceKey {
	return resourceKey(kind, metadata);
}

function resourceKey(kind: KindName, { name, namespace }: ResourceName): ResourceKey {
	return KINDS[kind].namespaced ? { type: 'resource', kind, namespace, name } : { type: 'resource', kind, name };
}
