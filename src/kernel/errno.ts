import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';
import { kernelError } from './errors.ts';

const NAME_BY_NUMBER = new Map<number, string>([
	...Object.entries(constants.errno).map(([name, value]) => [value, name] as const),
	// names with two spellings, and one that only netlink lets out of the kernel
	[11, 'EAGAIN'],
	[85, 'ERESTART'],
	[95, 'EOPNOTSUPP'],
]);

/** The name of a positive error number, such as ENOENT. */
export function errnoName(errno: number): string {
	return NAME_BY_NUMBER.get(errno) ?? `errno ${errno}`;
}

/** What an error number means, in the system's words. */
export function errnoMessage(errno: number): string {
	return `${getSystemErrorMessage(-errno) ?? 'unknown error'} (${errnoName(errno)})`;
}

/** The error of a failed system call. `what` names the call and its object: `bind 10.0.0.1:179`. */
export function systemCallError(errno: number, what: string, hint?: string): ReturnType<typeof kernelError> {
	return kernelError('KERNEL_SYSTEM_CALL', { message: `${what}: ${errnoMessage(errno)}`, found: errnoName(errno), hint });
}

/**
 * Passes on what a system call returned.
 *
 * @throws KERNEL_SYSTEM_CALL if that was an error number
 */
export function checked(result: number, what: string): number {
	if (result < 0) throw systemCallError(-result, what);
	return result;
}

/** The error of a failed call of `node:fs`. */
export function fileError(error: unknown, what: string): ReturnType<typeof kernelError> {
	const code = error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? -error.errno : 0;
	return code > 0 ? systemCallError(code, what) : kernelError('KERNEL_SYSTEM_CALL', { message: what, cause: error });
}
