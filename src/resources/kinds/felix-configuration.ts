import { defineKind } from '../schema/kind.ts';
import { nameColumn } from './columns.ts';
import { felixConfigurationSpec } from './felix-configuration-spec.ts';

const MAX_ROUTE_TABLES = 65_535;

export const felixConfiguration = defineKind({
	kind: 'FelixConfiguration',
	plural: 'felixconfigurations',
	aliases: ['felixconfig', 'felixconfigs'],
	shortNames: ['felixconfig', 'felixconfigs'],
	spec: felixConfigurationSpec,
	columns: { ps: [nameColumn] },
	validate({ metadata, spec }, report) {
		const ofOneScope = metadata.name === 'default' || metadata.name.startsWith('node.');
		if (ofOneScope && spec.nodeSelector !== undefined && spec.nodeSelector !== '')
			report(['spec', 'nodeSelector'], spec.nodeSelector, 'nothing: default is for all nodes, and node.<name> for one');
		if (spec.routeTableRange !== undefined && spec.routeTableRanges !== undefined)
			report(['spec', 'routeTableRange'], spec.routeTableRange, 'nothing, as routeTableRanges is set');
		if (spec.routeTableRange !== undefined && spec.routeTableRange.min > spec.routeTableRange.max)
			report(['spec', 'routeTableRange', 'max'], spec.routeTableRange.max, `at least ${spec.routeTableRange.min}, which is min`);
		let tables = 0;
		for (const [index, { min, max }] of (spec.routeTableRanges ?? []).entries()) {
			if (min > max) report(['spec', 'routeTableRanges', index, 'max'], max, `at least ${min}, which is min`);
			tables += Math.max(0, max - min + 1);
		}
		if (tables > MAX_ROUTE_TABLES)
			report(['spec', 'routeTableRanges'], spec.routeTableRanges, `at most ${MAX_ROUTE_TABLES} tables in all; these are ${tables}`);
	},
});
