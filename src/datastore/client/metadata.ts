import { randomUUID } from 'node:crypto';
import type { AnyResource, ObjectMeta } from '#resources';
import { type Clock, timestamp } from '../clock.ts';
import { datastoreError } from '../errors.ts';

/** The metadata of an object that comes into being: unique ID and time of creation, unless they are given. */
export function newIdentity(metadata: ObjectMeta, clock: Clock): ObjectMeta {
	return {
		...metadata,
		uid: metadata.uid === undefined || metadata.uid === '' ? randomUUID() : metadata.uid,
		creationTimestamp: metadata.creationTimestamp ?? timestamp(clock.now()),
	};
}

/** @throws DATASTORE_NOT_ALLOWED if the object claims to have been read from the datastore */
export function checkIsNew({ kind, metadata }: AnyResource): void {
	if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== '')
		throw datastoreError('DATASTORE_NOT_ALLOWED', {
			message: `a new ${kind} has no resource version yet`,
			path: 'metadata.resourceVersion',
			found: metadata.resourceVersion,
			allowed: 'nothing',
			hint: 'leave the field out, or update the object that exists',
		});
}

/** @throws DATASTORE_NOT_ALLOWED if the object lacks what only a read from the datastore gives */
export function checkWasRead({ kind, metadata }: AnyResource): void {
	for (const field of ['resourceVersion', 'uid', 'creationTimestamp'] as const)
		if (metadata[field] === undefined || metadata[field] === '')
			throw datastoreError('DATASTORE_NOT_ALLOWED', {
				message: `the ${kind} ${metadata.name} to be updated lacks a field that the datastore sets`,
				path: `metadata.${field}`,
				allowed: 'the value that a read returned',
				hint: 'read the object, change it, and write it back',
			});
}
