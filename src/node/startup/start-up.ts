import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { type Client, type Clock, datastoreError } from '#datastore';
import { explainError } from '#errors';
import type { HostPaths } from '../host-paths.ts';
import { writeDefaults } from './default-configuration.ts';
import { createDefaultPools } from './default-pools.ts';
import { hostInterfaces, sourceTo } from './host-interfaces.ts';
import { writeNode } from './node-resource.ts';
import type { StartUpSettings } from './start-up-settings.ts';

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5000;

export interface StartUpModules {
	readonly client: Client;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	/** Told what start-up waits for, in words. */
	readonly onWait: (reason: string) => void;
}

export interface StartUpOptions {
	readonly settings: StartUpSettings;
	readonly paths: HostPaths;
	/** Written into ClusterInformation. */
	readonly version: string;
}

/**
 * What has to be in the datastore before the node's components start. Waits for a datastore that does not answer, however long; the
 * node's name is written last, since it tells others on this host that the node is there.
 *
 * @throws NODE_NO_ADDRESS, NODE_ADDRESS_CONFLICT, NODE_NO_POOL_RANGE, and datastore errors that waiting does not mend
 */
export async function startUp(modules: StartUpModules, { settings, paths, version }: StartUpOptions, signal: AbortSignal): Promise<void> {
	const { clock, logger, random, onWait } = modules;
	for (let failures = 0; ; failures++) {
		try {
			await writeObjects(modules, settings, version, signal);
			break;
		} catch (error) {
			if (signal.aborted || !datastoreError.is(error, 'DATASTORE_UNAVAILABLE')) throw error;
			const reason = explainError(error);
			if (failures === 0) logger.warn({ reason }, 'the datastore does not answer; the node waits for it');
			onWait(`waiting for the datastore: ${reason}`);
			await clock.sleep(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) * (0.5 + random() / 2), signal);
			signal.throwIfAborted();
		}
	}
	await writeNodeName(paths.nodeNameFile, settings.nodeName);
}

async function writeObjects(
	{ client, logger }: StartUpModules,
	settings: StartUpSettings,
	version: string,
	signal: AbortSignal,
): Promise<void> {
	const host = { interfaces: hostInterfaces, sourceTo, randomBytes, logger };
	await client.backend.ping({ signal });
	await client.ensureInitialized({ version, clusterType: settings.clusterType }, { signal });
	const node = await writeNode(client, settings, host, signal);
	logger.info({ node: settings.nodeName, bgp: node.spec.bgp ?? {} }, 'node registered');
	const pools = existsSync('/proc/sys/net/ipv6') ? settings.pools : { ...settings.pools, 6: undefined };
	await createDefaultPools(client, pools, host, signal);
	await writeDefaults(client, settings.nodeName, signal);
}

async function writeNodeName(file: string, nodeName: string): Promise<void> {
	await mkdir(dirname(file), { recursive: true });
	await writeFile(`${file}.new`, nodeName, { mode: 0o644 });
	await rename(`${file}.new`, file);
}
