import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { type Client, datastoreConfigFromEnv, datastoreConfigFromFile, openDatastore, systemClock } from '#datastore';
import { Ipam } from '#ipam';
import { ctlError } from './errors.ts';
import type { CommandIo } from './io.ts';

export const DEFAULT_CONFIG_FILE = '/etc/calico/calicoctl.cfg';

/**
 * Opens the datastore that the configuration file names, or the environment where there is no file at the default place.
 *
 * @param configFile as the user gave it; undefined means the default place
 * @throws CTL_NO_FILE for a named file that is missing, CTL_BAD_YAML, DATASTORE_BAD_CONFIG
 */
export function connect(configFile: string | undefined, io: CommandIo): Client {
	const file = configFile ?? DEFAULT_CONFIG_FILE;
	let text: string | undefined;
	try {
		text = readFileSync(file, 'utf8');
	} catch (cause) {
		if (configFile !== undefined || (cause as NodeJS.ErrnoException).code !== 'ENOENT')
			throw ctlError('CTL_NO_FILE', { message: 'the configuration file can not be read', path: file, cause });
	}
	const config = text === undefined ? datastoreConfigFromEnv(io.env) : datastoreConfigFromFile(parseYaml(text, file));
	return openDatastore(config, { addresses: addressesOf });
}

/** Address management over an open datastore. */
export function addressesOf(client: Client): Ipam {
	return new Ipam({ client, clock: systemClock, random: Math.random });
}

function parseYaml(text: string, file: string): unknown {
	try {
		return parse(text);
	} catch (cause) {
		throw ctlError('CTL_BAD_YAML', { message: 'the configuration file is no YAML', path: file, cause });
	}
}
