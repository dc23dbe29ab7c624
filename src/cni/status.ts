import { cniError } from './errors.ts';
import type { CniModules } from './modules.ts';

/**
 * Whether containers can be added: the agent is ready and the datastore answers.
 *
 * @throws CNI_NOT_READY
 */
export async function checkStatus({ agent, client }: CniModules, signal: AbortSignal): Promise<void> {
	const readiness = agent.readiness();
	if (!readiness.ready) throw cniError('CNI_NOT_READY', { message: `calico-node is not ready on this host: ${readiness.reason}` });
	try {
		await client.backend.ping({ signal });
	} catch (cause) {
		throw cniError('CNI_NOT_READY', { message: 'the datastore does not answer', cause });
	}
}
