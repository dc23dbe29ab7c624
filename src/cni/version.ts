import { cniError } from './errors.ts';

/** Versions of the CNI specification that are spoken, oldest first. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type CniVersion = (typeof CNI_VERSIONS)[number];

/** A configuration without a version is of this one, which was the first to have the field. */
export const DEFAULT_CNI_VERSION: CniVersion = '0.2.0';

/** The operations of the specification that reach the agent. The plugin answers VERSION by itself. */
export const CNI_COMMANDS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC'] as const;

export type CniCommand = (typeof CNI_COMMANDS)[number];

const SINCE: Readonly<Record<CniCommand, CniVersion>> = { ADD: '0.1.0', DEL: '0.1.0', CHECK: '0.4.0', STATUS: '1.1.0', GC: '1.1.0' };

/**
 * The version a configuration asks for.
 *
 * @throws CNI_INCOMPATIBLE_VERSION if it is not spoken
 */
export function parseCniVersion(text: string | undefined): CniVersion {
	if (text === undefined || text === '') return DEFAULT_CNI_VERSION;
	const version = CNI_VERSIONS.find((known) => known === text);
	if (version === undefined)
		throw cniError('CNI_INCOMPATIBLE_VERSION', {
			message: `CNI version ${JSON.stringify(text)} is not supported`,
			path: 'cniVersion',
			found: text,
			allowed: CNI_VERSIONS.join(', '),
		});
	return version;
}

/** Whether `version` is `least` or a later one. */
export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
	return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
}

/** @throws CNI_INCOMPATIBLE_VERSION if the version has no such command */
export function requireCommand(command: CniCommand, version: CniVersion): void {
	const since = SINCE[command];
	if (isAtLeast(version, since)) return;
	throw cniError('CNI_INCOMPATIBLE_VERSION', {
		message: `the configuration is of CNI version ${version}, which has no ${command}`,
		path: 'cniVersion',
		found: version,
		allowed: `${since} or later for ${command}`,
	});
}
