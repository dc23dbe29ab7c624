/** The module that every thread of the node begins with. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CallChannel } from './threads/channel.ts';
import { serveThread, type ThreadService } from './threads/serve.ts';

const { component, settings } = workerData as { readonly component: string; readonly settings: unknown };
if (parentPort !== null) await serveThread(parentPort, load);

async function load(supervisor: CallChannel): Promise<ThreadService> {
	switch (component) {
		case 'agent':
			return (await import('./agent/agent-service.ts')).agentService(settings as never, supervisor);
		case 'bgpd':
			return (await import('./threads/bgpd-service.ts')).bgpdService(settings as never);
	}
	throw new TypeError(`there is no component ${component}`);
}
