import { z } from 'zod';
import { defineKind } from '../schema/kind.ts';
import { validateLabels } from '../schema/metadata.ts';
import { ruleSchema, validateRules } from '../schema/rule.ts';
import { column, nameColumn } from './columns.ts';

/** The profile that is built in: it allows both ways. */
export const DEFAULT_ALLOW_PROFILE = 'projectcalico-default-allow';

export const profile = defineKind({
	kind: 'Profile',
	plural: 'profiles',
	aliases: ['pro', 'pros'],
	spec: z.object({
		ingress: z.array(ruleSchema).max(1024).optional(),
		egress: z.array(ruleSchema).max(1024).optional(),
		labelsToApply: z.record(z.string(), z.string()).optional(),
	}),
	columns: {
		ps: [nameColumn],
		wide: [
			nameColumn,
			column('LABELS', ({ spec }) => Object.entries<string>(spec.labelsToApply ?? {}).map(([key, value]) => `${key}=${value}`)),
		],
	},
	validate({ metadata, spec }, report) {
		if (metadata.name === DEFAULT_ALLOW_PROFILE)
			report(['metadata', 'name'], metadata.name, 'any other name: this profile is built in and cannot be written');
		validateRules(spec, false, report);
		validateLabels(spec.labelsToApply, ['spec', 'labelsToApply'], report);
	},
});
