import { accept, matchFamily, matchProtocol, returnToCaller, setMark } from '#kernel';
import { type Cidr, cidrFamily, cidrParts, type Family } from '#net';
import type { CompiledRule, EntityMatch, IpSetId, IpSetType } from '#policy';
import type { RuleModel } from '../table/model.ts';
import {
	addressAndPortInSet,
	addressInNets,
	addressInSet,
	carriesPorts,
	hasPorts,
	icmpIs,
	type Match,
	PROTOCOL_ICMP,
	PROTOCOL_ICMPV6,
	portIn,
	type Side,
	widestNets,
} from './match.ts';

/** What a rule needs to know of its surroundings. */
export interface RuleContext {
	readonly family: Family;
	/** The kernel's names of the sets that hold an IP set's members of the family; they have none in common. */
	readonly setNames: (id: IpSetId, type: IpSetType) => readonly string[];
	readonly deny: Match;
	readonly log: Match;
	readonly passBit: number;
}

/** Alternatives of which at most one holds for any packet; none at all when the criterion can never hold. */
type Criterion = readonly Match[];

/** No criterion: it always holds. */
const ALWAYS: Criterion = [[]];
const NEVER: Criterion = [];

/** Criteria that look at the address, alone or with the port. */
const ADDRESS_CRITERIA = ['nets', 'notNets', 'sets', 'notSets', 'namedPorts', 'notNamedPorts'] as const;

const ALL_BITS = 0xffffffff;

/**
 * The rules of one family that do what a policy rule says. More than one where criteria with alternatives ("this port
 * or that named one") have no single expression; none where the rule cannot apply to the family.
 */
export function renderRule(rule: CompiledRule, context: RuleContext): RuleModel[] {
	if (rule.ipVersion !== undefined && rule.ipVersion !== context.family) return [];
	let matches: Criterion = ALWAYS;
	for (const criterion of criteriaOf(rule, context)) matches = matches.flatMap((match) => criterion.map((more) => [...match, ...more]));
	const action = renderAction(rule, context);
	return matches.map((match) => [...match, ...action]);
}

/** Whether a list of rules can pass a packet on to the next tier. */
export function canPass(rules: readonly CompiledRule[]): boolean {
	return rules.some(({ action }) => action === 'Pass');
}

function renderAction(rule: CompiledRule, { deny, log, passBit }: RuleContext): Match {
	switch (rule.action) {
		case 'Allow':
			return [accept()];
		case 'Deny':
			return deny;
		case 'Pass':
			return [...setMark(ALL_BITS, passBit), returnToCaller()];
		case 'Log':
			return log;
	}
}

/** In the order of their cost. */
function* criteriaOf(rule: CompiledRule, context: RuleContext): Generator<Criterion> {
	const { family } = context;
	const sides = [
		['source', rule.source],
		['destination', rule.destination],
	] as const;
	// known already, but without it nft cannot list the rule in a form that it would load again
	if (sides.some(([, entity]) => ADDRESS_CRITERIA.some((name) => entity[name].length > 0))) yield [matchFamily(family)];
	const protocol = rule.protocol ?? (rule.icmp === undefined ? undefined : icmpProtocol(family));
	if (protocol !== undefined) yield [matchProtocol(protocol)];
	if (rule.notProtocol !== undefined) yield [matchProtocol(rule.notProtocol, 'neq')];
	const wantsPorts = sides.some(([, { ports, namedPorts }]) => ports.length + namedPorts.length > 0);
	if (wantsPorts && protocol === undefined) yield [hasPorts()];
	if (wantsPorts && protocol !== undefined && !carriesPorts(protocol)) yield NEVER;
	if (rule.icmp !== undefined) yield protocol === icmpProtocol(family) ? [icmpIs(family, rule.icmp)] : NEVER;
	yield exclusions(rule, context, protocol, wantsPorts);
	for (const [side, entity] of sides) {
		yield nets(entity, side, family);
		yield notNets(entity, side, family);
		yield* sets(entity, side, context);
		yield ports(entity, side, context);
	}
}

/** Excluded ports and ICMP types, which a packet of a protocol without them has not. */
function exclusions(rule: CompiledRule, context: RuleContext, protocol: number | undefined, hasCertainlyPorts: boolean): Criterion {
	const icmp = icmpProtocol(context.family);
	const noIcmp = rule.notIcmp === undefined ? [] : icmpIs(context.family, rule.notIcmp, true);
	const noPorts = [...notPorts(rule.source, 'source', context), ...notPorts(rule.destination, 'destination', context)];
	if (hasCertainlyPorts || (protocol !== undefined && carriesPorts(protocol))) return [noPorts];
	if (protocol !== undefined) return protocol === icmp ? [noIcmp] : ALWAYS;
	const other = [...(noIcmp.length > 0 ? matchProtocol(icmp, 'neq') : []), ...(noPorts.length > 0 ? hasPorts(true) : [])];
	return [
		other,
		...(noIcmp.length > 0 ? [[...matchProtocol(icmp), ...noIcmp]] : []),
		...(noPorts.length > 0 ? [[...hasPorts(), ...noPorts]] : []),
	];
}

function notPorts(entity: EntityMatch, side: Side, { family, setNames }: RuleContext): Match {
	return [
		...(entity.notPorts.length > 0 ? portIn(side, entity.notPorts, true) : []),
		...entity.notNamedPorts.flatMap((id) => setNames(id, 'ip-port').flatMap((name) => addressAndPortInSet(family, side, name, true))),
	];
}

function icmpProtocol(family: Family): number {
	return family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

function nets(entity: EntityMatch, side: Side, family: Family): Criterion {
	if (entity.nets.length === 0) return ALWAYS;
	const ours = netsOf(entity.nets, family);
	if (ours.length === 0) return NEVER;
	return ours.some(holdsEverything) ? ALWAYS : [addressInNets(family, side, ours)];
}

function notNets(entity: EntityMatch, side: Side, family: Family): Criterion {
	const ours = netsOf(entity.notNets, family);
	if (ours.length === 0) return ALWAYS;
	return ours.some(holdsEverything) ? NEVER : [addressInNets(family, side, ours, true)];
}

function netsOf(all: readonly Cidr[], family: Family): readonly Cidr[] {
	return widestNets(all.filter((net) => cidrFamily(net) === family));
}

function holdsEverything(net: Cidr): boolean {
	return cidrParts(net).length === 0;
}

function* sets(entity: EntityMatch, side: Side, { family, setNames }: RuleContext): Generator<Criterion> {
	for (const id of entity.sets) yield setNames(id, 'net').map((name) => addressInSet(family, side, name));
	for (const id of entity.notSets) yield [setNames(id, 'net').flatMap((name) => addressInSet(family, side, name, true))];
}

/** Numbers, or else one named port, or else the next. */
function ports(entity: EntityMatch, side: Side, { family, setNames }: RuleContext): Criterion {
	if (entity.ports.length + entity.namedPorts.length === 0) return ALWAYS;
	const alternatives: Match[] = [];
	const noneSoFar: Match[] = [];
	if (entity.ports.length > 0) {
		alternatives.push(portIn(side, entity.ports));
		noneSoFar.push(portIn(side, entity.ports, true));
	}
	for (const name of entity.namedPorts.flatMap((id) => setNames(id, 'ip-port'))) {
		alternatives.push([...noneSoFar.flat(), ...addressAndPortInSet(family, side, name)]);
		noneSoFar.push(addressAndPortInSet(family, side, name, true));
	}
	return alternatives;
}
