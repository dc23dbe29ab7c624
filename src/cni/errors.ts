import { defineErrors, explainError, TortieError } from '#errors';

export const cniError = defineErrors({
	CNI_INCOMPATIBLE_VERSION: 'The CNI version that the network configuration asks for is not supported (CNI code 1).',
	CNI_UNSUPPORTED_FIELD: 'A field of the network configuration has a value that is not supported (CNI code 2).',
	CNI_UNKNOWN_CONTAINER: 'The container is unknown: it was never added to this network (CNI code 3).',
	CNI_BAD_ENVIRONMENT: 'A CNI_* environment variable is missing or malformed (CNI code 4).',
	CNI_BAD_REQUEST: 'The bytes from the plugin are not a request; plugin and calico-node may be of different versions (CNI code 5).',
	CNI_BAD_JSON: 'The network configuration is not JSON (CNI code 6).',
	CNI_BAD_CONFIG: 'A field of the network configuration is missing or invalid (CNI code 7).',
	CNI_TRY_AGAIN: 'The request could not be served now, and may be later (CNI code 11).',
	CNI_NOT_READY: 'The agent cannot add containers at the moment (CNI code 50).',
	CNI_FAILED: 'A step of the request failed; what it had done was undone (CNI code 100).',
	CNI_CHECK_FAILED: "A container's network is not as it was set up (CNI code 101).",
});

type CniErrorCode = keyof typeof cniError.codes;

/** CNI specification 1.1.0, "Error codes": below 100 reserved, from 100 on the plugin's own. */
const NUMBERS: Readonly<Record<CniErrorCode, number>> = {
	CNI_INCOMPATIBLE_VERSION: 1,
	CNI_UNSUPPORTED_FIELD: 2,
	CNI_UNKNOWN_CONTAINER: 3,
	CNI_BAD_ENVIRONMENT: 4,
	CNI_BAD_REQUEST: 5,
	CNI_BAD_JSON: 6,
	CNI_BAD_CONFIG: 7,
	CNI_TRY_AGAIN: 11,
	CNI_NOT_READY: 50,
	CNI_FAILED: 100,
	CNI_CHECK_FAILED: 101,
};

/** Failures of rooms below that pass by themselves: the runtime had better try again than give the pod up. */
const TRANSIENT: ReadonlySet<string> = new Set([
	'DATASTORE_UNAVAILABLE',
	'DATASTORE_CONFLICT',
	'DATASTORE_ABORTED',
	'IPAM_CONTENTION',
	'FELIX_NOT_READY',
	'FELIX_TIMEOUT',
]);

/** The error object of the CNI specification, in every version of it. */
export interface CniErrorResult {
	readonly cniVersion: string;
	readonly code: number;
	/** One line: the outermost failure. */
	readonly msg: string;
	/** The same with what is allowed, what to do, and the chain of causes. */
	readonly details: string;
}

/**
 * The CNI error for anything that was thrown.
 *
 * @param cniVersion as the configuration asked for it
 */
export function cniErrorResult(error: unknown, cniVersion: string): CniErrorResult {
	const details = explainError(error);
	const msg = error instanceof TortieError && error.path !== undefined ? `${error.path}: ${error.message}` : (error as Error).message;
	return { cniVersion, code: cniErrorNumber(error), msg: msg ?? details, details };
}

function cniErrorNumber(error: unknown): number {
	if (cniError.is(error)) return NUMBERS[error.code];
	if (error instanceof TortieError && TRANSIENT.has(error.code)) return NUMBERS.CNI_TRY_AGAIN;
	return NUMBERS.CNI_FAILED;
}
