import { z } from 'zod';
import { order, resourceName, selector, unique } from '../schema/field.ts';
import { type Rule, ruleSchema } from '../schema/rule.ts';

/** The fields that every policy kind has. */
export const policyFields = {
	tier: resourceName.optional(),
	order: order.optional(),
	selector: selector.optional(),
	serviceAccountSelector: selector.optional(),
	types: unique(z.enum(['Ingress', 'Egress']), 2)
		.min(1)
		.optional(),
	ingress: z.array(ruleSchema).max(1024).optional(),
	egress: z.array(ruleSchema).max(1024).optional(),
	performanceHints: unique(z.enum(['AssumeNeededOnEveryNode'])).optional(),
};

interface PolicySpec {
	readonly tier?: string | undefined;
	readonly types?: readonly ('Ingress' | 'Egress')[] | undefined;
	readonly ingress?: readonly Rule[] | undefined;
	readonly egress?: readonly Rule[] | undefined;
}

export const DEFAULT_TIER = 'default';

/** A policy with its tier and its directions: those that it has rules for, ingress where it has none. */
export function withPolicyDefaults<R extends { readonly spec: PolicySpec }>(policy: R): R {
	const { types, ingress = [], egress = [] } = policy.spec;
	const directions: ('Ingress' | 'Egress')[] = [];
	if (ingress.length > 0 || egress.length === 0) directions.push('Ingress');
	if (egress.length > 0) directions.push('Egress');
	return {
		...policy,
		spec: { ...policy.spec, tier: tierOf(policy), types: types === undefined || types.length === 0 ? directions : types },
	};
}

/** The label by which policies of a tier are found. */
export function tierLabel(policy: { readonly spec: PolicySpec }): Readonly<Record<string, string>> {
	return { 'projectcalico.org/tier': tierOf(policy) };
}

export function tierOf(policy: { readonly spec: PolicySpec }): string {
	return policy.spec.tier === undefined || policy.spec.tier === '' ? DEFAULT_TIER : policy.spec.tier;
}
