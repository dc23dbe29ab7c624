import { hostname } from 'node:os';
import { nodeError } from './errors.ts';

/** The environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Which BGP daemon the node runs. */
export type NetworkingBackend = 'tortie' | 'bird' | 'none';

/** What every part of the node has to know, from its environment, with Calico's names and readings. */
export interface NodeSettings {
	readonly nodeName: string;
	readonly backend: NetworkingBackend;
	readonly runFelix: boolean;
	/** `CALICO_ROUTER_ID`. */
	readonly routerId: string | undefined;
	/** `CALICO_STARTUP_LOGLEVEL`: of everything but Felix, which has its own. */
	readonly logLevel: string | undefined;
}

/**
 * Reads the node's settings.
 *
 * @throws NODE_BAD_SETTING naming the variable
 */
export function nodeSettings(env: Environment, storedNodeName: string | undefined): NodeSettings {
	return {
		nodeName: nodeName(env, storedNodeName),
		backend: networkingBackend(env),
		runFelix: !env['CALICO_DISABLE_FELIX'],
		routerId: env['CALICO_ROUTER_ID'] || undefined,
		logLevel: env['CALICO_STARTUP_LOGLEVEL'] || undefined,
	};
}

/** The name of this node: `NODENAME`, then what was stored at an earlier start, then `HOSTNAME`, then the host's name. */
export function nodeName(env: Environment, stored: string | undefined): string {
	const name = env['NODENAME'] || stored || (env['HOSTNAME'] || hostname()).trim().toLowerCase();
	if (/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name) && name.length <= 253) return name;
	throw badSetting('NODENAME', name, 'lower-case letters, digits, - and ., at most 253 characters');
}

function networkingBackend(env: Environment): NetworkingBackend {
	if (env['CALICO_NETWORKING']?.toLowerCase() === 'false') return 'none';
	switch (env['CALICO_NETWORKING_BACKEND'] ?? '') {
		case 'none':
		case 'vxlan':
			return 'none';
		case 'bird':
			return 'bird';
	}
	return 'tortie';
}

/** An environment variable that cannot be understood. */
export function badSetting(variable: string, found: string, allowed: string, cause?: unknown): Error {
	return nodeError('NODE_BAD_SETTING', { message: `${variable} is ${JSON.stringify(found)}`, path: variable, found, allowed, cause });
}
