import { BUILT_IN_TIERS, type KindName } from '#resources';
import { datastoreError } from '../errors.ts';
import type { Backend, CallOptions } from '../types.ts';

const POLICY_KINDS = ['NetworkPolicy', 'GlobalNetworkPolicy'] as const satisfies readonly KindName[];

export function isBuiltInTier(name: string): name is keyof typeof BUILT_IN_TIERS {
	return Object.hasOwn(BUILT_IN_TIERS, name);
}

/** @throws DATASTORE_NOT_ALLOWED unless the tier exists */
export async function checkTierExists(backend: Backend, name: string, options?: CallOptions): Promise<void> {
	try {
		await backend.get({ type: 'resource', kind: 'Tier', name }, options);
	} catch (error) {
		if (!datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
		throw datastoreError('DATASTORE_NOT_ALLOWED', {
			message: `the tier ${name} does not exist`,
			path: 'spec.tier',
			found: name,
			allowed: 'a tier that exists, or none for the tier default',
			hint: 'create the tier first',
		});
	}
}

/** @throws DATASTORE_NOT_ALLOWED for a built-in tier, or one that a policy is in */
export async function checkTierDeletable(backend: Backend, name: string, options?: CallOptions): Promise<void> {
	if (isBuiltInTier(name))
		throw datastoreError('DATASTORE_NOT_ALLOWED', { message: `the tier ${name} is built in and can not be deleted` });
	for (const kind of POLICY_KINDS) {
		const { items, invalid } = await backend.list({ type: 'resource', kind }, options);
		for (const { value } of items) {
			const { metadata, spec } = value as { metadata: { name: string; namespace?: string }; spec: { tier?: string } };
			if (spec.tier !== name) continue;
			const policy = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
			throw datastoreError('DATASTORE_NOT_ALLOWED', {
				message: `the tier ${name} has policies, among them the ${kind} ${policy}`,
				hint: 'delete or move its policies first',
			});
		}
		const unreadable = invalid[0];
		if (unreadable !== undefined)
			throw datastoreError('DATASTORE_NOT_ALLOWED', {
				message: `whether the tier ${name} is empty can not be told: ${unreadable.storedName} is invalid and may be in it`,
				hint: 'repair or delete that policy first',
			});
	}
}
