import { Command, CommanderError, Option } from 'commander';
import { explainError, TortieError } from '#errors';
import { KIND_NAMES, kindOf } from '#resources';
import { addressesOf, connect, DEFAULT_CONFIG_FILE } from './connect.ts';
import { ctlError } from './errors.ts';
import { getResources, type Wanted } from './get.ts';
import { readResources } from './input.ts';
import type { CommandIo } from './io.ts';
import { ipamShow } from './ipam-show.ts';
import { kindOfWord } from './kinds.ts';
import { nodeStatus } from './node-status.ts';
import { OUTPUT_FORMATS, type OutputFormat } from './output.ts';
import { versionText } from './version.ts';
import { deleteResources, writeResources } from './write.ts';

const DEFAULT_NAMESPACE = 'default';
const CONFIG_OPTION = ['-c, --config <file>', `the datastore's configuration (default: ${DEFAULT_CONFIG_FILE} if it is there)`] as const;

interface FileOptions {
	readonly filename?: string;
	readonly recursive: boolean;
	readonly config?: string;
	readonly namespace: string;
	readonly skipEmpty: boolean;
}

interface GetFlags {
	readonly allNamespaces: boolean;
	readonly output: OutputFormat | 'yml';
	readonly export: boolean;
}

interface IpamShowFlags {
	readonly ip?: string;
	readonly showBlocks: boolean;
	readonly showBorrowed: boolean;
	readonly showConfiguration: boolean;
	readonly config?: string;
}

/**
 * Runs one command.
 *
 * @param args the words after the program's name
 * @param version of this program
 * @returns the exit status: 0 if everything was done, else 1
 */
export async function main(args: readonly string[], io: CommandIo, version: string): Promise<number> {
	let status = 0;
	const program = new Command('calicoctl');
	program
		.description('Manages the network and the policy of a cluster.')
		.exitOverride()
		.configureOutput({ writeOut: io.writeOut, writeErr: io.writeError })
		.addHelpText(
			'after',
			`\nKinds: ${KIND_NAMES.map((name) => kindOf(name).plural).join(', ')}\n\nThe datastore is taken from ${DEFAULT_CONFIG_FILE} if that file is there, else from the environment (ETCD_ENDPOINTS …).`,
		)
		.showHelpAfterError('(try --help)');
	const fail = (text: string): void => {
		io.writeError(text);
		status = 1;
	};

	const report = ({ text, failed }: { readonly text: string; readonly failed: boolean }): void => (failed ? fail(text) : io.writeOut(text));

	const addWrite = (verb: 'create' | 'apply' | 'replace', description: string): Command =>
		withFileOptions(program.command(verb).description(description), true).action(
			async (options: FileOptions & { readonly filename: string; readonly skipExists?: boolean }) => {
				const inputs = await readResources({ ...options, allowEmpty: options.skipEmpty }, io);
				await using client = connect(options.config, io);
				report(await writeResources(verb, inputs, client.resources, { skipExisting: options.skipExists ?? false }));
			},
		);
	addWrite('create', 'Create resources; those that are there already are a failure.').option(
		'--skip-exists',
		'pass over resources that are there already',
	);
	addWrite('apply', 'Create resources, or replace those that are there.');
	addWrite('replace', 'Replace resources that are there.');

	withFileOptions(program.command('delete [kind] [names...]').description('Delete resources named by kind and name, or by a file.'), false)
		.option('-s, --skip-not-exists', 'pass over resources that are not there', false)
		.action(async (word: string | undefined, names: readonly string[], options: FileOptions & { readonly skipNotExists: boolean }) => {
			const targets = await deleteTargets(word, names, options, io);
			await using client = connect(options.config, io);
			report(await deleteResources(targets, client.resources, { skipMissing: options.skipNotExists }));
		});

	withFileOptions(program.command('get [kind] [names...]').description('Show resources.'), false)
		.addOption(new Option('-o, --output <format>', 'output format').choices([...OUTPUT_FORMATS, 'yml']).default('ps'))
		.option('-A, --all-namespaces', 'resources of every namespace', false)
		.option('--export', 'leave out what belongs to this cluster alone; with names only', false)
		.action(async (word: string | undefined, names: readonly string[], options: FileOptions & GetFlags) => {
			const wanted = await wantedResources(word, names, options, io);
			await using client = connect(options.config, io);
			const format = options.output === 'yml' ? 'yaml' : options.output;
			const { text, invalid } = await getResources(wanted, client.resources, { ...options, format });
			io.writeOut(text);
			if (invalid !== '') fail(invalid);
		});

	const node = program.command('node').description('Look at the node on this machine.');
	node
		.command('status')
		.description('Show the BGP peers of the node on this machine.')
		.addOption(new Option('-o, --output <format>', 'output format').choices(['ps', 'json', 'yaml']).default('ps'))
		.action(async ({ output }: { readonly output: 'ps' | 'json' | 'yaml' }) => io.writeOut(await nodeStatus(output, io.env)));

	const ipam = program.command('ipam').description('Look at the addresses of the cluster.');
	ipam
		.command('show')
		.description('Show how full the pools are, or who has an address.')
		.option('--ip <address>', 'who has this address')
		.option('--show-blocks', 'each block of each pool as well', false)
		.option('--show-borrowed', 'addresses that a node has from the block of another', false)
		.option('--show-configuration', 'the configuration of address management', false)
		.option(...CONFIG_OPTION)
		.action(async (options: IpamShowFlags) => {
			await using client = connect(options.config, io);
			io.writeOut(await ipamShow(addressesOf(client), options));
		});

	program
		.command('version')
		.description('Show the versions of this program and of the cluster.')
		.option('--client', 'this program alone', false)
		.option(...CONFIG_OPTION)
		.action(async (options: { readonly client: boolean; readonly config?: string }) => {
			if (options.client) return io.writeOut(await versionText(version, undefined));
			await using client = connect(options.config, io);
			return io.writeOut(await versionText(version, client.resources));
		});

	try {
		await program.parseAsync(args, { from: 'user' });
	} catch (error) {
		if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
		fail(`${error instanceof TortieError ? explainError(error) : String(error)}\n`);
	}
	return status;
}

function withFileOptions(command: Command, fileIsRequired: boolean): Command {
	const file = ['-f, --filename <file>', 'a file, a directory, or - for standard input'] as const;
	if (fileIsRequired) command.requiredOption(...file);
	else command.option(...file);
	return command
		.option('-R, --recursive', 'go into the subdirectories of a directory', false)
		.option(...CONFIG_OPTION)
		.option('-n, --namespace <namespace>', 'namespace of namespaced resources that name none', DEFAULT_NAMESPACE)
		.option('--skip-empty', 'files without resources are no failure', false);
}

async function deleteTargets(
	word: string | undefined,
	names: readonly string[],
	options: FileOptions,
	io: CommandIo,
): Promise<Parameters<typeof deleteResources>[0]> {
	if (word === undefined) {
		const inputs = await resourcesOfFile(options, io);
		return inputs.map(({ resource, ...target }) => ({ ...target, revision: resource.metadata.resourceVersion }));
	}
	if (names.length === 0) throw ctlError('CTL_USAGE', { message: 'no name was given', hint: 'name the resources to delete' });
	const kind = kindOfWord(word);
	const namespace = kindOf(kind).namespaced ? options.namespace : undefined;
	return names.map((name) => ({ kind, name, namespace, place: '', revision: undefined }));
}

async function wantedResources(
	word: string | undefined,
	names: readonly string[],
	options: FileOptions,
	io: CommandIo,
): Promise<readonly Wanted[]> {
	if (word !== undefined) return [{ kind: kindOfWord(word), names }];
	const inputs = await resourcesOfFile(options, io);
	return inputs.map(({ kind, name, namespace }) => ({ kind, names: [name], namespace }));
}

function resourcesOfFile(options: FileOptions, io: CommandIo): ReturnType<typeof readResources> {
	const { filename, skipEmpty } = options;
	if (filename === undefined)
		throw ctlError('CTL_USAGE', { message: 'neither a kind nor a file was given', hint: 'name a kind, or a file with -f' });
	return readResources({ ...options, filename, allowEmpty: skipEmpty }, io);
}
