import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { Command, CommanderError } from 'commander';
import type { CommandIo } from '#calicoctl';
import { explainError } from '#errors';
import { inNamespace } from '#kernel';
import { applyFile } from './apply.ts';
import { labError } from './errors.ts';
import { Lab } from './lab.ts';
import { parseLabName, parseLabOptions, type RawLabOptions } from './options.ts';
import { DEFAULT_LAB_NAME, type LabOptions } from './plan.ts';
import { runPodServer } from './pod-server.ts';
import { Progress } from './progress.ts';
import { describeStatus } from './status.ts';
import { takeDown } from './take-down.ts';
import { takeTour } from './tour.ts';

interface UpFlags extends RawLabOptions {
	readonly check?: boolean;
}

/** What a user can do with a lab that is up. */
function thingsToTry(name: string): string {
	const which = name === DEFAULT_LAB_NAME ? '' : ` --name ${name}`;
	const commands = [
		['status', '', 'nodes, BGP sessions, pods'],
		['exec', ' web-1 -- ip addr', 'a command inside a pod'],
		['exec', ' node1 -- ip route', 'a command on a node'],
		['exec', ' node1 -- calicoctl node status', '… with calicoctl for its cluster'],
		['exec', ' node1 -- calicoctl get networkpolicy -n shop -o yaml', ''],
		['exec', ' node1 -- nft list ruleset', ''],
		['apply', ' -f FILE', 'Calico resources, and Kubernetes NetworkPolicy'],
		['down', '', 'take it all away'],
	] as const;
	const lines = commands.map(([command, rest, what]) =>
		`  ${`npm run lab -- ${command}${which}${rest}`.padEnd(57 + which.length)} ${what}`.trimEnd(),
	);
	return `Things to try:\n\n${lines.join('\n')}\n`;
}

/**
 * The lab's command line.
 *
 * @param args the words after `lab`
 * @returns the exit status: 0 if all went well, else 1; that of the command with `exec`
 */
export async function main(args: readonly string[], io: CommandIo): Promise<number> {
	let status = 0;
	const progress = new Progress((line) => io.writeOut(`${line}\n`));
	const program = new Command('lab')
		.description('A cluster of network namespaces on this machine: etcd, nodes, pods made by CNI, routes by BGP, policy.')
		.exitOverride()
		.configureOutput({ writeOut: io.writeOut, writeErr: io.writeError })
		.showHelpAfterError('(try --help)')
		.enablePositionalOptions();
	const name = ['--name <name>', `which lab, where there are several (default: ${DEFAULT_LAB_NAME})`] as const;

	program
		.command('up', { isDefault: true })
		.description('Start a lab, show what it does, and leave it up.')
		.option('--nodes <count>', 'nodes (default: 3)')
		.option('--pods <count>', 'pods on each node (default: 3)')
		.option('--fabric <kind>', 'flat: one segment; routed: two racks with a BIRD router each (default: flat)')
		.option('--ip <families>', '4, 6 or dual (default: 4)')
		.option('--backend <daemon>', "tortie or bird: who carries the nodes' routes (default: tortie)")
		.option('--check', 'verify everything, take it all down, and exit with 0 or 1')
		.option(...name)
		.action(async (flags: UpFlags) => {
			const check = flags.check === true;
			// a check runs beside a lab that somebody uses
			const options = parseLabOptions(check && flags.name === undefined ? { ...flags, name: `check-${process.pid}` } : flags);
			requireRoot();
			status = await withStopSignal((signal) => up(options, check, io, progress, signal));
		});

	program
		.command('status')
		.description('Show the nodes, their BGP sessions and the pods.')
		.option(...name)
		.action(async (flags: { readonly name?: string }) => {
			requireRoot();
			await using lab = await Lab.attach(parseLabName(flags.name), { progress });
			io.writeOut(await describeStatus(lab));
		});

	program
		.command('exec <member> [command...]')
		.description('Run a command on a node, on a router or in a pod: exec MEMBER -- COMMAND.')
		.option(...name)
		.passThroughOptions()
		.action(async (member: string, command: readonly string[], flags: { readonly name?: string }) => {
			requireRoot();
			const words = command[0] === '--' ? command.slice(1) : command;
			await using lab = await Lab.attach(parseLabName(flags.name), { progress });
			status = await execute(lab, member, words);
		});

	program
		.command('apply')
		.description('Apply a file of Calico resources and Kubernetes NetworkPolicies.')
		.requiredOption('-f, --filename <file>', 'a file, or - for standard input')
		.option(...name)
		.action(async (flags: { readonly name?: string; readonly filename: string }) => {
			requireRoot();
			await using lab = await Lab.attach(parseLabName(flags.name), { progress });
			status = await applyFile(lab, flags.filename, io);
		});

	program
		.command('down')
		.description('Take the lab down, whatever is left of it.')
		.option(...name)
		.action(async (flags: { readonly name?: string }) => {
			requireRoot();
			const labName = parseLabName(flags.name);
			const found = await progress.step(`lab "${labName}"`, () => takeDown(labName));
			io.writeOut(found ? 'All of it is gone.\n' : 'There was none.\n');
		});

	program.command('serve-pods <socket>', { hidden: true }).action(async (socket: string) => {
		status = await withStopSignal(async (signal) => {
			await runPodServer(socket, signal);
			return 0;
		});
	});

	try {
		await program.parseAsync([...args], { from: 'user' });
	} catch (error) {
		if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
		io.writeError(`lab: ${explainError(error)}\n`);
		return 1;
	}
	return status;
}

async function up(options: LabOptions, check: boolean, io: CommandIo, progress: Progress, signal: AbortSignal): Promise<number> {
	const started = performance.now();
	const lab = await Lab.start(options, { progress, signal });
	let failure: unknown;
	try {
		await Promise.race([takeTour(lab, io.writeOut, progress), aborted(signal)]);
	} catch (error) {
		failure = error;
	}
	if (check || signal.aborted) await progress.step('everything taken down', () => lab.down());
	else await lab[Symbol.asyncDispose]();
	const seconds = ((performance.now() - started) / 1000).toFixed(1);
	if (failure !== undefined) {
		io.writeError(`lab: ${explainError(failure)}\n`);
		if (!check && !signal.aborted) io.writeError('The lab is left up, for you to look at it; "npm run lab -- down" takes it down.\n');
		return 1;
	}
	io.writeOut(check ? `\nAll as it should be, in ${seconds} s.\n` : `\n${thingsToTry(options.name)}`);
	return 0;
}

/** Runs a command in a member's network namespace with the terminal. @returns its exit status */
function execute(lab: Lab, member: string, [command, ...args]: readonly string[]): Promise<number> {
	if (command === undefined)
		throw labError('LAB_BAD_OPTION', { message: 'no command was given', path: 'exec', allowed: 'exec MEMBER -- COMMAND' });
	const env = { ...process.env, ...lab.environment(member) };
	const child = inNamespace(lab.namespaceFd(lab.netnsOf(member)), () => spawn(command, args, { stdio: 'inherit', env }));
	const { promise, resolve, reject } = Promise.withResolvers<number>();
	child.on('error', (cause) => reject(labError('LAB_PROCESS_FAILED', { message: `${command} cannot be run`, cause })));
	// as shells have it: 128 and the number of the signal
	child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
	return promise;
}

function requireRoot(): void {
	if (process.getuid?.() === 0) return;
	throw labError('LAB_NOT_ROOT', { message: 'the lab makes network namespaces, which only root may', hint: 'try "sudo npm run lab"' });
}

async function withStopSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
	const stop = new AbortController();
	const onSignal = (): void => stop.abort(labError('LAB_PROCESS_FAILED', { message: 'stopped by a signal' }));
	process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
	try {
		return await work(stop.signal);
	} finally {
		process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
	}
}

function aborted(signal: AbortSignal): Promise<never> {
	const { promise, reject } = Promise.withResolvers<never>();
	const fail = (): void => reject(signal.reason as Error);
	if (signal.aborted) fail();
	else signal.addEventListener('abort', fail, { once: true });
	return promise;
}
