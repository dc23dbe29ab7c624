import { z } from 'zod';
import { DEFAULT_ONLY } from '../fields/names.ts';
import { flag, integer } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const columns = [
	nameColumn,
	column<{ readonly spec: { readonly strictAffinity?: boolean | undefined } }>('STRICTAFFINITY', ({ spec }) => spec.strictAffinity),
	column<{ readonly spec: { readonly autoAllocateBlocks?: boolean | undefined } }>(
		'AUTOALLOCATEBLOCKS',
		({ spec }) => spec.autoAllocateBlocks,
	),
];

export const ipamConfiguration = defineKind({
	kind: 'IPAMConfiguration',
	plural: 'ipamconfigurations',
	aliases: ['ipamconfig', 'ipamconfigs'],
	shortNames: ['ipamconfig', 'ipamconfigs'],
	nameRule: DEFAULT_ONLY,
	singleton: 'default',
	spec: z.object({
		strictAffinity: flag.optional(),
		autoAllocateBlocks: flag.optional(),
		maxBlocksPerHost: integer(0, 1_000_000).optional(),
		kubeVirtVMAddressPersistence: z.enum(['Enabled', 'Disabled']).optional(),
		ipCooldownSeconds: integer(0, 1200).optional(),
	}),
	columns: { ps: columns, wide: [...columns, column('MAXBLOCKSPERHOST', ({ spec }) => spec.maxBlocksPerHost)] },
	defaults: ({ spec, ...rest }) => ({
		...rest,
		spec: {
			...spec,
			strictAffinity: spec.strictAffinity ?? false,
			autoAllocateBlocks: spec.autoAllocateBlocks ?? true,
			maxBlocksPerHost: spec.maxBlocksPerHost ?? 0,
		},
	}),
	validate({ spec }, report) {
		if (spec.strictAffinity === false && spec.autoAllocateBlocks === false)
			report(['spec', 'autoAllocateBlocks'], false, 'true, as strictAffinity is false');
	},
});
