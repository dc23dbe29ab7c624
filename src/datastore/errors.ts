import { defineErrors } from '#errors';

export const datastoreError = defineErrors({
	DATASTORE_EXISTS: 'An object to be created is already there.',
	DATASTORE_NOT_FOUND: 'An object is not in the datastore.',
	DATASTORE_CONFLICT: 'An object has moved on from the revision that the writer read; read it again and repeat the change.',
	DATASTORE_UNAVAILABLE: 'The datastore does not answer, or not in time; the request may be repeated.',
	DATASTORE_UNAUTHORIZED: 'The datastore refuses the credentials, or they do not allow the request.',
	DATASTORE_INVALID_ENTRY: 'A stored object can not be decoded; it is reported by name and its last good value stays in force.',
	DATASTORE_COMPACTED: 'The history after the wanted revision is gone; list again and watch from there.',
	DATASTORE_REPLACED:
		'The datastore is behind what was seen of it: it was restored or replaced; list again and trust no revision from before.',
	DATASTORE_REFUSED: 'The datastore refuses a request as malformed; repeating it does not help.',
	DATASTORE_TOO_LARGE: 'A request or an answer is larger than one message may be.',
	DATASTORE_BAD_CONFIG: 'The configuration of the datastore connection is incomplete or contradicts itself.',
	DATASTORE_UNSUPPORTED: 'The operation, or the kind of datastore, is not supported.',
	DATASTORE_NOT_ALLOWED: 'A rule of the data model forbids the change, such as deleting a protected tier or overlapping pools.',
	DATASTORE_ABORTED: 'The caller gave up waiting.',
});
