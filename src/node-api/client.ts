import { request } from 'node:http';
import { nodeApiError } from './errors.ts';
import type { NodeApi, NodeApiFailure } from './types.ts';

const DEFAULT_LIMIT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/**
 * Asks the node that runs on this host.
 *
 * @param socketPath `NODE_SOCKET`, or the same under the node's root
 * @throws NODE_API_UNAVAILABLE, NODE_API_REFUSED
 */
export async function askNode<Call extends keyof NodeApi>(
	socketPath: string,
	call: Call,
	body: NodeApi[Call]['request'],
	signal: AbortSignal = AbortSignal.timeout(DEFAULT_LIMIT_MS),
): Promise<NodeApi[Call]['response']> {
	const [method = '', path = ''] = call.split(' ');
	const { status, text } = await exchange(socketPath, method, path, body, signal);
	try {
		const answer: unknown = JSON.parse(text);
		if (status === 200) return answer as NodeApi[Call]['response'];
		const failure = answer as NodeApiFailure;
		throw nodeApiError('NODE_API_REFUSED', { message: failure.message, found: failure.code });
	} catch (error) {
		if (nodeApiError.is(error)) throw error;
		throw nodeApiError('NODE_API_REFUSED', {
			message: `the node answered ${status} to ${call} with something that is not JSON`,
			cause: error,
		});
	}
}

function exchange(
	socketPath: string,
	method: string,
	path: string,
	body: unknown,
	signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
	return new Promise((resolve, reject) => {
		const fail = (cause: unknown): void =>
			reject(
				nodeApiError('NODE_API_UNAVAILABLE', {
					message: 'the node does not answer',
					path: socketPath,
					hint: 'see whether "tortie node" runs on this host',
					cause,
				}),
			);
		const sent = request({ socketPath, method, path, signal, headers: { 'content-type': 'application/json' } }, (response) => {
			const chunks: Buffer[] = [];
			let size = 0;
			response.on('data', (chunk: Buffer) => {
				chunks.push(chunk);
				size += chunk.length;
				if (size > MAX_ANSWER_BYTES) response.destroy(nodeApiError('NODE_API_REFUSED', { message: 'the answer is too long' }));
			});
			response.on('error', fail);
			response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
		});
		sent.on('error', fail);
		sent.end(body === undefined ? undefined : JSON.stringify(body));
	});
}
