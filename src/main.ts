/** The executable `tortie`: one subcommand per component, each loaded only when it is asked for. */
import { explainError } from '#errors';
import manifest from '../package.json' with { type: 'json' };

/** The first two numbers are those of the Calico release whose data and behaviour this is; other components compare them with their own. */
const VERSION = manifest.version;

const USAGE = `usage: tortie COMMAND [ARGUMENT]...

  node    calico-node: start-up, then felix, bgpd and confd under supervision, and the CNI server
  felix   the policy agent alone
  bgpd    the BGP daemon alone, with its configuration from a file
  confd   the configuration manager alone, for BIRD
  ctl     calicoctl: the operator's command line
  lab     a cluster of network namespaces on this machine

tortie COMMAND --help tells more of each; tortie --version shows the version.
`;

async function main(argv: readonly string[]): Promise<number> {
	const [command, ...rest] = argv;
	switch (command) {
		case 'node':
			return (await import('#node')).nodeCommand(rest, process.env, `v${VERSION}`);
		case 'felix':
		case 'bgpd':
		case 'confd':
			return (await import('#node')).componentCommand(command, rest, process.env);
		case 'ctl':
			return (await import('#calicoctl')).main(rest, terminal(), VERSION);
		case 'lab':
			return (await import('#lab')).main(rest, terminal());
		case '--version':
		case '-v':
			process.stdout.write(`tortie v${VERSION}\n`);
			return 0;
		case '--help':
		case '-h':
			process.stdout.write(USAGE);
			return 0;
		case undefined:
			break;
		default:
			process.stderr.write(`tortie: there is no command ${JSON.stringify(command)}\n`);
	}
	process.stderr.write(USAGE);
	return 1;
}

function terminal() {
	return {
		env: process.env,
		writeOut: (text: string): void => void process.stdout.write(text),
		writeError: (text: string): void => void process.stderr.write(text),
		readStandardInput: async (): Promise<string> => {
			const chunks: Buffer[] = [];
			for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
			return Buffer.concat(chunks).toString('utf8');
		},
	};
}

try {
	process.exitCode = await main(process.argv.slice(2));
} catch (error) {
	process.stderr.write(`tortie: ${explainError(error)}\n`);
	process.exitCode = 1;
}
