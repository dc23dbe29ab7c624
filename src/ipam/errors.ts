import { defineErrors } from '#errors';

export const ipamError = defineErrors({
	IPAM_NO_POOL: 'No enabled pool may give the host an address of the wanted kind.',
	IPAM_UNKNOWN_POOL: 'A pool that was asked for does not exist or is disabled.',
	IPAM_UNKNOWN_NODE: 'The host that asks for addresses has no Node resource.',
	IPAM_NOT_IN_POOL: 'An address that was asked for is in no enabled pool.',
	IPAM_ASSIGNED: 'An address that was asked for is already assigned.',
	IPAM_NOT_AFFINE: 'With strict affinity a host can not take an address from a block that is not its own.',
	IPAM_CLAIMED: 'A block is claimed by another host.',
	IPAM_BLOCK_LIMIT: 'A host may not claim another block.',
	IPAM_NO_FREE_BLOCK: 'No pool has a block that the host could claim.',
	IPAM_BLOCK_IN_USE: 'A block that should be given up only when it is empty has addresses in use.',
	IPAM_BAD_HANDLE: 'An address to be released belongs to another handle.',
	IPAM_BAD_SEQUENCE: 'An address to be released has been assigned anew since it was read.',
	IPAM_CONTENTION: 'Too many others changed the same data; the request may be repeated.',
	IPAM_BAD_REQUEST: 'A request contradicts itself or the configuration.',
});
