import { z } from 'zod';
import { LABEL_NAME } from '../fields/names.ts';
import { condition, order } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

/** The tiers that every cluster has, with the values that they must keep. */
export const BUILT_IN_TIERS = {
	default: { order: 1_000_000, defaultAction: 'Deny' },
	'kube-admin': { order: 1000, defaultAction: 'Pass' },
	'kube-baseline': { order: 10_000_000, defaultAction: 'Pass' },
} as const;

export const tier = defineKind({
	kind: 'Tier',
	plural: 'tiers',
	aliases: [],
	nameRule: LABEL_NAME,
	spec: z.object({ order: order.optional(), defaultAction: z.enum(['Deny', 'Pass']).optional() }),
	status: z.object({ conditions: z.array(condition).optional() }),
	columns: { ps: [nameColumn, column('ORDER', ({ spec }) => spec.order)] },
	defaults({ spec, ...rest }) {
		const fixed = builtIn(rest.metadata.name);
		return {
			...rest,
			spec: { ...spec, order: spec.order ?? fixed?.order, defaultAction: spec.defaultAction ?? fixed?.defaultAction ?? 'Deny' },
		};
	},
	validate({ metadata, spec }, report) {
		const fixed = builtIn(metadata.name);
		for (const field of ['order', 'defaultAction'] as const)
			if (fixed !== undefined && spec[field] !== fixed[field])
				report(['spec', field], spec[field], `${fixed[field]}, as the tier ${metadata.name} is built in`);
	},
});

function builtIn(name: string): { readonly order: number; readonly defaultAction: 'Deny' | 'Pass' } | undefined {
	return Object.hasOwn(BUILT_IN_TIERS, name) ? BUILT_IN_TIERS[name as keyof typeof BUILT_IN_TIERS] : undefined;
}
