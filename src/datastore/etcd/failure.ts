import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { TortieError } from '#errors';
import { datastoreError } from '../errors.ts';

const NOT_TO_BE_REPEATED: readonly status[] = [
	status.INVALID_ARGUMENT,
	status.FAILED_PRECONDITION,
	status.OUT_OF_RANGE,
	status.UNIMPLEMENTED,
];

/** Whether a value is a failed gRPC call. */
export function isServiceError(error: unknown): error is ServiceError {
	return error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number' && 'details' in error;
}

/** The failure of a call for which there was no connection in time. */
export function notConnected(): ServiceError {
	const details = 'No connection established. Last error: no answer in time';
	return Object.assign(new Error(details), { code: status.UNAVAILABLE, details, metadata: new Metadata() });
}

/** Whether no server can have acted on the request, so that even a write may be sent to another. */
export function neverSent(error: ServiceError): boolean {
	return (
		error.code === status.UNAVAILABLE && /^(No connection established|Name resolution failed|etcdserver: no leader)/.test(error.details)
	);
}

/** Whether a fresh token would help (etcd api/v3rpc/rpctypes/error.go: ErrGRPCInvalidAuthToken, ErrGRPCAuthOldRevision, ErrGRPCUserEmpty). */
export function isStaleToken(text: string): boolean {
	return /invalid auth token|revision of auth store is old|user name is empty/.test(text);
}

/**
 * The failure of a call in the words of the datastore's contract.
 *
 * @param what the call and where it went, for the message: `Range on https://10.0.0.1:2379`
 * @param before the failure on the endpoint that was tried before
 */
export function failureOf(error: ServiceError, what: string, before?: Error): TortieError {
	const text = error.details
		.replace(/^No connection established\. Last error: (Error: )?/, 'no connection: ')
		.replace(/\.?\s*Resolution note:\s*$/, '');
	const details = { message: `${what} failed: ${text}`, ...(before === undefined ? {} : { cause: before }) };
	if (/has been compacted/.test(text)) return datastoreError('DATASTORE_COMPACTED', details);
	if (
		error.code === status.UNAUTHENTICATED ||
		error.code === status.PERMISSION_DENIED ||
		/authentication failed|user name is empty|auth token|auth store|permission denied/.test(text)
	)
		return datastoreError('DATASTORE_UNAUTHORIZED', { ...details, hint: 'check the etcd user, its password and its roles' });
	if (/database space exceeded/.test(text))
		return datastoreError('DATASTORE_UNAVAILABLE', {
			...details,
			hint: 'etcd is over its quota: compact, defragment, then disarm the NOSPACE alarm',
		});
	if (/message larger than max|request is too large/i.test(text)) return datastoreError('DATASTORE_TOO_LARGE', details);
	if (NOT_TO_BE_REPEATED.includes(error.code)) return datastoreError('DATASTORE_REFUSED', details);
	const isAboutTls = /certificate|self.signed|TLS|SSL|altname/i.test(text);
	return datastoreError('DATASTORE_UNAVAILABLE', {
		...details,
		hint: isAboutTls ? 'check that the CA, certificate and key belong to this etcd cluster and are in date' : undefined,
	});
}
