import { API_VERSION, DEFAULT_ALLOW_PROFILE } from '#resources';
import { datastoreError } from './errors.ts';
import type { Key, KeyValue, ResourceKey, Revision } from './types.ts';

/** The profile that allows both ways. It is listed and read like any other, but never stored. */
export const DEFAULT_PROFILE_ENTRY: KeyValue<ResourceKey> = {
	key: { type: 'resource', kind: 'Profile', name: DEFAULT_ALLOW_PROFILE },
	value: {
		apiVersion: API_VERSION,
		kind: 'Profile',
		metadata: { name: DEFAULT_ALLOW_PROFILE, resourceVersion: '0' },
		spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
	},
	revision: '0' as Revision,
};

export function isDefaultProfile(key: Key): boolean {
	return key.type === 'resource' && key.kind === 'Profile' && key.name === DEFAULT_ALLOW_PROFILE;
}

/** @throws DATASTORE_UNSUPPORTED if the key is that of the built-in profile */
export function refuseDefaultProfile(key: Key): void {
	if (isDefaultProfile(key))
		throw datastoreError('DATASTORE_UNSUPPORTED', {
			message: `the profile ${DEFAULT_ALLOW_PROFILE} is built in and can be neither changed nor deleted`,
			hint: 'make a profile of another name',
		});
}
