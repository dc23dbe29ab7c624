import { type Client, datastoreError, type Revision } from '#datastore';
import { type WorkloadEndpoint, workloadEndpointNamePrefix } from '#resources';
import { type EndpointIdentity, isSiblingInterface } from './endpoint.ts';
import type { Attachment } from './environment.ts';
import { cniError } from './errors.ts';

/** Writers that race for one endpoint are few: the agent's own requests come one by one. */
const MAX_TRIES = 6;

/**
 * The endpoint of that name, whichever container it was for.
 *
 * @throws CNI_BAD_ENVIRONMENT if the container is attached by another interface already: the host's end is named after the pod alone
 */
export async function findEndpoint(
	client: Client,
	identity: EndpointIdentity,
	attachment: Attachment,
	signal: AbortSignal,
): Promise<WorkloadEndpoint | undefined> {
	const { node, orchestrator, namespace } = identity;
	const namePrefix = workloadEndpointNamePrefix({
		node,
		orchestrator,
		pod: attachment.args.pod?.name,
		containerID: attachment.containerId,
	});
	const { items } = await client.resources.list('WorkloadEndpoint', { namespace, namePrefix }, { signal });
	const sibling = items.find((item) => item.spec.containerID === attachment.containerId && isSiblingInterface(identity, item));
	if (sibling !== undefined)
		throw cniError('CNI_BAD_ENVIRONMENT', {
			message: `the container is attached by ${sibling.spec.endpoint} already, and one interface is all it can have here`,
			path: 'CNI_IFNAME',
			found: attachment.ifName,
			allowed: sibling.spec.endpoint,
		});
	return items.find((item) => item.metadata.name === identity.name);
}

/** Writes the endpoint over whatever stands under its name. @returns it as stored */
export async function storeEndpoint(client: Client, endpoint: WorkloadEndpoint, signal: AbortSignal): Promise<WorkloadEndpoint> {
	return retryConflicts(async () => {
		const current = await getEndpoint(client, endpoint.metadata, signal);
		if (current === 'invalid') await client.resources.delete('WorkloadEndpoint', endpoint.metadata, undefined, { signal });
		if (current === undefined || current === 'invalid') return client.resources.create(endpoint, { signal });
		const { resourceVersion, uid, creationTimestamp } = current.metadata;
		return client.resources.update(
			{ ...endpoint, metadata: { ...endpoint.metadata, resourceVersion, uid, creationTimestamp } },
			{ signal },
		);
	});
}

/**
 * Deletes the endpoint if it is that container's.
 *
 * @returns false if it was left, as it is another container's by now
 */
export async function deleteEndpoint(
	client: Client,
	identity: Pick<EndpointIdentity, 'namespace' | 'name'>,
	containerId: string,
	signal: AbortSignal,
): Promise<boolean> {
	return retryConflicts(async () => {
		const current = await getEndpoint(client, identity, signal);
		if (current === undefined) return true;
		if (current !== 'invalid' && (current.spec.containerID ?? '') !== '' && current.spec.containerID !== containerId) return false;
		const revision = current === 'invalid' ? undefined : (current.metadata.resourceVersion as Revision);
		await client.resources.delete('WorkloadEndpoint', identity, revision, { signal });
		return true;
	});
}

/** The endpoint, or `invalid` for one that cannot be read and so is of no use to anybody. */
async function getEndpoint(
	client: Client,
	name: { readonly namespace?: string | undefined; readonly name: string },
	signal: AbortSignal,
): Promise<WorkloadEndpoint | 'invalid' | undefined> {
	try {
		return await client.resources.get('WorkloadEndpoint', name, { signal });
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
		if (datastoreError.is(error, 'DATASTORE_INVALID_ENTRY')) return 'invalid';
		throw error;
	}
}

async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
	for (let tries = 1; ; tries++) {
		try {
			return await change();
		} catch (error) {
			const raced = datastoreError.is(error) && ['DATASTORE_EXISTS', 'DATASTORE_CONFLICT', 'DATASTORE_NOT_FOUND'].includes(error.code);
			if (!raced || tries >= MAX_TRIES) throw error;
		}
	}
}
