/**
 * The process that serves in the pods of a lab and outside of the cluster: TCP and UDP on ports 80 and 81. To whoever
 * calls it answers with the address it sees. Where to serve, it is told by descriptors of network namespaces.
 */

import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { explainError } from '#errors';
import { inNamespace, NetworkNamespace, UnixServer, unixRequest } from '#kernel';
import { labError } from './errors.ts';
import { openUdpSocket } from './udp-socket.ts';

/** The ports that every pod of the lab serves, by TCP and UDP. */
export const POD_PORTS: readonly number[] = [80, 81];

const CONTROL_LIMIT_MS = 10_000;
const OK = 'ok';

interface ControlRequest {
	readonly operation: 'open' | 'close';
	/** Name of the pod. */
	readonly key: string;
}

/** Serves until the signal fires. */
export async function runPodServer(socketPath: string, signal: AbortSignal): Promise<void> {
	const served = new Map<string, DisposableStack>();
	const handle = ({ operation, key }: ControlRequest, namespaceFd: number | undefined): void => {
		served.get(key)?.dispose();
		served.delete(key);
		if (operation === 'open' && namespaceFd !== undefined) served.set(key, serveIn(namespaceFd));
	};
	using _control = new UnixServer({
		path: socketPath,
		mode: 0o600,
		maxMessageBytes: 4096,
		maxFds: 1,
		maxConnections: 64,
		idleTimeoutMs: CONTROL_LIMIT_MS,
		onMessage: ({ data, fds }, connection) => {
			let answer = OK;
			try {
				using namespace = fds[0] === undefined ? undefined : NetworkNamespace.adopt(fds[0]);
				handle(JSON.parse(new TextDecoder().decode(data)) as ControlRequest, namespace?.fd);
			} catch (error) {
				answer = explainError(error);
			}
			connection.send(new TextEncoder().encode(answer));
			connection.close();
		},
		onError: (error) => process.stderr.write(`${explainError(error)}\n`),
	});
	if (!signal.aborted) await once(signal, 'abort');
	for (const stack of served.values()) stack.dispose();
}

/** Has the process serve in a namespace, or stop doing so. */
export async function tellPodServer(socketPath: string, request: ControlRequest, namespaceFd?: number): Promise<void> {
	const data = new TextEncoder().encode(JSON.stringify(request));
	const reply = await unixRequest(
		socketPath,
		{ data, ...(namespaceFd === undefined ? {} : { fds: [namespaceFd] }) },
		{ timeoutMs: CONTROL_LIMIT_MS },
	);
	const answer = new TextDecoder().decode(reply);
	if (answer !== OK) throw labError('LAB_PROCESS_FAILED', { message: `${request.key} cannot be served: ${answer}`, path: request.key });
}

function serveIn(namespaceFd: number): DisposableStack {
	const stack = new DisposableStack();
	for (const port of POD_PORTS) {
		stack.adopt(listenTcp(namespaceFd, port), (server) => server.close());
		stack.adopt(listenUdp(namespaceFd, port), (socket) => socket.close());
	}
	return stack;
}

function listenTcp(namespaceFd: number, port: number): Server {
	const server = createServer((socket) => {
		socket.on('error', () => socket.destroy());
		socket.end(plainAddress(socket.remoteAddress ?? ''));
	});
	// without a host the socket is made and bound before listen returns, and takes both families
	return inNamespace(namespaceFd, () => server.listen(port));
}

function listenUdp(namespaceFd: number, port: number): Socket {
	const socket = openUdpSocket(namespaceFd, 6, port);
	socket.on('message', (_data, { address, port: from }) => socket.send(plainAddress(address), from, address));
	socket.on('error', () => undefined);
	return socket;
}

/** IPv4 peers of a socket of both families have mapped addresses (RFC 4291 §2.5.5.2). */
function plainAddress(address: string): string {
	return address.replace(/^::ffff:(?=\d+\.)/, '');
}
