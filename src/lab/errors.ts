import { defineErrors } from '#errors';

export const labError = defineErrors({
	LAB_BAD_OPTION: 'An option or argument of the lab command is unknown or out of range.',
	LAB_NOT_ROOT: 'The lab makes network namespaces, which takes root.',
	LAB_ALREADY_UP: 'A lab of that name is up, or being started by another process.',
	LAB_NOT_UP: 'There is no lab of that name.',
	LAB_UNKNOWN_MEMBER: 'The lab has no node, router or pod of that name.',
	LAB_FABRIC_FAILED: 'The kernel refused a part of the fabric.',
	LAB_PROCESS_FAILED: 'A process of the lab ended by itself, or did not start.',
	LAB_TIMEOUT: 'Something in the lab did not happen within its limit.',
	LAB_CNI_FAILED: 'The CNI plugin gave an error.',
	LAB_CHECK_FAILED: 'The lab did not behave as the policy engine and the fabric say it should.',
});
