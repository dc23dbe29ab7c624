import { createServer, type Server } from 'node:http';
import type { Logger } from 'pino';
import type { NodeStatus } from '#node-api';

export interface ProbeOptions {
	readonly host: string;
	readonly port: number;
}

/**
 * Serves `/liveness` and `/readiness`: 200 if all is well, else 503 with the reason. It runs in the supervisor's thread, so that it answers
 * whatever the components do.
 */
export class ProbeServer implements AsyncDisposable {
	readonly #server: Server;

	private constructor(server: Server) {
		this.#server = server;
	}

	/** Starts listening. If that fails it is logged, and the node works without probes. */
	static async listen(
		options: ProbeOptions,
		status: () => Pick<NodeStatus, 'live' | 'ready' | 'reason'>,
		logger: Logger,
	): Promise<ProbeServer> {
		const server = createServer((request, response) => {
			const { live, ready, reason } = status();
			const answer = (good: boolean): void =>
				void response.writeHead(good ? 200 : 503, { 'content-type': 'text/plain' }).end(good ? 'ok\n' : `${reason}\n`);
			const path = request.url?.split('?')[0];
			if (path === '/liveness') answer(live);
			else if (path === '/readiness') answer(live && ready);
			else response.writeHead(404).end();
		});
		await new Promise<void>((resolve) => {
			server.on('error', (error) => {
				logger.error({ ...options, reason: error.message }, 'probes are not served');
				resolve();
			});
			server.listen(options.port, options.host, resolve);
		});
		return new ProbeServer(server);
	}

	/** Where it listens; undefined if it could not. */
	get port(): number | undefined {
		const address = this.#server.address();
		return typeof address === 'object' ? address?.port : undefined;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}
}
