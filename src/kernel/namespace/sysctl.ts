import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileError } from '../errno.ts';
import { kernelError } from '../errors.ts';
import { inNamespace } from './namespace.ts';

/** Path below `/proc/sys`, in parts: `['net', 'ipv4', 'conf', 'cali1', 'rp_filter']`. Interface names may hold dots, so dots do not separate. */
export type SysctlPath = readonly string[];

/**
 * Reads a setting, without the line's end.
 *
 * @param namespaceFd descriptor of the network namespace to work in; the caller's own if absent
 * @throws KERNEL_BAD_ARGUMENT, KERNEL_SYSTEM_CALL
 */
export function readSysctl(path: SysctlPath, namespaceFd?: number): string {
	const file = fileOf(path);
	return inside(namespaceFd, () => {
		try {
			return readFileSync(file, 'utf8').trimEnd();
		} catch (error) {
			throw fileError(error, `read ${file}`);
		}
	});
}

/** @throws KERNEL_BAD_ARGUMENT, KERNEL_SYSTEM_CALL */
export function writeSysctl(path: SysctlPath, value: string | number, namespaceFd?: number): void {
	writeSysctls([[path, value]], namespaceFd);
}

/**
 * Writes several settings in one visit to the namespace, in order, up to the first that fails.
 *
 * @throws KERNEL_BAD_ARGUMENT, KERNEL_SYSTEM_CALL
 */
export function writeSysctls(values: readonly (readonly [SysctlPath, string | number])[], namespaceFd?: number): void {
	const files = values.map(([path, value]) => [fileOf(path), String(value)] as const);
	inside(namespaceFd, () => {
		for (const [file, value] of files) writeOne(file, value);
	});
}

function writeOne(file: string, value: string): void {
	let fd: number | undefined;
	try {
		// not created and not truncated: a setting that is not there is an error
		fd = openSync(file, 'r+');
		writeSync(fd, value);
	} catch (error) {
		throw fileError(error, `write ${value} to ${file}`);
	} finally {
		if (fd !== undefined) closeSync(fd);
	}
}

function inside<T>(namespaceFd: number | undefined, run: () => T): T {
	return namespaceFd === undefined ? run() : inNamespace(namespaceFd, run);
}

function fileOf(path: SysctlPath): string {
	if (path.length === 0 || !path.every((part) => /^[^/\0]+$/.test(part) && part !== '.' && part !== '..'))
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `${path.join('/')} is not the path of a sysctl`, found: path });
	return join('/proc/sys', ...path);
}
