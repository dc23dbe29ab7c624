import { parseArgs } from 'node:util';
import { explainError } from '#errors';
import { createLogger } from '../logging.ts';
import { type Environment, nodeSettings } from '../settings.ts';
import { ApiServer } from '../supervisor/api-server.ts';
import { NodeSupervisor } from '../supervisor/node-supervisor.ts';
import { ProbeServer } from '../supervisor/probe-server.ts';
import { PROBES, probe, probeAddress } from './probe.ts';
import { pathsFrom, stopSignal, storedNodeName } from './process.ts';

const USAGE = `usage: tortie node [PROBE]...

Runs a node: registers it in the datastore, then supervises felix, the CNI server, the BGP daemon and confd.
Settings come from the environment, with the names that calico-node has: NODENAME, ETCD_ENDPOINTS, IP, IP6, AS,
CALICO_NETWORKING_BACKEND (bird for BIRD 2, none for no BGP, anything else for the built-in daemon), FELIX_… and so on.
CALICO_HOST_ROOT is a directory that stands for / in the paths of sockets and files.

With probes it asks the running node instead, and exits 0 if all are passed:
  --felix-live, --felix-ready, --bird-live, --bird-ready
`;

/** `tortie node`. Returns the exit status when the node has ended. */
export async function nodeCommand(args: readonly string[], env: Environment, version: string): Promise<number> {
	// calico-node has its flags with one dash.
	const normal = args.map((arg) => (/^-[a-z]{2}/.test(arg) ? `-${arg}` : arg));
	const flags = Object.fromEntries(PROBES.map((name) => [name, { type: 'boolean' as const }]));
	const { values } = parseArgs({ args: normal, options: { ...flags, help: { type: 'boolean', short: 'h' } } });
	if (values.help === true) {
		process.stdout.write(USAGE);
		return 0;
	}
	const probes = PROBES.filter((name) => (values as Readonly<Record<string, unknown>>)[name] === true);
	return probes.length > 0 ? probe(probes, env) : run(env, version);
}

async function run(env: Environment, version: string): Promise<number> {
	const logger = createLogger('node', env['CALICO_STARTUP_LOGLEVEL']);
	const signal = stopSignal();
	try {
		const paths = pathsFrom(env);
		const settings = nodeSettings(env, storedNodeName(paths));
		const supervisor = new NodeSupervisor(logger, { settings, paths, version });
		await using _api = await ApiServer.listen(paths.nodeSocket, supervisor.api());
		const address = probeAddress(env);
		await using _probes = address === undefined ? undefined : await ProbeServer.listen(address, () => supervisor.health(), logger);
		await supervisor.run(signal);
		return 0;
	} catch (error) {
		if (signal.aborted) return 0;
		logger.fatal({ reason: explainError(error) }, 'the node cannot run');
		return 1;
	}
}
