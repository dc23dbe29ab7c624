import { z } from 'zod';
import { splitCidr } from '#net';
import { isCommunity } from '../fields/community.ts';
import type { Report } from '../problem.ts';
import { asNumber, cidrNetwork, filledText, integer, routePriority } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const community = filledText('a community aa:nn (each 0 to 65535) or aa:nn:mm (each 0 to 4294967295)', isCommunity).max(32);

function rules(family: 4 | 6) {
	const length = integer(0, family === 4 ? 32 : 128).optional();
	return z
		.array(
			z.object({
				action: z.enum(['Accept', 'Reject']),
				cidr: cidrNetwork
					.max(family === 4 ? 18 : 43)
					.refine((value) => (splitCidr(value)?.family ?? family) === family, { error: `an IPv${family} network` })
					.optional(),
				matchOperator: z.enum(['Equal', 'NotEqual', 'In', 'NotIn']).optional(),
				prefixLength: z.object({ min: length, max: length }).optional(),
				source: z.enum(['RemotePeers']).optional(),
				interface: filledText('an interface name or a pattern with *', (value) => /^[a-zA-Z0-9_.*-]{1,15}$/.test(value)).optional(),
				peerType: z.enum(['eBGP', 'iBGP']).optional(),
				asPathPrefix: z.array(asNumber).optional(),
				communities: z.object({ values: z.array(community).min(1).max(1) }).optional(),
				priority: routePriority.optional(),
				operations: z
					.array(
						z.object({
							addCommunity: z.object({ value: community }).optional(),
							prependASPath: z.object({ prefix: z.array(asNumber).min(1).max(10) }).optional(),
							setPriority: z.object({ value: routePriority }).optional(),
						}),
					)
					.min(1)
					.max(10)
					.optional(),
			}),
		)
		.optional();
}

const LISTS = ['exportV4', 'importV4', 'exportV6', 'importV6'] as const;

export const bgpFilter = defineKind({
	kind: 'BGPFilter',
	plural: 'bgpfilters',
	aliases: ['bgpf', 'bgpfs', 'bf', 'bfs'],
	spec: z.object({ exportV4: rules(4), importV4: rules(4), exportV6: rules(6), importV6: rules(6) }),
	columns: {
		ps: [nameColumn, ...LISTS.map((list) => column<Filter>(`NUM${list.toUpperCase()}`, ({ spec }) => spec[list]?.length ?? 0))],
	},
	validate({ spec }, report) {
		for (const list of LISTS) for (const [index, rule] of (spec[list] ?? []).entries()) validateRule(rule, ['spec', list, index], report);
	},
});

type FilterRule = NonNullable<z.infer<ReturnType<typeof rules>>>[number];
type Filter = { readonly spec: { readonly [List in (typeof LISTS)[number]]?: readonly unknown[] | undefined } };

function validateRule(
	rule: Pick<FilterRule, 'action' | 'cidr' | 'matchOperator' | 'prefixLength'> & { readonly operations?: readonly object[] | undefined },
	path: readonly (string | number)[],
	report: Report,
): void {
	if (rule.cidr !== undefined && rule.matchOperator === undefined)
		report([...path, 'matchOperator'], undefined, 'Equal, NotEqual, In or NotIn, as cidr is set');
	if (rule.cidr === undefined && rule.matchOperator !== undefined)
		report([...path, 'cidr'], undefined, 'a network, as matchOperator is set');
	if (rule.prefixLength !== undefined && rule.cidr === undefined)
		report([...path, 'prefixLength'], rule.prefixLength, 'nothing, as cidr is not set');
	if (rule.operations !== undefined && rule.action !== 'Accept')
		report([...path, 'operations'], rule.operations, 'nothing, as action is not Accept');
	for (const [index, operation] of (rule.operations ?? []).entries())
		if (Object.keys(operation).length !== 1)
			report([...path, 'operations', index], operation, 'exactly one of addCommunity, prependASPath and setPriority');
}
