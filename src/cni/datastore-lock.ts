import { type Client, datastoreError } from '#datastore';
import { cniError } from './errors.ts';

/**
 * Holds requests back while an operator has locked the datastore, and ADD also until the cluster is initialised.
 *
 * @throws CNI_TRY_AGAIN
 */
export async function requireDatastoreReady(client: Client, command: 'ADD' | 'DEL', signal: AbortSignal): Promise<void> {
	const ready = await readReady(client, signal);
	if (ready === true || (command === 'DEL' && ready === undefined)) return;
	throw cniError('CNI_TRY_AGAIN', {
		message: ready === undefined ? 'the cluster is not initialised yet' : 'the datastore is locked',
		path: 'ClusterInformation/default spec.datastoreReady',
		found: ready,
		hint:
			ready === undefined
				? 'start calico-node, which initialises it'
				: 'unlock it with "calicoctl datastore migrate unlock" when its migration is over',
	});
}

async function readReady(client: Client, signal: AbortSignal): Promise<boolean | undefined> {
	try {
		return (await client.resources.get('ClusterInformation', { name: 'default' }, { signal })).spec.datastoreReady;
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
		throw error;
	}
}
