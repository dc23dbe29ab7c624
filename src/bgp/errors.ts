import { defineErrors } from '#errors';

export const bgpError = defineErrors({
	BGP_BAD_CONFIG: 'A router configuration contradicts itself or holds a value outside its range.',
});
