import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { RouterConfig } from '#bgp';
import { BirdSink, Confd, secretFiles } from '#confd';
import { datastoreConfigFromEnv, openDatastore, systemClock } from '#datastore';
import { explainError } from '#errors';
import { FelixComponent } from '../agent/felix-component.ts';
import { nodeError } from '../errors.ts';
import { createLogger } from '../logging.ts';
import { type Environment, nodeName } from '../settings.ts';
import { bgpdService } from '../threads/bgpd-service.ts';
import { pathsFrom, preparedPaths, stopSignal, storedNodeName } from './process.ts';

const FELIX_USAGE = `usage: tortie felix

Runs the policy agent and the CNI server without the rest of the node, for the node in NODENAME.
It ends when its settings change, to be started again.
`;

/** `tortie felix`. */
export async function felixCommand(args: readonly string[], env: Environment): Promise<number> {
	if (wantsHelp(args, FELIX_USAGE)) return 0;
	const signal = stopSignal();
	const paths = preparedPaths(env);
	const name = env['FELIX_FELIXHOSTNAME'] || nodeName(env, storedNodeName(paths));
	await using client = openDatastore(datastoreConfigFromEnv(env));
	const component = new FelixComponent(client, { nodeName: name, cniSocket: paths.cniSocket, mtuFile: paths.mtuFile });
	await using felix = await component.start();
	const stopped = new Promise<string>((resolve) => signal.addEventListener('abort', () => resolve('stopped'), { once: true }));
	const reason = await Promise.race([felix.ended, stopped]);
	if (signal.aborted) return 0;
	process.stderr.write(`felix ended: ${reason}\n`);
	// Calico's supervisors know this status as "start me again".
	return 129;
}

const CONFD_USAGE = `usage: tortie confd

Keeps the configuration file of BIRD 2 as the datastore says and has BIRD load it, for the node in NODENAME.
`;

/** `tortie confd`: for a BIRD that is started by others. */
export async function confdCommand(args: readonly string[], env: Environment): Promise<number> {
	if (wantsHelp(args, CONFD_USAGE)) return 0;
	const signal = stopSignal();
	const paths = pathsFrom(env);
	await using client = openDatastore(datastoreConfigFromEnv(env));
	const confd = new Confd(
		{
			backend: client.backend,
			sink: new BirdSink({ program: 'bird', configFile: paths.birdConfigFile, controlSocket: paths.birdSocket }),
			secret: secretFiles(paths.secretsDirectory),
			logger: createLogger('confd', env['CALICO_STARTUP_LOGLEVEL']),
			clock: systemClock,
			random: Math.random,
		},
		{ nodeName: nodeName(env, storedNodeName(paths)), routerId: env['CALICO_ROUTER_ID'] || undefined },
	);
	await confd.run(signal);
	return 0;
}

const BGPD_USAGE = `usage: tortie bgpd --config FILE

Runs the BGP daemon with the router model in FILE (JSON), which is read again on SIGHUP.
`;

/** `tortie bgpd`. */
export async function bgpdCommand(args: readonly string[], env: Environment): Promise<number> {
	if (wantsHelp(args, BGPD_USAGE)) return 0;
	const { values } = parseArgs({ args: [...args], options: { config: { type: 'string', short: 'c' } } });
	const file = values.config;
	if (file === undefined) {
		process.stderr.write(BGPD_USAGE);
		return 1;
	}
	const signal = stopSignal();
	const paths = preparedPaths(env);
	const service = bgpdService({
		controlSockets: [
			{ path: paths.birdSocket, family: 4 },
			{ path: paths.bird6Socket, family: 6 },
		],
		logLevel: env['CALICO_STARTUP_LOGLEVEL'],
	});
	const apply = service.methods['apply'] as (config: RouterConfig) => void;
	apply(await readRouterConfig(file));
	process.on('SIGHUP', () => {
		readRouterConfig(file)
			.then(apply)
			.catch((error: unknown) => process.stderr.write(`the configuration stays as it is: ${explainError(error)}\n`));
	});
	await service.run(signal);
	return 0;
}

async function readRouterConfig(file: string): Promise<RouterConfig> {
	try {
		return JSON.parse(await readFile(file, 'utf8')) as RouterConfig;
	} catch (error) {
		throw nodeError('NODE_BAD_SETTING', {
			message: 'the router model cannot be read',
			path: file,
			allowed: 'a RouterConfig in JSON',
			cause: error,
		});
	}
}

function wantsHelp(args: readonly string[], usage: string): boolean {
	if (!args.includes('--help') && !args.includes('-h')) return false;
	process.stdout.write(usage);
	return true;
}
