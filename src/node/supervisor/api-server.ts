import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { explainError, TortieError } from '#errors';
import type { NodeApi } from '#node-api';
import { nodeError } from '../errors.ts';

const MAX_BODY_BYTES = 64 * 1024;

/** A function for each call of the API. */
export type NodeApiHandlers = {
	readonly [Call in keyof NodeApi]: (request: NodeApi[Call]['request']) => Promise<NodeApi[Call]['response']>;
};

/** Serves the node's API on a UNIX socket that only root can open. */
export class ApiServer implements AsyncDisposable {
	readonly #server: Server;

	private constructor(server: Server) {
		this.#server = server;
	}

	/** @throws NODE_BUSY if another node answers on the socket, NODE_COMPONENT if it cannot be made */
	static async listen(socketPath: string, handlers: NodeApiHandlers): Promise<ApiServer> {
		if (await isServed(socketPath))
			throw nodeError('NODE_BUSY', {
				message: 'another instance of the node is running here',
				path: socketPath,
				hint: 'stop it first, or give this one another root directory with CALICO_HOST_ROOT',
			});
		const server = createServer((request, response) => void answer(handlers, request, response));
		try {
			await mkdir(dirname(socketPath), { recursive: true });
			await rm(socketPath, { force: true });
			await new Promise<void>((resolve, reject) => {
				server.once('error', reject);
				server.listen(socketPath, resolve);
			});
			await chmod(socketPath, 0o600);
		} catch (error) {
			server.close();
			throw nodeError('NODE_COMPONENT', { message: 'the node API cannot be served', path: socketPath, cause: error });
		}
		return new ApiServer(server);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}
}

/** Whether somebody accepts connections there; a socket that was left behind refuses them. */
function isServed(socketPath: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(socketPath);
		const finish = (served: boolean): void => {
			socket.destroy();
			resolve(served);
		};
		socket.on('connect', () => finish(true));
		socket.on('error', () => finish(false));
	});
}

async function answer(handlers: NodeApiHandlers, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const send = (status: number, body: unknown): void =>
		void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
	const handler = Object.entries(handlers).find(([call]) => call === `${request.method ?? ''} ${request.url ?? ''}`)?.[1];
	if (handler === undefined)
		return send(404, { code: 'NODE_NO_SUCH_CALL', message: `there is no ${request.method ?? ''} ${request.url ?? ''}` });
	try {
		const body = await readBody(request);
		send(200, await (handler as (body: unknown) => Promise<unknown>)(body));
	} catch (error) {
		send(error instanceof SyntaxError ? 400 : 503, {
			code: error instanceof TortieError ? error.code : 'NODE_REQUEST_FAILED',
			message: explainError(error),
		});
	}
}

async function readBody(request: IncomingMessage): Promise<unknown> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		size += chunk.length;
		if (size > MAX_BODY_BYTES) throw nodeError('NODE_COMPONENT', { message: `a request may have ${MAX_BODY_BYTES} bytes at most` });
		chunks.push(chunk);
	}
	return size === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
