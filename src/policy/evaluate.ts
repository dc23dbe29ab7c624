import { type Cidr, cidrContainsIp, type Ip, ipFamily } from '#net';
import { protocolName } from '#resources';
import { describePolicy, portProtocol } from './ids.ts';
import type {
	CompiledPolicy,
	CompiledRule,
	Direction,
	EndpointPolicy,
	EntityMatch,
	IcmpMatch,
	IpSetId,
	Packet,
	PolicyId,
	PortRange,
	TierPolicies,
	Verdict,
	VerdictStep,
} from './types.ts';

/** What a verdict is computed from: the same data that the dataplane gets. */
export interface PolicyState {
	policy(id: PolicyId): CompiledPolicy | undefined;
	ipSet(id: IpSetId): IpSetView | undefined;
}

/** A set as a packet meets it. */
export interface IpSetView {
	/** Whether the address, or for an `ip-port` set the address with protocol and port, is in the set. */
	holds(address: Ip, protocol: number, port: number | undefined): boolean;
	/** Where the members come from, in words: a selector, and the port's name if there is one. */
	readonly description: string;
}

/**
 * What policy decides about the first packet of a flow at one endpoint: tiers in order, then profiles, then deny.
 *
 * @param direction `ingress` for a packet to the endpoint, `egress` for one from it
 * @returns the outcome with every rule and default that took part; policies that decided nothing are not listed
 */
export function evaluate(state: PolicyState, endpoint: EndpointPolicy, direction: Direction, packet: Packet): Verdict {
	const steps: VerdictStep[] = [];
	for (const tier of endpoint[direction].tiers) {
		const outcome = evaluateTier(state, tier, direction, packet, steps);
		if (outcome !== 'Pass') return { allowed: outcome === 'Allow', steps };
	}
	for (const id of endpoint[direction].profiles) {
		const outcome = evaluateRules(state, id, direction, packet, undefined, steps);
		// there is no tier after the profiles to pass to
		if (outcome === 'Pass') break;
		if (outcome !== undefined) return { allowed: outcome === 'Allow', steps };
	}
	const names = endpoint[direction].profiles.map(describePolicy).join(', ');
	steps.push({
		tier: undefined,
		policy: undefined,
		rule: undefined,
		action: 'Deny',
		reason: `end of profiles: denied because ${names === '' ? 'the endpoint has no profile' : `no ${direction} rule of ${names} allowed it`}`,
	});
	return { allowed: false, steps };
}

function evaluateTier(
	state: PolicyState,
	tier: TierPolicies,
	direction: Direction,
	packet: Packet,
	steps: VerdictStep[],
): 'Allow' | 'Deny' | 'Pass' {
	for (const id of tier.policies) {
		const outcome = evaluateRules(state, id, direction, packet, tier.name, steps);
		if (outcome !== undefined) return outcome;
	}
	const names = tier.policies.map(describePolicy).join(', ');
	const selects =
		tier.policies.length === 1 ? `${names} selects this endpoint and none of its` : `${names} select this endpoint and none of their`;
	const done = tier.defaultAction === 'Deny' ? 'denied' : 'passed on, the default of this tier,';
	steps.push({
		tier: tier.name,
		policy: undefined,
		rule: undefined,
		action: tier.defaultAction,
		reason: `end of tier ${tier.name}: ${done} because ${selects} ${direction} rules matched`,
	});
	return tier.defaultAction;
}

/** The action of the first rule that decides; undefined when none does. */
function evaluateRules(
	state: PolicyState,
	id: PolicyId,
	direction: Direction,
	packet: Packet,
	tier: string | undefined,
	steps: VerdictStep[],
): 'Allow' | 'Deny' | 'Pass' | undefined {
	const policy = state.policy(id);
	if (policy === undefined) {
		const reason = `${describePolicy(id)} is not known here, which denies`;
		steps.push({ tier, policy: id, rule: undefined, action: 'Deny', reason });
		return 'Deny';
	}
	for (const rule of policy[direction]) {
		if (!ruleMatches(state, rule, packet)) continue;
		const where = tier === undefined ? '' : `tier ${tier}, `;
		const reason = `${where}${describePolicy(id)}, ${direction} rule ${rule.index} matched ${describeMatch(state, rule, packet)}: ${rule.action}`;
		steps.push({ tier, policy: id, rule: rule.index, action: rule.action, reason });
		if (rule.action !== 'Log') return rule.action;
	}
	return undefined;
}

/** Whether every criterion of a rule holds for a packet. */
function ruleMatches(state: PolicyState, rule: CompiledRule, packet: Packet): boolean {
	return (
		(rule.ipVersion === undefined || rule.ipVersion === ipFamily(packet.source)) &&
		(rule.protocol === undefined || rule.protocol === packet.protocol) &&
		(rule.notProtocol === undefined || rule.notProtocol !== packet.protocol) &&
		(rule.icmp === undefined || icmpMatches(rule.icmp, packet)) &&
		(rule.notIcmp === undefined || !icmpMatches(rule.notIcmp, packet)) &&
		entityMatches(state, rule.source, packet, packet.source, packet.sourcePort) &&
		entityMatches(state, rule.destination, packet, packet.destination, packet.destinationPort)
	);
}

function icmpMatches(match: IcmpMatch, packet: Packet): boolean {
	return packet.icmpType === match.type && (match.code === undefined || packet.icmpCode === match.code);
}

function entityMatches(state: PolicyState, entity: EntityMatch, packet: Packet, address: Ip, port: number | undefined): boolean {
	const inNet = (net: Cidr): boolean => cidrContainsIp(net, address);
	const inSet = (id: IpSetId): boolean => state.ipSet(id)?.holds(address, packet.protocol, port) ?? false;
	const inRange = ({ min, max }: PortRange): boolean =>
		port !== undefined && portProtocol(packet.protocol) !== undefined && port >= min && port <= max;
	return (
		(entity.nets.length === 0 || entity.nets.some(inNet)) &&
		!entity.notNets.some(inNet) &&
		entity.sets.every(inSet) &&
		!entity.notSets.some(inSet) &&
		((entity.ports.length === 0 && entity.namedPorts.length === 0) || entity.ports.some(inRange) || entity.namedPorts.some(inSet)) &&
		!entity.notPorts.some(inRange) &&
		!entity.notNamedPorts.some(inSet)
	);
}

/** The criteria of a rule that a packet met, in words. */
function describeMatch(state: PolicyState, rule: CompiledRule, packet: Packet): string {
	const parts: string[] = [];
	if (rule.ipVersion !== undefined) parts.push(`IPv${rule.ipVersion}`);
	if (rule.protocol !== undefined) parts.push(`protocol ${protocolText(rule.protocol)}`);
	if (rule.notProtocol !== undefined) parts.push(`protocol ${protocolText(packet.protocol)} other than ${protocolText(rule.notProtocol)}`);
	if (rule.icmp !== undefined) parts.push(`type ${icmpText(rule.icmp)}`);
	if (rule.notIcmp !== undefined) parts.push(`type other than ${icmpText(rule.notIcmp)}`);
	parts.push(...describeEntity(state, rule.source, packet, 'source', packet.source, packet.sourcePort));
	parts.push(...describeEntity(state, rule.destination, packet, 'destination', packet.destination, packet.destinationPort));
	return parts.length === 0 ? 'everything' : parts.join(', ');
}

function describeEntity(
	state: PolicyState,
	entity: EntityMatch,
	packet: Packet,
	side: 'source' | 'destination',
	address: Ip,
	port: number | undefined,
): string[] {
	const parts: string[] = [];
	const described = (id: IpSetId): string => state.ipSet(id)?.description ?? id;
	const net = entity.nets.find((candidate) => cidrContainsIp(candidate, address));
	if (net !== undefined) parts.push(`${side} ${address} in ${net}`);
	if (entity.notNets.length > 0) parts.push(`${side} ${address} not in ${entity.notNets.join(', ')}`);
	for (const id of entity.sets) parts.push(`${side} ${address} is selected by ${described(id)}`);
	for (const id of entity.notSets) parts.push(`${side} ${address} is not selected by ${described(id)}`);
	const range = entity.ports.find(({ min, max }) => port !== undefined && port >= min && port <= max);
	const named = entity.namedPorts.find((id) => state.ipSet(id)?.holds(address, packet.protocol, port) === true);
	if (range !== undefined) parts.push(`${side} port ${rangeText(range)}`);
	else if (named !== undefined) parts.push(`${side} port ${port}, which is ${described(named)}`);
	if (entity.notPorts.length > 0) parts.push(`${side} port other than ${entity.notPorts.map(rangeText).join(', ')}`);
	for (const id of entity.notNamedPorts) parts.push(`${side} port other than ${described(id)}`);
	return parts;
}

function protocolText(protocol: number): string {
	return protocolName(protocol)?.toLowerCase() ?? String(protocol);
}

function icmpText({ type, code }: IcmpMatch): string {
	return code === undefined ? String(type) : `${type} code ${code}`;
}

function rangeText({ min, max }: PortRange): string {
	return min === max ? String(min) : `${min}-${max}`;
}
