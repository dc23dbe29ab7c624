import { isIPv4, isIPv6 } from 'node:net';
import { datastoreError } from '../errors.ts';

/** One member of the etcd cluster, as clients reach it. */
export interface EndpointAddress {
	/** As the user wrote it, for messages. */
	readonly url: string;
	/** A DNS name, or an address without brackets. */
	readonly host: string;
	readonly port: number;
	readonly secure: boolean;
}

const DEFAULT_PORT = 2379;

/**
 * Reads `https://host:port`, `http://[::1]:2379` or a bare `host:port`, which is secure if the client has TLS settings.
 *
 * @throws DATASTORE_BAD_CONFIG
 */
export function parseEndpoint(text: string, tlsConfigured: boolean): EndpointAddress {
	const trimmed = text.trim().replace(/\/+$/, '');
	const match = /^(?:(https?):\/\/)?(\[[0-9a-f:.]+\]|[^:/@[\]\s]+)(?::([0-9]{1,5}))?$/i.exec(trimmed);
	const [, scheme, bracketed, portText] = match ?? [];
	const host = bracketed?.replace(/^\[|\]$/g, '');
	const port = portText === undefined ? DEFAULT_PORT : Number(portText);
	if (host === undefined || port < 1 || port > 65535 || (bracketed?.startsWith('[') && !isIPv6(host)))
		throw datastoreError('DATASTORE_BAD_CONFIG', {
			// credentials in a URL must not reach a log
			message: `${JSON.stringify(trimmed.replace(/\/\/.*@/, '//…@'))} is not an etcd endpoint`,
			path: 'etcdEndpoints',
			allowed: 'http://host:port or https://host:port, IPv6 addresses in brackets, several separated by commas',
		});
	return { url: trimmed, host, port, secure: scheme === undefined ? tlsConfigured : scheme.toLowerCase() === 'https' };
}

/** The address in the notation of gRPC name resolution. */
export function grpcTarget({ host, port }: EndpointAddress): string {
	if (isIPv4(host)) return `ipv4:${host}:${port}`;
	return isIPv6(host) ? `ipv6:[${host}]:${port}` : `dns:///${host}:${port}`;
}
