import { defineErrors } from '#errors';

export const nodeError = defineErrors({
	NODE_BAD_SETTING: 'An environment variable of the node has a value that cannot be understood.',
	NODE_NO_ADDRESS: 'No address for the node was given or found on its interfaces.',
	NODE_ADDRESS_CONFLICT: 'Another node of the cluster has the same address.',
	NODE_NO_POOL_RANGE: 'Every range for a default pool overlaps with a network of this host.',
	NODE_COMPONENT: 'A component of the node stopped, did not start, or did not answer in time.',
	NODE_BAD_REQUEST: 'A request to the node API has a field that cannot be understood.',
	NODE_BUSY: 'Another instance of the node runs on this host with the same directories.',
});
