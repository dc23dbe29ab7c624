import { closeSync, fstatSync } from 'node:fs';
import { explainError } from '#errors';
import { currentNamespace, NetworkNamespace, type UnixConnection, type UnixMessage, UnixServer } from '#kernel';
import { addContainer } from './add.ts';
import { checkContainer } from './check.ts';
import { collectGarbage } from './collect.ts';
import { type NetworkConfig, parseNetworkConfig, peekCniVersion } from './config.ts';
import type { HostNetwork } from './container-interface.ts';
import { deleteContainer } from './delete.ts';
import { tryEndpointIdentity } from './endpoint.ts';
import { parseAttachment, parseCommand } from './environment.ts';
import { cniError, cniErrorResult } from './errors.ts';
import { addAddresses, checkAddresses, collectAddresses, deleteAddresses } from './ipam-plugin.ts';
import type { CniModules, CniSettings, ContainerCall } from './modules.ts';
import { decodeRequest, encodeReply, MAX_REQUEST_BYTES, type PluginRequest } from './protocol.ts';
import { EXCLUSIVE, RequestQueue } from './request-queue.ts';
import { type CniResult, formatResult } from './result.ts';
import { checkStatus } from './status.ts';
import { DEFAULT_CNI_VERSION, requireCommand } from './version.ts';

export type CniServerModules = Omit<CniModules, 'ipamTurns'>;

export interface CniServerOptions extends CniSettings {
	/** `/var/run/calico/cni.sock`, or what stands for it under another root. */
	readonly socketPath: string;
}

/** A call is answered within this, if need be with an error: a little less than the plugin waits (`native/cni.c`). */
const CALL_LIMIT_MS = 85_000;
/** Pods of a node that starts come all at once; each of them is mostly waiting for the datastore. */
const MAX_RUNNING = 16;
const MAX_WAITING = 512;
const MAX_CONNECTIONS = MAX_RUNNING + MAX_WAITING;
/** A client sends its request as soon as it has connected. */
const IDLE_LIMIT_MS = 5000;

type Outcome = CniResult | undefined;

const NO_NAMESPACE = { fd: undefined, [Symbol.dispose]: (): void => undefined };

/** Serves the CNI plugin's calls on a UNIX socket that only root can use. */
export class CniServer implements AsyncDisposable {
	readonly #modules: CniModules;
	readonly #options: CniServerOptions;
	readonly #queue = new RequestQueue({ maxRunning: MAX_RUNNING, maxWaiting: MAX_WAITING });
	readonly #stop = new AbortController();
	readonly #calls = new Set<Promise<void>>();
	readonly #socket: UnixServer;

	/** @throws KERNEL_SYSTEM_CALL; EADDRINUSE when another agent serves the path */
	constructor(modules: CniServerModules, options: CniServerOptions) {
		this.#modules = { ...modules, ipamTurns: new RequestQueue({ maxRunning: 1, maxWaiting: MAX_WAITING }) };
		this.#options = options;
		this.#socket = new UnixServer({
			path: options.socketPath,
			mode: 0o600,
			maxMessageBytes: MAX_REQUEST_BYTES,
			maxFds: 1,
			maxConnections: MAX_CONNECTIONS,
			idleTimeoutMs: IDLE_LIMIT_MS,
			onMessage: (message, connection) => this.#accept(message, connection),
			onError: (error) => modules.logger.warn({ error: explainError(error) }, 'the CNI socket'),
		});
	}

	/** Calls being served or waiting for their turn. */
	get pending(): number {
		return this.#queue.length;
	}

	/** Turns new calls away and waits until those under way have undone or finished what they do. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.#stop.abort(cniError('CNI_TRY_AGAIN', { message: 'calico-node is stopping', hint: 'the runtime tries again by itself' }));
		await Promise.all(this.#calls);
		this.#socket[Symbol.dispose]();
	}

	#accept(message: UnixMessage, connection: UnixConnection): void {
		const call = this.#answer(message, connection).finally(() => this.#calls.delete(call));
		this.#calls.add(call);
	}

	async #answer({ data, fds }: UnixMessage, connection: UnixConnection): Promise<void> {
		const reply = await this.#serve(data, fds, connection.signal);
		try {
			connection.send(reply);
		} catch (error) {
			this.#modules.logger.warn({ error: explainError(error) }, 'the CNI plugin did not wait for its answer');
		}
		connection.close();
	}

	async #serve(data: Uint8Array, fds: readonly number[], gone: AbortSignal): Promise<Uint8Array> {
		const started = performance.now();
		const signal = AbortSignal.any([gone, this.#stop.signal, AbortSignal.timeout(CALL_LIMIT_MS)]);
		let request: PluginRequest | undefined;
		try {
			using namespace = adoptNamespace(fds, this.#modules.host) ?? NO_NAMESPACE;
			request = decodeRequest(data);
			const config = parseNetworkConfig(request.config);
			const outcome = await this.#run(request, config, namespace.fd, signal);
			this.#log(request, started, undefined);
			return encodeReply(0, outcome === undefined ? '' : `${JSON.stringify(formatResult(outcome, config.cniVersion))}\n`);
		} catch (failure) {
			const error = signal.aborted ? whyAborted(signal, failure) : failure;
			this.#log(request, started, error);
			const version = (request === undefined ? undefined : peekCniVersion(request.config)) ?? DEFAULT_CNI_VERSION;
			return encodeReply(1, `${JSON.stringify(cniErrorResult(error, version))}\n`);
		}
	}

	#run(request: PluginRequest, config: NetworkConfig, namespaceFd: number | undefined, signal: AbortSignal): Promise<Outcome> {
		const modules = this.#modules;
		const command = parseCommand(request.environment);
		requireCommand(command, config.cniVersion);
		if (config.nodeName !== undefined && config.nodeName !== this.#options.nodeName)
			modules.logger.warn(
				{ configured: config.nodeName, node: this.#options.nodeName },
				'the network configuration names another node; it is ignored',
			);
		const ofNetwork = request.plugin === 'calico';
		switch (command) {
			case 'STATUS':
				return checkStatus(modules, signal).then(() => undefined);
			case 'GC':
				return this.#queue
					.run(EXCLUSIVE, () => (ofNetwork ? collectGarbage : collectAddresses)(modules, this.#options, config, signal), signal)
					.then(() => undefined);
			case 'ADD':
				return this.#forContainer(request, config, namespaceFd, ofNetwork ? addContainer : addAddresses, signal);
			case 'DEL':
				return this.#forContainer(request, config, namespaceFd, ofNetwork ? deleteContainer : deleteAddresses, signal);
			case 'CHECK':
				return this.#forContainer(request, config, namespaceFd, ofNetwork ? checkContainer : checkAddresses, signal);
			default:
				return command satisfies never;
		}
	}

	/** Calls about one pod come one after another, also when they are about several containers of it. */
	#forContainer(
		{ environment }: PluginRequest,
		config: NetworkConfig,
		namespaceFd: number | undefined,
		work: (modules: CniModules, settings: CniSettings, call: ContainerCall, signal: AbortSignal) => Promise<Outcome | void>,
		signal: AbortSignal,
	): Promise<Outcome> {
		const attachment = parseAttachment(environment);
		const pod = tryEndpointIdentity(this.#options.nodeName, config.name, attachment);
		const key = pod === undefined ? attachment.containerId : `${pod.namespace}/${pod.name}`;
		const call: ContainerCall = { config, attachment, namespaceFd };
		return this.#queue.run(key, async () => (await work(this.#modules, this.#options, call, signal)) ?? undefined, signal);
	}

	#log(request: PluginRequest | undefined, started: number, error: unknown): void {
		const { CNI_COMMAND: command, CNI_CONTAINERID: containerId } = request?.environment ?? {};
		const fields = { plugin: request?.plugin, command, containerId, ms: Math.round(performance.now() - started) };
		if (error === undefined) this.#modules.logger[command === 'STATUS' ? 'debug' : 'info'](fields, 'CNI');
		else this.#modules.logger.error({ ...fields, error: explainError(error) }, 'CNI call failed');
	}
}

/**
 * Takes over the descriptors that came with a request: none, or the container's network namespace.
 *
 * @throws CNI_BAD_ENVIRONMENT for any other kind of file and for the host's own namespace; all descriptors are closed then
 */
function adoptNamespace(fds: readonly number[], host: HostNetwork): NetworkNamespace | undefined {
	let namespace: NetworkNamespace | undefined;
	try {
		for (const fd of fds) namespace = NetworkNamespace.adopt(fd);
	} catch (cause) {
		for (const fd of fds) closeSync(fd);
		throw cniError('CNI_BAD_ENVIRONMENT', {
			message: 'the descriptor that the plugin passed is not a network namespace',
			path: 'CNI_NETNS',
			cause,
		});
	}
	if (namespace === undefined || !isHostNamespace(namespace, host)) return namespace;
	namespace[Symbol.dispose]();
	throw cniError('CNI_BAD_ENVIRONMENT', { message: "it is the host's own network namespace", path: 'CNI_NETNS' });
}

function isHostNamespace({ inode }: NetworkNamespace, { namespaceFd }: HostNetwork): boolean {
	if (namespaceFd !== undefined) return fstatSync(namespaceFd, { bigint: true }).ino === inode;
	using own = currentNamespace();
	return own.inode === inode;
}

/** Why a call was given up; the failure itself if that was not the reason. */
function whyAborted(signal: AbortSignal, failure: unknown): unknown {
	const reason: unknown = signal.reason;
	if (cniError.is(reason)) return reason;
	return cniError('CNI_TRY_AGAIN', {
		message:
			(reason as Error).name === 'TimeoutError' ? `the call was not done within ${CALL_LIMIT_MS / 1000} s` : 'the plugin gave up waiting',
		cause: failure,
	});
}
