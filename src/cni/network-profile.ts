import { type Client, datastoreError } from '#datastore';
import { API_VERSION, type Profile } from '#resources';
import type { NetworkConfig } from './config.ts';
import type { EndpointIdentity } from './endpoint.ts';

/**
 * Makes the profile that endpoints of a network have when their policy does not come from Kubernetes: everything out,
 * and in from its own network, or from everywhere for pods. One that exists is left as it is.
 */
export async function ensureNetworkProfile(
	client: Client,
	{ orchestrator }: EndpointIdentity,
	config: NetworkConfig,
	signal: AbortSignal,
): Promise<void> {
	if (config.policyType === 'k8s') return;
	const ingress =
		orchestrator === 'k8s' ? { action: 'Allow' as const } : { action: 'Allow' as const, source: { selector: `has(${config.name})` } };
	const profile: Profile = {
		apiVersion: API_VERSION,
		kind: 'Profile',
		metadata: { name: config.name },
		spec: { ingress: [ingress], egress: [{ action: 'Allow' }], labelsToApply: { [config.name]: '' } },
	};
	try {
		await client.resources.get('Profile', profile.metadata, { signal });
	} catch (error) {
		if (!datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
		await client.resources.create(profile, { signal }).catch((failure: unknown) => {
			if (!datastoreError.is(failure, 'DATASTORE_EXISTS')) throw failure;
		});
	}
}
