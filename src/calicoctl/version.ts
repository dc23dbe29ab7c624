import { datastoreError, type ResourceClient } from '#datastore';

/**
 * The versions of this program and of the cluster.
 *
 * @param clientVersion of this program
 * @param resources undefined to ask no datastore
 */
export async function versionText(clientVersion: string, resources: ResourceClient | undefined): Promise<string> {
	const client = `Client Version:    v${clientVersion}\n`;
	if (resources === undefined) return client;
	try {
		const { spec } = await resources.get('ClusterInformation', { name: 'default' });
		return `${client}Cluster Version:   ${spec.calicoVersion ?? 'unknown'}\nCluster Type:      ${spec.clusterType ?? 'unknown'}\n`;
	} catch (error) {
		if (!datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
		return `${client}Cluster Version:   unknown: the cluster has no ClusterInformation yet\n`;
	}
}
