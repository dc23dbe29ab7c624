import { defineErrors } from '#errors';

/** None of these is thrown: they are collected, and what they are about fails closed. */
export const policyError = defineErrors({
	POLICY_BAD_SELECTOR:
		'A selector of a stored policy cannot be read; the last good state stays, or the policy denies what the rest of it selects.',
	POLICY_BAD_RULE:
		'A rule of a stored policy or profile cannot be enforced: an Allow or Log is left out, a Deny or Pass denies everything.',
	POLICY_BAD_ENDPOINT: 'A stored workload endpoint cannot be used; it counts as absent, so its interface gets no traffic.',
	POLICY_BAD_NET: 'A network of a stored network set or IP pool cannot be read; it is left out.',
	POLICY_BAD_CONVERSION: 'A part of a Kubernetes NetworkPolicy cannot be converted; nothing is allowed on its account.',
});
