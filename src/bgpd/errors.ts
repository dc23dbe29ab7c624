import { defineErrors } from '#errors';

export const bgpdError = defineErrors({
	BGPD_TABLE_CHANGED: 'The kernel routing table of a running BGP daemon was changed in its configuration.',
});
