import { z } from 'zod';
import { type Cidr, cidr, cidrFamily, cidrParts, cidrsOverlap, parseCidr } from '#net';
import { parseSelector } from '#selector';
import type { Report } from '../problem.ts';
import { isRecord } from '../schema/conform.ts';
import { cidrNetwork, condition, flag, integer, selector, unique } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const encapsulation = z.enum(['Never', 'Always', 'CrossSubnet']);

const LINK_LOCAL: readonly Cidr[] = [cidr('169.254.0.0/16'), cidr('fe80::/10')];
const DEFAULT_USES = ['Workload', 'Tunnel'] as const;
const BLOCK_SIZE = { 4: { min: 20, max: 32, default: 26 }, 6: { min: 116, max: 128, default: 122 } } as const;

export const ipPool = defineKind({
	kind: 'IPPool',
	plural: 'ippools',
	aliases: ['ipp', 'ipps', 'pool', 'pools'],
	spec: z.object({
		cidr: cidrNetwork,
		vxlanMode: encapsulation.optional(),
		ipipMode: encapsulation.optional(),
		natOutgoing: flag.optional(),
		disabled: flag.optional(),
		disableBGPExport: flag.optional(),
		blockSize: integer(0, 128).optional(),
		nodeSelector: selector.optional(),
		namespaceSelector: selector.optional(),
		allowedUses: unique(z.enum(['Workload', 'Tunnel', 'LoadBalancer']), 10).optional(),
		assignmentMode: z.enum(['Automatic', 'Manual']).optional(),
	}),
	status: z.object({ conditions: z.array(condition).optional() }),
	columns: {
		ps: [nameColumn, column('CIDR', ({ spec }) => spec.cidr), column('SELECTOR', ({ spec }) => spec.nodeSelector)],
		wide: [
			nameColumn,
			column('CIDR', ({ spec }) => spec.cidr),
			column('NAT', ({ spec }) => spec.natOutgoing ?? false),
			column('IPIPMODE', ({ spec }) => spec.ipipMode ?? 'Never'),
			column('VXLANMODE', ({ spec }) => spec.vxlanMode ?? 'Never'),
			column('DISABLED', ({ spec }) => spec.disabled ?? false),
			column('DISABLEBGPEXPORT', ({ spec }) => spec.disableBGPExport ?? false),
			column('SELECTOR', ({ spec }) => spec.nodeSelector),
			column('ASSIGNMENTMODE', ({ spec }) => spec.assignmentMode ?? 'Automatic'),
		],
	},
	upgradeSpec,
	defaults({ spec, ...rest }) {
		const prefix = parseCidr(spec.cidr);
		return {
			...rest,
			spec: {
				...spec,
				vxlanMode: spec.vxlanMode ?? 'Never',
				ipipMode: spec.ipipMode ?? 'Never',
				blockSize: spec.blockSize ?? (prefix === undefined ? undefined : BLOCK_SIZE[cidrFamily(prefix)].default),
				nodeSelector: spec.nodeSelector === undefined || spec.nodeSelector === '' ? 'all()' : spec.nodeSelector,
				allowedUses: spec.allowedUses === undefined || spec.allowedUses.length === 0 ? DEFAULT_USES : spec.allowedUses,
				assignmentMode: spec.assignmentMode ?? 'Automatic',
			},
		};
	},
	validate({ spec }, report) {
		const prefix = cidr(spec.cidr);
		const family = cidrFamily(prefix);
		for (const reserved of LINK_LOCAL)
			if (cidrsOverlap(prefix, reserved)) report(['spec', 'cidr'], spec.cidr, `a network outside ${reserved}, which is link-local`);
		validateBlockSize(spec, prefix, report);
		if (encapsulates(spec.ipipMode) && encapsulates(spec.vxlanMode))
			report(['spec', 'vxlanMode'], spec.vxlanMode, 'Never, as ipipMode is set: one encapsulation at a time');
		if (encapsulates(spec.ipipMode) && family === 6)
			report(['spec', 'ipipMode'], spec.ipipMode, 'Never, as the pool is IPv6', 'use vxlanMode for IPv6');
		validateUses(spec, report);
	},
});

type Spec = Parameters<typeof ipPool.validate>[0]['spec'];

/** Older pools have `ipip: {enabled, mode}` and `nat-outgoing`. */
function upgradeSpec(spec: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
	const { ipip, 'nat-outgoing': natOutgoing, ...rest } = spec;
	const upgraded: Record<string, unknown> = rest;
	if (typeof natOutgoing === 'boolean') upgraded['natOutgoing'] ??= natOutgoing;
	else if (natOutgoing !== undefined) upgraded['nat-outgoing'] = natOutgoing;
	if (isRecord(ipip))
		upgraded['ipipMode'] ??= ipip['enabled'] === true ? (ipip['mode'] === 'cross-subnet' ? 'CrossSubnet' : 'Always') : 'Never';
	else if (ipip !== undefined) upgraded['ipip'] = ipip;
	return upgraded;
}

function validateBlockSize(spec: Spec, prefix: Cidr, report: Report): void {
	const { min, max } = BLOCK_SIZE[cidrFamily(prefix)];
	const { length } = cidrParts(prefix);
	if (spec.blockSize === undefined) return;
	if (spec.blockSize < min || spec.blockSize > max)
		report(['spec', 'blockSize'], spec.blockSize, `${min} to ${max} for an IPv${cidrFamily(prefix)} pool`);
	else if (length > spec.blockSize && spec.disabled !== true)
		report(
			['spec', 'cidr'],
			spec.cidr,
			`a network that holds a block: a prefix of at most ${spec.blockSize} bits`,
			`the pool's blockSize is ${spec.blockSize}`,
		);
}

function validateUses(spec: Spec, report: Report): void {
	const uses = spec.allowedUses ?? [];
	if (uses.includes('Tunnel') && spec.namespaceSelector !== undefined && spec.namespaceSelector !== '')
		report(['spec', 'namespaceSelector'], spec.namespaceSelector, 'nothing, as allowedUses has Tunnel', 'set allowedUses to [Workload]');
	if (!uses.includes('LoadBalancer')) return;
	if (uses.length > 1) report(['spec', 'allowedUses'], uses, 'LoadBalancer alone, or Workload and Tunnel without it');
	for (const field of ['ipipMode', 'vxlanMode'] as const)
		if (encapsulates(spec[field])) report(['spec', field], spec[field], 'Never, as allowedUses is LoadBalancer');
	if (spec.disableBGPExport === true) report(['spec', 'disableBGPExport'], true, 'false, as allowedUses is LoadBalancer');
	if (parseSelector(spec.nodeSelector ?? '').text !== 'all()')
		report(['spec', 'nodeSelector'], spec.nodeSelector, 'all(), as allowedUses is LoadBalancer');
}

function encapsulates(mode: string | undefined): boolean {
	return mode !== undefined && mode !== 'Never';
}
