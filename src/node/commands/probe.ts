import { get } from 'node:http';
import { explainError } from '#errors';
import { askNode } from '#node-api';
import type { Environment } from '../settings.ts';
import type { ProbeOptions } from '../supervisor/probe-server.ts';
import { pathsFrom } from './process.ts';

/** What can be asked of a running node, by the names of calico-node's flags. */
export const PROBES = ['felix-live', 'felix-ready', 'bird-live', 'bird-ready', 'bird6-live', 'bird6-ready'] as const;

export type Probe = (typeof PROBES)[number];

const LIMIT_MS = 5000;
const DEFAULT_HOST = 'localhost';
const DEFAULT_PORT = 9099;

/** Where the HTTP probes are: `FELIX_HEALTHHOST`, `FELIX_HEALTHPORT`; nowhere if `FELIX_HEALTHENABLED` is no. */
export function probeAddress(env: Environment): ProbeOptions | undefined {
	if (['false', '0', 'no', 'n', 'f'].includes((env['FELIX_HEALTHENABLED'] ?? '').toLowerCase())) return undefined;
	const port = Number(env['FELIX_HEALTHPORT'] || DEFAULT_PORT);
	return { host: env['FELIX_HEALTHHOST'] || DEFAULT_HOST, port: Number.isInteger(port) && port > 0 && port < 65_536 ? port : DEFAULT_PORT };
}

/** Asks the node that runs here; prints what fails. Returns the exit status. */
export async function probe(probes: readonly Probe[], env: Environment): Promise<number> {
	const results = await Promise.all(probes.map(async (name) => ({ name, reason: await failure(name, env) })));
	const failed = results.filter(({ reason }) => reason !== undefined);
	for (const { name, reason } of failed) process.stderr.write(`${name}: ${reason}\n`);
	return failed.length === 0 ? 0 : 1;
}

/** Why the probe is not passed; undefined if it is. */
async function failure(name: Probe, env: Environment): Promise<string | undefined> {
	try {
		switch (name) {
			case 'felix-live':
				return await askHttp('/liveness', env);
			case 'felix-ready':
				return await askHttp('/readiness', env);
			case 'bird-live':
			case 'bird6-live':
				return await askRouter('live', env);
			case 'bird-ready':
			case 'bird6-ready':
				return await askRouter('ready', env);
		}
		return name satisfies never;
	} catch (error) {
		return explainError(error);
	}
}

async function askRouter(what: 'live' | 'ready', env: Environment): Promise<string | undefined> {
	const { components } = await askNode(pathsFrom(env).nodeSocket, 'GET /v1/status', undefined, AbortSignal.timeout(LIMIT_MS));
	const down = components.find(
		(component) => ['bgpd', 'bird', 'confd'].includes(component.name) && !(component.running && component[what]),
	);
	return down === undefined ? undefined : `${down.name}: ${down.reason}`;
}

function askHttp(path: string, env: Environment): Promise<string | undefined> {
	const address = probeAddress(env);
	if (address === undefined) return Promise.resolve('probes are turned off by FELIX_HEALTHENABLED');
	return new Promise((resolve, reject) => {
		get({ ...address, path, timeout: LIMIT_MS, signal: AbortSignal.timeout(LIMIT_MS) }, (response) => {
			let text = '';
			response.setEncoding('utf8');
			response.on('data', (chunk: string) => {
				text += chunk;
			});
			response.on('error', reject);
			response.on('end', () => resolve(response.statusCode === 200 ? undefined : text.trim()));
		}).on('error', reject);
	});
}
