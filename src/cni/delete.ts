import { releaseHandle } from './addresses.ts';
import { removeContainerEnd, removeHostInterface } from './container-interface.ts';
import { requireDatastoreReady } from './datastore-lock.ts';
import { type EndpointIdentity, tryEndpointIdentity } from './endpoint.ts';
import { deleteEndpoint } from './endpoint-store.ts';
import type { CniModules, CniSettings, ContainerCall } from './modules.ts';

/**
 * Detaches a container, whatever of it is left. What another container of the same pod has by now stays.
 *
 * @throws errors of the rooms below, so that the runtime tries again; never for what is gone already
 */
export async function deleteContainer(modules: CniModules, settings: CniSettings, call: ContainerCall, signal: AbortSignal): Promise<void> {
	const { config, attachment, namespaceFd } = call;
	const identity = tryEndpointIdentity(settings.nodeName, config.name, attachment);
	if (identity === undefined) return;
	await requireDatastoreReady(modules.client, 'DEL', signal);
	const { isLast } = await removeAttachment(modules, identity, attachment.containerId, signal);
	if (namespaceFd !== undefined) removeContainerEnd(namespaceFd, attachment.ifName);
	// releases before v3.5 named handles after the pod
	const { pod } = attachment.args;
	if (isLast && pod !== undefined) await releaseHandle(modules, `${pod.namespace}.${pod.name}`, signal);
}

/**
 * Removes endpoint, interface and addresses, in an order in which nobody else gets the address before the interface is
 * gone.
 *
 * @returns whether the endpoint went with its container; false if it is another container's by now
 */
export async function removeAttachment(
	modules: CniModules,
	identity: EndpointIdentity,
	containerId: string,
	signal: AbortSignal,
): Promise<{ readonly isLast: boolean }> {
	const isLast = await deleteEndpoint(modules.client, identity, containerId, signal);
	if (isLast) removeHostInterface(modules.host, identity.interfaceName);
	await releaseHandle(modules, identity.handleId, signal);
	return { isLast };
}
