import { z } from 'zod';
import type { Report } from '../problem.ts';
import { cidrOrIp, unique } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import type { ObjectMeta } from '../schema/metadata.ts';
import { column, nameColumn } from './columns.ts';

const spec = z.object({ nets: unique(cidrOrIp).optional() });
const netsColumn = column<{ readonly spec: { readonly nets?: readonly string[] | undefined } }>('NETS', (set) => set.spec.nets);

const NAMESPACE_LABEL = 'projectcalico.org/namespace';

/** Members of a namespace have the label by where they are, so that it can't be claimed by writing it. */
function validate({ metadata }: { readonly metadata: ObjectMeta }, report: Report): void {
	const found = metadata.labels?.[NAMESPACE_LABEL];
	if (found !== undefined) report(['metadata', 'labels', NAMESPACE_LABEL], found, 'no such label: it is implied by the namespace');
}

export const networkSet = defineKind({
	kind: 'NetworkSet',
	plural: 'networksets',
	namespaced: true,
	aliases: ['netset', 'netsets'],
	spec,
	columns: { ps: [nameColumn], wide: [nameColumn, netsColumn] },
	validate,
});

export const globalNetworkSet = defineKind({
	kind: 'GlobalNetworkSet',
	plural: 'globalnetworksets',
	aliases: ['gnetset', 'gnetsets'],
	shortNames: ['gns'],
	spec,
	columns: { ps: [nameColumn], wide: [nameColumn, netsColumn] },
	validate,
});
