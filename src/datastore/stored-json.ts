import { type AnyResource, decodeStored, encodeStored } from '#resources';
import { datastoreError } from './errors.ts';
import {
	decodeAffinity,
	decodeBlock,
	decodeHandle,
	decodeIpamConfig,
	encodeAffinity,
	encodeBlock,
	encodeHandle,
	encodeIpamConfig,
} from './ipam-codec.ts';
import { keyId } from './key.ts';
import type { IpamAffinity, IpamBlock, IpamConfig, IpamHandle, Key, ResourceKey, Revision, ValueOf } from './types.ts';

/** A value in the form in which it is kept. */
export interface StoredForm<K extends Key> {
	readonly text: string;
	/** What reading the text gives, once it is written as this revision. */
	at(revision: Revision): ValueOf<K>;
}

/**
 * The JSON that etcd keeps for a value. What could not be read again is not written in the first place.
 *
 * @throws DATASTORE_REFUSED for a value that is invalid, or a resource whose name, namespace or kind is not the key's
 */
export function storedForm<K extends Key>(key: K, value: ValueOf<K>): StoredForm<K> {
	const text = encode(key, value);
	try {
		const read = decode(key, text);
		return { text, at: (revision) => stamped(read, revision) as ValueOf<K> };
	} catch (cause) {
		throw datastoreError('DATASTORE_REFUSED', { message: `the value for ${keyId(key)} is invalid`, cause });
	}
}

/**
 * The value of stored JSON; a resource gets its revision.
 *
 * @throws DATASTORE_INVALID_ENTRY, which names the object
 */
export function decodeEntry<K extends Key>(key: K, text: string, revision: Revision): ValueOf<K> {
	try {
		return stamped(decode(key, text), revision) as ValueOf<K>;
	} catch (cause) {
		throw datastoreError('DATASTORE_INVALID_ENTRY', { message: `what is stored as ${keyId(key)} can not be used`, cause });
	}
}

function encode(key: Key, value: ValueOf<Key>): string {
	switch (key.type) {
		case 'resource':
			return JSON.stringify(encodeStored(value as AnyResource));
		case 'block':
			return encodeBlock(value as IpamBlock);
		case 'affinity':
			return encodeAffinity(value as IpamAffinity);
		case 'handle':
			return encodeHandle(value as IpamHandle);
		case 'ipam-config':
			return encodeIpamConfig(value as IpamConfig);
		default:
			return key satisfies never;
	}
}

function decode(key: Key, text: string): ValueOf<Key> {
	switch (key.type) {
		case 'resource':
			return decodeResource(key, text);
		case 'block': {
			const block = decodeBlock(text);
			if (block.cidr !== key.cidr)
				throw datastoreError('DATASTORE_INVALID_ENTRY', {
					message: 'the block is stored under the key of another',
					path: 'cidr',
					found: block.cidr,
					allowed: key.cidr,
				});
			return block;
		}
		case 'affinity':
			return decodeAffinity(text);
		case 'handle':
			return decodeHandle(text);
		case 'ipam-config':
			return decodeIpamConfig(text);
		default:
			return key satisfies never;
	}
}

function decodeResource(key: ResourceKey, text: string): AnyResource {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw datastoreError('DATASTORE_INVALID_ENTRY', { message: 'the value is not JSON', cause });
	}
	const resource: AnyResource = decodeStored(key.kind, value);
	const { name, namespace = key.namespace } = resource.metadata;
	// policies of releases before 3.32 are stored as default.<name>
	if (name !== key.name && `default.${name}` !== key.name) throw misplaced('metadata.name', name, key.name);
	// a policy must not reach into a namespace that it is not stored in
	if ((namespace ?? '') !== (key.namespace ?? '')) throw misplaced('metadata.namespace', namespace, key.namespace ?? '');
	return key.namespace === undefined ? resource : { ...resource, metadata: { ...resource.metadata, namespace } };
}

function misplaced(path: string, found: unknown, allowed: string): Error {
	return datastoreError('DATASTORE_INVALID_ENTRY', {
		message: 'the object says another name than the one it is stored under',
		path,
		found,
		allowed,
	});
}

/** A resource knows its revision. */
function stamped(value: ValueOf<Key>, revision: Revision): ValueOf<Key> {
	return 'metadata' in value ? { ...value, metadata: { ...value.metadata, resourceVersion: revision } } : value;
}
