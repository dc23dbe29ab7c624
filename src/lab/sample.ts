import { API_VERSION, type NetworkPolicy } from '#resources';

/** The policy that the lab shows: only clients of the shop reach its web servers, and only on port 80. */
export const SAMPLE_POLICY: NetworkPolicy = {
	apiVersion: API_VERSION,
	kind: 'NetworkPolicy',
	metadata: { name: 'web-for-clients', namespace: 'shop' },
	spec: {
		selector: "app == 'web'",
		types: ['Ingress'],
		ingress: (['TCP', 'UDP'] as const).map((protocol) => ({
			action: 'Allow',
			protocol,
			source: { selector: "app == 'client'" },
			destination: { ports: [80] },
		})),
	},
};
