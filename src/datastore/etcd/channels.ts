import { type ChannelOptions, connectivityState, credentials, Client as GrpcClient } from '@grpc/grpc-js';
import { datastoreError } from '../errors.ts';
import { type EndpointAddress, grpcTarget } from './endpoint.ts';
import { TlsCredentials, type TlsOptions } from './tls.ts';

/** The largest answer that is read; longer lists come in pages. */
const MAX_RECEIVE_BYTES = 64 << 20;

const CHANNEL_OPTIONS: ChannelOptions = {
	'grpc.keepalive_time_ms': 30_000,
	'grpc.keepalive_timeout_ms': 10_000,
	'grpc.initial_reconnect_backoff_ms': 250,
	'grpc.max_reconnect_backoff_ms': 2_000,
	'grpc.max_receive_message_length': MAX_RECEIVE_BYTES,
	// a proxy of the environment is meant for the outside world, not for the cluster's own datastore
	'grpc.enable_http_proxy': 0,
	'grpc.service_config_disable_resolution': 1,
	'grpc.use_local_subchannel_pool': 1,
};

/** A channel to one endpoint. */
export interface EndpointChannel {
	readonly address: EndpointAddress;
	readonly client: GrpcClient;
}

/** One channel per endpoint, of which one is in use at a time; channels open when they are first needed. */
export class EndpointChannels {
	readonly #addresses: readonly EndpointAddress[];
	readonly #tls: TlsOptions;
	readonly #channels = new Map<EndpointAddress, EndpointChannel>();
	#index: number;
	#isClosed = false;

	/** @param addresses at least one */
	constructor(modules: { readonly random: () => number }, addresses: readonly EndpointAddress[], tls: TlsOptions) {
		this.#addresses = addresses;
		this.#tls = tls;
		// so that a cluster's clients don't all sit on the first member
		this.#index = Math.floor(modules.random() * addresses.length);
	}

	get count(): number {
		return this.#addresses.length;
	}

	/** @throws DATASTORE_UNAVAILABLE once closed */
	current(): EndpointChannel {
		if (this.#isClosed) throw datastoreError('DATASTORE_UNAVAILABLE', { message: 'the connection to the datastore has been closed' });
		const address = this.#addresses[this.#index] as EndpointAddress;
		let channel = this.#channels.get(address);
		if (channel === undefined) {
			const security = address.secure ? new TlsCredentials(address.host, this.#tls) : credentials.createInsecure();
			channel = { address, client: new GrpcClient(grpcTarget(address), security, CHANNEL_OPTIONS) };
			this.#channels.set(address, channel);
		}
		return channel;
	}

	/** Goes on to the next endpoint, unless someone else has already left the failed one. */
	leave({ address }: EndpointChannel): void {
		if (this.#addresses[this.#index] === address) this.#index = (this.#index + 1) % this.#addresses.length;
	}

	/**
	 * Ends an attempt to connect that got no answer; the next one starts afresh. The kernel repeats a lost SYN after pauses
	 * that double up to a minute: left to that, a network that works again would not be noticed for as long.
	 */
	abandon(channel: EndpointChannel): void {
		if (this.#channels.get(channel.address) !== channel) return;
		this.#channels.delete(channel.address);
		channel.client.close();
	}

	close(): void {
		this.#isClosed = true;
		for (const { client } of this.#channels.values()) client.close();
		this.#channels.clear();
	}
}

/**
 * Waits until the channel is connected, has failed to connect, or the time is up. A call on a failed channel fails at
 * once with the reason, which is what the caller wants to report.
 *
 * @param deadline milliseconds since 1970
 * @returns false if the time is up, or the channel was closed
 */
export async function settled(channel: ReturnType<GrpcClient['getChannel']>, deadline: number): Promise<boolean> {
	for (;;) {
		if (channel.getConnectivityState(false) === connectivityState.SHUTDOWN) return false;
		const state = channel.getConnectivityState(true);
		if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return true;
		const changed = await new Promise<boolean>((resolve) => {
			channel.watchConnectivityState(state, deadline, (error) => resolve(error === undefined));
		});
		if (!changed) return false;
	}
}
