import { defineErrors } from '#errors';

export const felixError = defineErrors({
	FELIX_BAD_SETTING: 'A setting of Felix has a value that cannot be used and that has no safe default.',
	FELIX_NOT_READY: 'Felix cannot take an endpoint yet: the datastore or the kernel has not been read, or the datastore is locked.',
	FELIX_REFUSED: 'An endpoint cannot be enforced as it is stored.',
	FELIX_TIMEOUT: 'The rules of an endpoint did not reach the kernel in time.',
});
