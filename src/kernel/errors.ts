import { defineErrors, type TortieError } from '#errors';

export const kernelError = defineErrors({
	KERNEL_NATIVE_MISSING: 'The system-call addon is not built, or it was built for another machine.',
	KERNEL_SYSTEM_CALL: 'A system call failed; `found` is the name of the error number.',
	KERNEL_REFUSED: 'The kernel refused a netlink request; `found` is the name of the error number.',
	KERNEL_TRANSACTION_REFUSED:
		'The kernel refused an nftables transaction as a whole; nothing of it was applied. `found` lists the failed operations.',
	KERNEL_OVERRUN: 'A netlink socket lost messages because its receive buffer was full: list again.',
	KERNEL_TIMEOUT: 'The kernel gave no answer within the limit.',
	KERNEL_DUMP_INTERRUPTED: 'A kernel table kept changing while it was listed, more often than the listing is retried.',
	KERNEL_BAD_MESSAGE: 'Bytes from the kernel or from a socket peer do not have the form their protocol prescribes.',
	KERNEL_BAD_ARGUMENT: 'A value cannot be put into a kernel request: out of range, too long, or of the wrong kind.',
	KERNEL_CLOSED: 'The socket was closed by its owner.',
});

/** Whether a failure of this room came with one of the given error numbers, by name (`EEXIST`, `ENOENT`). */
export function hasErrno(error: unknown, ...names: readonly string[]): error is TortieError {
	return kernelError.is(error) && typeof error.found === 'string' && names.includes(error.found);
}
