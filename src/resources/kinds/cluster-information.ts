import { z } from 'zod';
import { DEFAULT_ONLY } from '../fields/names.ts';
import { anyText, flag } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

export const clusterInformation = defineKind({
	kind: 'ClusterInformation',
	plural: 'clusterinformations',
	aliases: ['clusterinfo', 'clusterinfos'],
	shortNames: ['clusterinfo', 'clusterinfos'],
	nameRule: DEFAULT_ONLY,
	singleton: 'default',
	spec: z.object({
		clusterGUID: anyText.optional(),
		clusterType: anyText.optional(),
		calicoVersion: anyText.optional(),
		datastoreReady: flag.optional(),
		variant: anyText.optional(),
	}),
	columns: {
		ps: [
			nameColumn,
			column('CLUSTERGUID', ({ spec }) => spec.clusterGUID),
			column('CLUSTERTYPE', ({ spec }) => spec.clusterType),
			column('CALICOVERSION', ({ spec }) => spec.calicoVersion),
			column('DATASTOREREADY', ({ spec }) => spec.datastoreReady),
		],
	},
});
