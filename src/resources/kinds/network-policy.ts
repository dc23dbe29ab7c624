import { z } from 'zod';
import { GLOBAL_NETWORK_POLICY_NAME, NETWORK_POLICY_NAME } from '../fields/names.ts';
import { flag, selector } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { validateRules } from '../schema/rule.ts';
import { column, nameColumn } from './columns.ts';
import { policyFields, tierLabel, tierOf, withPolicyDefaults } from './policy-fields.ts';

const tierColumn = column<Parameters<typeof tierOf>[0]>('TIER', tierOf);
const wideColumns = [
	nameColumn,
	tierColumn,
	column<{ readonly spec: { readonly order?: number | undefined } }>('ORDER', ({ spec }) => spec.order),
	column<{ readonly spec: { readonly selector?: string | undefined } }>('SELECTOR', ({ spec }) => spec.selector),
];

export const networkPolicy = defineKind({
	kind: 'NetworkPolicy',
	plural: 'networkpolicies',
	namespaced: true,
	aliases: ['policy', 'policies', 'np', 'pol', 'pols'],
	shortNames: ['cnp', 'caliconetworkpolicy'],
	nameRule: NETWORK_POLICY_NAME,
	spec: z.object(policyFields),
	columns: { ps: [nameColumn, tierColumn], wide: wideColumns },
	nameInAnnotation: true,
	storedLabels: tierLabel,
	defaults: withPolicyDefaults,
	validate: ({ spec }, report) => validateRules(spec, true, report),
});

export const globalNetworkPolicy = defineKind({
	kind: 'GlobalNetworkPolicy',
	plural: 'globalnetworkpolicies',
	aliases: ['gnp', 'gnps'],
	shortNames: ['gnp', 'cgnp'],
	nameRule: GLOBAL_NETWORK_POLICY_NAME,
	spec: z.object({
		...policyFields,
		namespaceSelector: selector.optional(),
		applyOnForward: flag.optional(),
		doNotTrack: flag.optional(),
		preDNAT: flag.optional(),
	}),
	columns: { ps: [nameColumn, tierColumn], wide: wideColumns },
	nameInAnnotation: true,
	storedLabels: tierLabel,
	defaults: withPolicyDefaults,
	validate({ spec }, report) {
		validateRules(spec, false, report);
		if (spec.doNotTrack === true && spec.preDNAT === true) report(['spec', 'preDNAT'], true, 'false, as doNotTrack is true');
		for (const field of ['doNotTrack', 'preDNAT'] as const)
			if (spec[field] === true && spec.applyOnForward !== true)
				report(['spec', 'applyOnForward'], spec.applyOnForward, `true, as ${field} is true`);
		if (spec.preDNAT !== true) return;
		if (spec.egress !== undefined && spec.egress.length > 0) report(['spec', 'egress'], spec.egress, 'no egress rules, as preDNAT is true');
		for (const [index, type] of (spec.types ?? []).entries())
			if (type === 'Egress') report(['spec', 'types', index], type, 'Ingress only, as preDNAT is true');
	},
});
