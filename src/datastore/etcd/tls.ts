import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import { createSecureContext, connect as tlsConnect } from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import { explainError } from '#errors';
import { datastoreError } from '../errors.ts';

/** Where a piece of PEM comes from. */
export type PemSource = { readonly file: string } | { readonly pem: string };

/** Certificates of one client. Without a CA the system's own are trusted. */
export interface TlsOptions {
	readonly ca?: PemSource | undefined;
	/** Given together with `key` or not at all. */
	readonly cert?: PemSource | undefined;
	readonly key?: PemSource | undefined;
}

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type ConnectorArguments = Parameters<ChannelCredentials['_createSecureConnector']>;

/**
 * Channel credentials that read the certificates anew for every connection, so that renewed files are taken up
 * without a restart, and that send a server name only when the endpoint has one (RFC 6066 §3 allows no addresses there).
 */
export class TlsCredentials extends ChannelCredentials {
	readonly #host: string;
	readonly #options: TlsOptions;

	constructor(host: string, options: TlsOptions) {
		super();
		this.#host = host;
		this.#options = options;
	}

	override compose(): ChannelCredentials {
		throw datastoreError('DATASTORE_UNSUPPORTED', { message: 'call credentials are not used with etcd; tokens go as metadata' });
	}

	override _isSecure(): boolean {
		return true;
	}

	override _equals(other: ChannelCredentials): boolean {
		return this === other;
	}

	override _createSecureConnector(...[, , callCredentials]: ConnectorArguments): Connector {
		const credentials = callCredentials ?? CallCredentials.createEmpty();
		return {
			connect: async (socket: Socket) => ({ socket: await this.#connect(socket), secure: true }),
			waitForReady: () => Promise.resolve(),
			getCallCredentials: () => credentials,
			destroy: () => undefined,
		};
	}

	async #connect(socket: Socket): Promise<Socket> {
		const [ca, cert, key] = await Promise.all([
			readPem('CA certificate', this.#options.ca),
			readPem('client certificate', this.#options.cert),
			readPem('client key', this.#options.key),
		]);
		return new Promise((resolve, reject) => {
			const secure = tlsConnect({
				socket,
				host: this.#host,
				secureContext: createSecureContext({ ca, cert, key, minVersion: 'TLSv1.2' }),
				ALPNProtocols: ['h2'],
				...(isIP(this.#host) === 0 ? { servername: this.#host } : {}),
			});
			secure.once('secureConnect', () => resolve(secure));
			secure.on('error', reject);
		});
	}
}

/** @throws DATASTORE_BAD_CONFIG with the file's name; never its content */
async function readPem(what: string, source: PemSource | undefined): Promise<string | undefined> {
	if (source === undefined) return undefined;
	if ('pem' in source) return source.pem;
	try {
		return await readFile(source.file, 'utf8');
	} catch (cause) {
		throw datastoreError('DATASTORE_BAD_CONFIG', {
			message: `the ${what} can not be read: ${explainError(cause)}`,
			path: source.file,
			cause,
		});
	}
}
