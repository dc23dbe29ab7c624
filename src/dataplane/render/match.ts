/** Criteria of policy as parts of rules, on top of the kernel room's statements. */

import {
	type Field,
	inSet,
	load,
	match,
	matchPrefix,
	matchProtocol,
	matchRange,
	packKey,
	packRange,
	type SetElement,
	type SetKeyType,
} from '#kernel';
import { addressBits, type Cidr, cidrContains, cidrParts, compareCidr, type Family } from '#net';
import type { IcmpMatch, PortRange } from '#policy';
import { addressType } from '../table/element.ts';
import type { RuleExpression } from '../table/model.ts';

/** A part of a rule: all of it must hold for the rule to go on. */
export type Match = readonly RuleExpression[];

export type Side = 'source' | 'destination';

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_IPIP = 4;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** Protocols whose packets carry ports: TCP, UDP, SCTP. */
const PORT_PROTOCOLS = [6, 17, 132];

const ADDRESS_FIELDS = {
	4: { source: 'ip saddr', destination: 'ip daddr' },
	6: { source: 'ip6 saddr', destination: 'ip6 daddr' },
} as const satisfies Readonly<Record<Family, Readonly<Record<Side, Field>>>>;

const PORT_FIELDS = { source: 'th sport', destination: 'th dport' } as const satisfies Readonly<Record<Side, Field>>;

/** Whether the packet's protocol is one with ports. */
export function hasPorts(invert = false): Match {
	return oneOf('l4proto', ['inet_proto'], PORT_PROTOCOLS.map(String), { invert });
}

export function carriesPorts(protocol: number): boolean {
	return PORT_PROTOCOLS.includes(protocol);
}

export function addressInSet(family: Family, side: Side, set: string, invert = false): Match {
	return inSet([ADDRESS_FIELDS[family][side]], set, invert);
}

/** Address, protocol and port of one side are in an `address-port` set. */
export function addressAndPortInSet(family: Family, side: Side, set: string, invert = false): Match {
	return inSet([ADDRESS_FIELDS[family][side], 'l4proto', PORT_FIELDS[side]], set, invert);
}

/** The pair of input interface and source address is in a set. */
export function interfaceAndSourceInSet(family: Family, set: string): Match {
	return inSet(['iifname', ADDRESS_FIELDS[family].source], set);
}

/**
 * The address of one side is in one of some prefixes of the family.
 *
 * @param nets none of which covers another or all addresses
 */
export function addressInNets(family: Family, side: Side, nets: readonly Cidr[], invert = false): Match {
	const field = ADDRESS_FIELDS[family][side];
	const [first, ...rest] = nets;
	if (first !== undefined && rest.length === 0) return matchPrefix(field, first, invert ? 'neq' : 'eq');
	const hostsOnly = nets.every((net) => cidrParts(net).length === addressBits(family));
	const values = hostsOnly ? nets.map((net) => cidrParts(net).address) : nets;
	return oneOf(field, [addressType(family)], values, { invert, interval: !hostsOnly });
}

/** The port of one side is in one of some ranges; the protocol must be one with ports. */
export function portIn(side: Side, ranges: readonly PortRange[], invert = false): Match {
	const field = PORT_FIELDS[side];
	const merged = mergeRanges(ranges);
	const [first, ...rest] = merged;
	if (first === undefined || rest.length > 0) {
		const values = merged.map(({ min, max }) => (min === max ? String(min) : `${min}-${max}`));
		return oneOf(field, ['inet_service'], values, { invert, interval: merged.some(({ min, max }) => min !== max) });
	}
	const { key, keyEnd } = packRange(['inet_service'], [`${first.min}-${first.max}`]);
	const op = invert ? 'neq' : 'eq';
	return first.min === first.max ? match(field, key, op) : matchRange(field, key, keyEnd, op);
}

/** The packet's ICMP type, and code if given; the protocol must be the family's ICMP. Not both together when inverted. */
export function icmpIs(family: Family, { type, code }: IcmpMatch, invert = false): Match {
	const [typeField, codeField] = family === 4 ? (['icmp type', 'icmp code'] as const) : (['icmpv6 type', 'icmpv6 code'] as const);
	const values = code === undefined ? [type] : [type, code];
	if (!invert) return values.flatMap((value, index) => match(index === 0 ? typeField : codeField, Uint8Array.of(value)));
	if (code === undefined) return match(typeField, Uint8Array.of(type), 'neq');
	const key = family === 4 ? (['icmp_type', 'icmp_code'] as const) : (['icmpv6_type', 'icmpv6_code'] as const);
	const elements = [{ key: packKey(key, values.map(String)) }];
	return [load(typeField), load(codeField, 1), { kind: 'anonymous-lookup', key, interval: false, elements, sreg: 0, invert }];
}

export function icmpv6TypeIn(types: readonly number[]): Match {
	return [...matchProtocol(PROTOCOL_ICMPV6), ...oneOf('icmpv6 type', ['icmpv6_type'], types.map(String), {})];
}

/** The prefixes that no other of them covers, in order: interval sets refuse overlaps. */
export function widestNets(nets: readonly Cidr[]): Cidr[] {
	const widest: Cidr[] = [];
	for (const net of [...nets].sort(compareCidr)) {
		const last = widest.at(-1);
		if (last === undefined || !cidrContains(last, net)) widest.push(net);
	}
	return widest;
}

function oneOf(
	field: Field,
	key: readonly SetKeyType[],
	values: readonly string[],
	{ invert = false, interval = false }: { readonly invert?: boolean; readonly interval?: boolean },
): Match {
	const elements = values.map((value): SetElement => (interval ? packRange(key, [value]) : { key: packKey(key, [value]) }));
	return [load(field), { kind: 'anonymous-lookup', key, interval, elements, sreg: 0, invert }];
}

/** Ranges in order, those that overlap or touch made one: interval sets refuse overlaps. */
function mergeRanges(ranges: readonly PortRange[]): PortRange[] {
	const merged: PortRange[] = [];
	for (const range of [...ranges].sort((a, b) => a.min - b.min)) {
		const last = merged.at(-1);
		if (last !== undefined && range.min <= last.max + 1) merged[merged.length - 1] = { min: last.min, max: Math.max(last.max, range.max) };
		else merged.push(range);
	}
	return merged;
}
