import {
	create,
	type DescMessage,
	type DescMethod,
	fromBinary,
	type MessageInitShape,
	type MessageShape,
	toBinary,
} from '@bufbuild/protobuf';
import { type ClientDuplexStream, Metadata, type ServiceError } from '@grpc/grpc-js';
import { datastoreError } from '../errors.ts';
import type { CallOptions } from '../types.ts';
import { type EndpointChannel, EndpointChannels, settled } from './channels.ts';
import { parseEndpoint } from './endpoint.ts';
import { failureOf, isServiceError, isStaleToken, neverSent, notConnected } from './failure.ts';
import {
	Auth,
	KV,
	type RangeRequestSchema,
	type RangeResponse,
	type TxnRequestSchema,
	type TxnResponse,
	Watch,
	type WatchCreateRequestSchema,
	type WatchRequest,
	type WatchResponse,
} from './generated/etcd_pb.js';
import type { TlsOptions } from './tls.ts';

export interface EtcdOptions {
	/** `https://host:port`, tried in turn. */
	readonly endpoints: readonly string[];
	readonly tls?: TlsOptions | undefined;
	readonly user?: { readonly name: string; readonly password: string } | undefined;
	/** The limit of one call, tries on all endpoints included. */
	readonly callTimeoutMs?: number | undefined;
}

export interface EtcdModules {
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

type Unary = DescMethod & { readonly methodKind: 'unary' };

const DEFAULT_CALL_TIMEOUT_MS = 10_000;
/** How long one endpoint may take to connect and to answer, where there is another to turn to. */
const CONNECT_TIMEOUT_MS = 3_000;
const TRY_TIMEOUT_MS = 4_000;

/** etcd's calls, typed, over whichever endpoint answers. Every call has a limit; tokens are fetched and renewed as needed. */
export class EtcdClient implements Disposable {
	readonly #channels: EndpointChannels;
	readonly #user: EtcdOptions['user'];
	readonly #callTimeoutMs: number;
	readonly #running = new Set<{ cancel(): void }>();
	#token: Promise<string | undefined> | undefined;

	/** @throws DATASTORE_BAD_CONFIG for an endpoint that is none, or for no endpoint */
	constructor(modules: EtcdModules, options: EtcdOptions) {
		if (options.endpoints.length === 0)
			throw datastoreError('DATASTORE_BAD_CONFIG', { message: 'no etcd endpoint is configured', path: 'etcdEndpoints' });
		const addresses = options.endpoints.map((text) => parseEndpoint(text, options.tls !== undefined));
		this.#channels = new EndpointChannels(modules, addresses, options.tls ?? {});
		this.#user = options.user;
		this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
	}

	/** Ends every call and watch that is under way. */
	[Symbol.dispose](): void {
		this.#channels.close();
		for (const call of this.#running) call.cancel();
	}

	range(request: MessageInitShape<typeof RangeRequestSchema>, options?: CallOptions): Promise<RangeResponse> {
		return this.#call(KV.method.range, request, 'repeatable', options);
	}

	/** Not repeated once it may have reached a server: a compare-and-swap that went through would look lost. */
	txn(request: MessageInitShape<typeof TxnRequestSchema>, options?: CallOptions): Promise<TxnResponse> {
		return this.#call(KV.method.txn, request, 'once', options);
	}

	/**
	 * The responses of one watch, the fragments of a response joined, so that a revision is never cut in two.
	 *
	 * @throws DATASTORE_COMPACTED, DATASTORE_UNAVAILABLE, DATASTORE_UNAUTHORIZED; DATASTORE_ABORTED by the signal
	 */
	async *watch(request: MessageInitShape<typeof WatchCreateRequestSchema>, options?: CallOptions): AsyncGenerator<WatchResponse> {
		const signal = options?.signal;
		throwIfAborted(signal);
		const deadline = Date.now() + this.#callTimeoutMs;
		const endpoint = this.#channels.current();
		const what = `Watch on ${endpoint.address.url}`;
		try {
			await this.#connect(endpoint, deadline, signal);
		} catch (error) {
			if (!isServiceError(error)) throw error;
			this.#channels.leave(endpoint);
			throw failureOf(error, what);
		}
		const metadata = await this.#metadata(signal);
		const method = Watch.method.watch;
		const stream: ClientDuplexStream<WatchRequest, WatchResponse> = endpoint.client.makeBidiStreamRequest(
			pathOf(method),
			(message) => Buffer.from(toBinary(method.input, message)),
			(bytes) => fromBinary(method.output, bytes),
			metadata,
		);
		const cancel = (): void => stream.cancel();
		// what a cancelled stream still reports has no reader any more
		stream.on('error', () => undefined);
		signal?.addEventListener('abort', cancel, { once: true });
		this.#running.add(stream);
		const start = setTimeout(cancel, Math.max(0, deadline - Date.now()));
		try {
			stream.write(create(method.input, { requestUnion: { case: 'createRequest', value: request } }));
			let fragments: WatchResponse['events'] = [];
			for await (const response of stream as AsyncIterable<WatchResponse>) {
				clearTimeout(start);
				if (response.canceled) throw this.#watchCancelled(response, what);
				if (response.fragment) {
					fragments.push(...response.events);
					continue;
				}
				if (fragments.length > 0) response.events.unshift(...fragments);
				fragments = [];
				yield response;
			}
			throw datastoreError('DATASTORE_UNAVAILABLE', { message: `${what} was closed by the server` });
		} catch (error) {
			throwIfAborted(signal);
			if (!isServiceError(error)) throw error;
			this.#channels.leave(endpoint);
			if (isStaleToken(error.details)) this.#token = undefined;
			throw failureOf(error, what);
		} finally {
			clearTimeout(start);
			signal?.removeEventListener('abort', cancel);
			this.#running.delete(stream);
			stream.cancel();
		}
	}

	#watchCancelled(response: WatchResponse, what: string): Error {
		if (response.compactRevision > 0n)
			return datastoreError('DATASTORE_COMPACTED', {
				message: `${what}: the history up to revision ${response.compactRevision} has been compacted`,
			});
		const message = `${what} was cancelled by the server: ${response.cancelReason || 'no reason given'}`;
		if (isStaleToken(response.cancelReason)) this.#token = undefined;
		else if (/permission denied/.test(response.cancelReason)) return datastoreError('DATASTORE_UNAUTHORIZED', { message });
		return datastoreError('DATASTORE_UNAVAILABLE', { message });
	}

	async #call<M extends Unary>(
		method: M,
		request: MessageInitShape<M['input']>,
		repeat: 'repeatable' | 'once',
		options: CallOptions | undefined,
	): Promise<MessageShape<M['output']>> {
		const signal = options?.signal;
		const deadline = Date.now() + this.#callTimeoutMs;
		let tokenRefused = false;
		let failure: Error | undefined;
		for (let failures = 0; ; ) {
			throwIfAborted(signal);
			const metadata = await this.#metadata(signal);
			const endpoint = this.#channels.current();
			const last = failures === this.#channels.count - 1;
			try {
				return await this.#callOn(endpoint, method, request, metadata, last ? deadline : tryDeadline(deadline), signal);
			} catch (error) {
				throwIfAborted(signal);
				if (!isServiceError(error)) throw error;
				if (isStaleToken(error.details) && this.#user !== undefined && !tokenRefused) {
					tokenRefused = true;
					this.#token = undefined;
					continue;
				}
				const now = failureOf(error, `${method.name} on ${endpoint.address.url}`, failure);
				if (now.code !== 'DATASTORE_UNAVAILABLE') throw now;
				failure = now;
				this.#channels.leave(endpoint);
				failures++;
				if (failures >= this.#channels.count || Date.now() >= deadline || (repeat === 'once' && !neverSent(error))) throw failure;
			}
		}
	}

	async #callOn<M extends Unary>(
		endpoint: EndpointChannel,
		method: M,
		request: MessageInitShape<M['input']>,
		metadata: Metadata,
		deadline: number,
		signal: AbortSignal | undefined,
	): Promise<MessageShape<M['output']>> {
		await this.#connect(endpoint, deadline, signal);
		const input: DescMessage = method.input;
		return new Promise((resolve, reject) => {
			const call = endpoint.client.makeUnaryRequest(
				pathOf(method),
				(message: MessageShape<M['input']>) => Buffer.from(toBinary(input, message)),
				(bytes: Buffer): MessageShape<M['output']> => fromBinary(method.output, bytes) as MessageShape<M['output']>,
				create(method.input, request) as MessageShape<M['input']>,
				metadata,
				{ deadline },
				(error: ServiceError | null, response) => {
					signal?.removeEventListener('abort', cancel);
					this.#running.delete(call);
					if (error !== null || response === undefined) reject(error ?? new Error('an empty answer'));
					else resolve(response);
				},
			);
			const cancel = (): void => call.cancel();
			signal?.addEventListener('abort', cancel, { once: true });
			this.#running.add(call);
		});
	}

	/** @throws a service error that says that nothing was sent */
	async #connect(endpoint: EndpointChannel, deadline: number, signal: AbortSignal | undefined): Promise<void> {
		const limit = this.#channels.count === 1 ? deadline : Math.min(deadline, Date.now() + CONNECT_TIMEOUT_MS);
		if (await abortable(settled(endpoint.client.getChannel(), limit), signal)) return;
		this.#channels.abandon(endpoint);
		throw notConnected();
	}

	async #metadata(signal: AbortSignal | undefined): Promise<Metadata> {
		const metadata = new Metadata();
		// a member without a leader refuses at once instead of going silent (etcd: rpctypes.MetadataRequireLeaderKey)
		metadata.set('hasleader', 'true');
		if (this.#user === undefined) return metadata;
		this.#token ??= this.#authenticate(this.#user);
		const pending = this.#token;
		try {
			const token = await abortable(pending, signal);
			if (token !== undefined) metadata.set('token', token);
		} catch (error) {
			if (this.#token === pending) this.#token = undefined;
			throw error;
		}
		return metadata;
	}

	/** @returns undefined where the cluster does not use authentication */
	async #authenticate({ name, password }: NonNullable<EtcdOptions['user']>): Promise<string | undefined> {
		const deadline = Date.now() + this.#callTimeoutMs;
		let failure: Error | undefined;
		for (let failures = 0; ; ) {
			const endpoint = this.#channels.current();
			try {
				const request = { name, password };
				return (await this.#callOn(endpoint, Auth.method.authenticate, request, new Metadata(), tryDeadline(deadline), undefined)).token;
			} catch (error) {
				if (!isServiceError(error)) throw error;
				if (/authentication is not enabled/.test(error.details)) return undefined;
				const now = failureOf(error, `Authenticate on ${endpoint.address.url}`, failure);
				failure = now;
				this.#channels.leave(endpoint);
				failures++;
				if (now.code !== 'DATASTORE_UNAVAILABLE' || failures >= this.#channels.count) throw failure;
			}
		}
	}
}

function pathOf(method: DescMethod): string {
	return `/${method.parent.typeName}/${method.name}`;
}

function tryDeadline(deadline: number): number {
	return Math.min(deadline, Date.now() + TRY_TIMEOUT_MS);
}

/** @throws DATASTORE_ABORTED */
function throwIfAborted(signal: AbortSignal | undefined): void {
	if (signal?.aborted) throw datastoreError('DATASTORE_ABORTED', { message: 'the caller gave up', cause: signal.reason });
}

/**
 * What a promise gives, unless the signal fires first.
 *
 * @throws DATASTORE_ABORTED
 */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
	const { promise: aborted, resolve: abort } = Promise.withResolvers<void>();
	const onAbort = (): void => abort();
	signal?.addEventListener('abort', onAbort, { once: true });
	if (signal?.aborted === true) abort();
	try {
		const result = await Promise.race([promise, aborted]);
		throwIfAborted(signal);
		return result as T;
	} finally {
		signal?.removeEventListener('abort', onAbort);
	}
}
