import { explainError } from '#errors';
import type { WorkloadEndpoint } from '#resources';
import { containersOnNode, releaseHandle } from './addresses.ts';
import type { NetworkConfig, ValidAttachment } from './config.ts';
import { removeAttachment } from './delete.ts';
import { type EndpointIdentity, handleOf } from './endpoint.ts';
import { cniError } from './errors.ts';
import type { CniModules, CniSettings } from './modules.ts';

/**
 * Removes what is left of containers that the runtime does not list any more, of this network and on this node. Runs
 * alone, so that no ADD is half way.
 *
 * @throws CNI_BAD_CONFIG without a list: nothing listed would mean that everything goes; CNI_FAILED naming what could not be removed
 */
export async function collectGarbage(
	modules: CniModules,
	settings: CniSettings,
	config: NetworkConfig,
	signal: AbortSignal,
): Promise<void> {
	const living = requireValidAttachments(config);
	const attachments = new Set(living.map(({ containerID, ifname }) => `${containerID} ${ifname}`));
	const containers = new Set(living.map(({ containerID }) => containerID));
	// IPAM alone knows to which network a container belongs
	const ofNetwork = await containersOnNode(modules, settings.nodeName, config.name, signal);

	const failures: string[] = [];
	const attempt = async (what: string, step: () => Promise<unknown>): Promise<void> => {
		try {
			await step();
		} catch (error) {
			failures.push(`${what}: ${explainError(error)}`);
		}
	};
	const { items } = await modules.client.resources.list('WorkloadEndpoint', {}, { signal });
	for (const endpoint of items) {
		const { containerID = '', endpoint: ifName = '', node } = endpoint.spec;
		if (node !== settings.nodeName || !ofNetwork.has(containerID) || attachments.has(`${containerID} ${ifName}`)) continue;
		modules.logger.info({ endpoint: endpoint.metadata.name, containerId: containerID }, 'garbage collection removes an endpoint');
		await attempt(endpoint.metadata.name, () => removeAttachment(modules, identityOf(endpoint, config.name), containerID, signal));
		ofNetwork.delete(containerID);
	}
	for (const containerId of ofNetwork)
		if (!containers.has(containerId)) await attempt(containerId, () => releaseHandle(modules, handleOf(config.name, containerId), signal));
	if (failures.length > 0) throw cniError('CNI_FAILED', { message: `not all could be removed: ${failures.join('; ')}` });
}

/** @throws CNI_BAD_CONFIG */
export function requireValidAttachments({ validAttachments }: NetworkConfig): readonly ValidAttachment[] {
	if (validAttachments !== undefined) return validAttachments;
	throw cniError('CNI_BAD_CONFIG', {
		message: 'the list of the attachments that still live is missing',
		path: 'cni.dev/valid-attachments',
		allowed: 'a list of {containerID, ifname}, empty if none lives',
	});
}

function identityOf({ metadata, spec }: WorkloadEndpoint, network: string): EndpointIdentity {
	return {
		node: spec.node ?? '',
		orchestrator: spec.orchestrator === 'k8s' ? 'k8s' : 'cni',
		namespace: metadata.namespace ?? 'default',
		name: metadata.name,
		interfaceName: spec.interfaceName ?? '',
		handleId: handleOf(network, spec.containerID ?? ''),
	};
}
