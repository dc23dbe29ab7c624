import { type Ip, parseIp } from '#net';
import { cniError } from './errors.ts';
import { CNI_COMMANDS, type CniCommand } from './version.ts';

/** The container that a call is about. */
export interface Attachment {
	readonly containerId: string;
	/** Name of the interface in the container. */
	readonly ifName: string;
	/** Path of the container's namespace as the runtime named it; the agent may not be able to open it. */
	readonly netns: string | undefined;
	readonly args: CniArgs;
}

/** What is understood of CNI_ARGS. */
export interface CniArgs {
	/** Present when the container is a Kubernetes pod. */
	readonly pod: { readonly namespace: string; readonly name: string } | undefined;
	/** The address to assign. */
	readonly ip: Ip | undefined;
}

// CNI specification 1.1.0, "Parameters"; the length keeps handles and endpoint names within what datastores take
const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

type Environment = Readonly<Record<string, string>>;

/** @throws CNI_BAD_ENVIRONMENT */
export function parseCommand(environment: Environment): CniCommand {
	const text = environment['CNI_COMMAND'] ?? '';
	const command = CNI_COMMANDS.find((known) => known === text);
	if (command === undefined) throw badVariable('CNI_COMMAND', text, CNI_COMMANDS.join(', '));
	return command;
}

/**
 * The container of an ADD, DEL or CHECK.
 *
 * @throws CNI_BAD_ENVIRONMENT naming the variable
 */
export function parseAttachment(environment: Environment): Attachment {
	const containerId = environment['CNI_CONTAINERID'] ?? '';
	if (!isContainerId(containerId))
		throw badVariable('CNI_CONTAINERID', containerId, 'a letter or digit, then letters, digits, `_`, `.` or `-`, 128 in all');
	const ifName = environment['CNI_IFNAME'] ?? '';
	if (!isInterfaceName(ifName)) throw badVariable('CNI_IFNAME', ifName, '1 to 15 characters without `/`, `:` and white space');
	return { containerId, ifName, netns: environment['CNI_NETNS'] || undefined, args: parseArgs(environment['CNI_ARGS'] ?? '') };
}

export function isContainerId(text: string): boolean {
	return CONTAINER_ID.test(text);
}

/** By the rules of Linux (`dev_valid_name`), which the specification repeats. */
export function isInterfaceName(text: string): boolean {
	return /^[^/:\s\0]{1,15}$/.test(text) && Buffer.byteLength(text) < 16 && text !== '.' && text !== '..';
}

/** Unknown keys are for other plugins. */
function parseArgs(text: string): CniArgs {
	const values = new Map<string, string>();
	for (const pair of text.split(';')) {
		if (pair === '') continue;
		const equals = pair.indexOf('=');
		if (equals <= 0) throw badVariable('CNI_ARGS', pair, 'KEY=VALUE pairs with `;` between them');
		values.set(pair.slice(0, equals), pair.slice(equals + 1));
	}
	return { pod: parsePod(values.get('K8S_POD_NAMESPACE') ?? '', values.get('K8S_POD_NAME') ?? ''), ip: parseRequestedIp(values.get('IP')) };
}

function parsePod(namespace: string, name: string): CniArgs['pod'] {
	if (namespace === '' && name === '') return undefined;
	if (!DNS_LABEL.test(namespace)) throw badVariable('CNI_ARGS', `K8S_POD_NAMESPACE=${namespace}`, 'the name of a Kubernetes namespace');
	if (!DNS_SUBDOMAIN.test(name)) throw badVariable('CNI_ARGS', `K8S_POD_NAME=${name}`, 'the name of a Kubernetes pod');
	return { namespace, name };
}

function parseRequestedIp(text: string | undefined): Ip | undefined {
	if (text === undefined || text === '') return undefined;
	const address = parseIp(text);
	if (address === undefined) throw badVariable('CNI_ARGS', `IP=${text}`, 'an IP address');
	return address;
}

function badVariable(name: string, found: string, allowed: string): Error {
	return cniError('CNI_BAD_ENVIRONMENT', {
		message: found === '' ? `${name} is not set` : `${name} is invalid: ${JSON.stringify(found.slice(0, 200))}`,
		path: name,
		found,
		allowed,
	});
}
