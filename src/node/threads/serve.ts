import type { MessagePort } from 'node:worker_threads';
import { explainError } from '#errors';
import type { ComponentStatus } from '#node-api';
import { CallChannel, type Methods } from './channel.ts';
import type { FromThread, Health, ToThread } from './messages.ts';

const HEARTBEAT_MS = 1000;

/** What a thread does. */
export interface ThreadService {
	/** What the supervisor may call. */
	readonly methods: Methods;
	health(): Health;
	/** The components that the thread supervises itself. */
	components(): readonly ComponentStatus[];
	/** Works until the signal fires or it cannot go on; says why it ended. */
	run(signal: AbortSignal): Promise<string>;
}

/**
 * Runs a service on this thread until the supervisor says stop or the service ends.
 *
 * @param create makes the service, given the way to call the supervisor
 */
export async function serveThread(
	port: MessagePort,
	create: (supervisor: CallChannel) => ThreadService | Promise<ThreadService>,
): Promise<void> {
	const stop = new AbortController();
	const send = (message: FromThread): void => port.postMessage(message);
	const methods: Record<string, (argument: never) => unknown> = {};
	const channel = new CallChannel('the supervisor', methods, send);
	port.on('message', (message: ToThread) => {
		if (message.type === 'stop') stop.abort();
		else channel.take(message);
	});
	const service = await create(channel);
	Object.assign(methods, service.methods);
	const beat = (): void => send({ type: 'heartbeat', health: service.health(), components: service.components() });
	send({ type: 'started' });
	beat();
	const heartbeat = setInterval(beat, HEARTBEAT_MS);
	try {
		send({ type: 'ended', reason: await service.run(stop.signal) });
	} catch (error) {
		send({ type: 'ended', reason: explainError(error) });
	} finally {
		clearInterval(heartbeat);
		port.close();
	}
}
