import { isDeepStrictEqual } from 'node:util';
import { type Client, datastoreError } from '#datastore';
import { type AnyResource, API_VERSION, type FelixConfiguration } from '#resources';

const MAX_TRIES = 5;

/** Makes the objects that every cluster has, and completes those that lack a field; what users set stays. */
export async function writeDefaults(client: Client, nodeName: string, signal: AbortSignal): Promise<void> {
	await complete(client, felixConfiguration('default', { reportingInterval: '0s', logSeverityScreen: 'Info' }), signal);
	await complete(client, felixConfiguration(`node.${nodeName}`, { defaultEndpointToHostAction: 'Return' }), signal);
	await complete(client, { apiVersion: API_VERSION, kind: 'BGPConfiguration', metadata: { name: 'default' }, spec: {} }, signal);
	await complete(
		client,
		{
			apiVersion: API_VERSION,
			kind: 'IPAMConfiguration',
			metadata: { name: 'default' },
			spec: { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0, kubeVirtVMAddressPersistence: 'Enabled' },
		},
		signal,
	);
}

function felixConfiguration(name: string, spec: FelixConfiguration['spec']): FelixConfiguration {
	return { apiVersion: API_VERSION, kind: 'FelixConfiguration', metadata: { name }, spec };
}

/** Creates the object, or adds the fields that a stored one does not have. */
async function complete(client: Client, wanted: AnyResource, signal: AbortSignal): Promise<void> {
	for (let tries = 1; ; tries++) {
		try {
			const stored = await client.resources.get(wanted.kind, wanted.metadata, { signal });
			const spec = { ...wanted.spec, ...stored.spec };
			if (!isDeepStrictEqual(spec, stored.spec)) await client.resources.update({ ...stored, spec } as AnyResource, { signal });
			return;
		} catch (error) {
			if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) {
				if (await created(client, wanted, signal)) return;
			} else if (!datastoreError.is(error, 'DATASTORE_CONFLICT')) throw error;
			if (tries >= MAX_TRIES) throw error;
		}
	}
}

async function created(client: Client, wanted: AnyResource, signal: AbortSignal): Promise<boolean> {
	try {
		await client.resources.create(wanted, { signal });
		return true;
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_EXISTS')) return false;
		throw error;
	}
}
