import { drop, jump, matchCtState, matchMark, matchProtocol, returnToCaller, setMark } from '#kernel';
import type { Family } from '#net';
import type { CompiledPolicy, Direction, IpSetId, IpSetType, PolicyId, PolicyList, TierPolicies } from '#policy';
import type { ChainModel, RuleModel } from '../table/model.ts';
import { type Match, PROTOCOL_IPIP, PROTOCOL_UDP, portIn } from './match.ts';
import { listChain, policyChain, tierChain } from './names.ts';
import { passBit, type RenderOptions } from './options.ts';
import { renderRule } from './rule.ts';

/** ICMP_UNREACH by the kernel's family-neutral code (`NFT_REJECT_ICMPX_PORT_UNREACH`), as `reject` alone means. */
const PORT_UNREACHABLE = 1;
/** `linux/netfilter/nf_log.h`: NF_LOG_PREFIXLEN with its closing zero. */
const MAX_LOG_PREFIX = 127;

/** Short names of kinds in log prefixes. */
const KIND_SHORT_NAMES: Readonly<Record<string, string>> = {
	GlobalNetworkPolicy: 'gnp',
	NetworkPolicy: 'np',
	KubernetesNetworkPolicy: 'knp',
	Profile: 'pro',
};

/** Where chains of one direction and family belong. */
export interface Position {
	readonly direction: Direction;
	readonly family: Family;
}

/** The kernel's names of the sets that hold an IP set's members of a family; they have none in common. */
export type SetNames = (id: IpSetId, type: IpSetType) => readonly string[];

/**
 * The chain of one direction of a policy. Allow ends the stage, Deny the packet, and Pass marks the packet and
 * returns, since nf_tables can return one level only.
 *
 * @param policy undefined for one that is referred to but not known: it denies everything
 */
export function renderPolicy(
	id: PolicyId,
	policy: CompiledPolicy | undefined,
	{ direction, family }: Position,
	setNames: SetNames,
	options: RenderOptions,
): ChainModel {
	const name = policyChain(direction, family, id);
	const comment = commentText(id);
	const deny = renderDeny(options);
	if (policy === undefined) return { name, comment, rules: [deny] };
	const context = { family, setNames, deny, log: renderLog(policy, options), passBit: passBit(options.markMask) };
	return { name, comment, rules: policy[direction].flatMap((rule) => renderRule(rule, context)) };
}

/** Tells whether one direction of a policy has a Pass rule. */
export type PassTest = (id: PolicyId) => boolean;

/** The chain of a tier: its policies in order, then the tier's default. Returning from it is going on to the next tier. */
export function renderTier(tier: TierPolicies, { direction, family }: Position, passes: PassTest, options: RenderOptions): ChainModel {
	const bit = passBit(options.markMask);
	const passed = [...matchMark(bit, 'nonzero'), ...setMark(~bit, 0), returnToCaller()];
	// somebody else may have left the bit on the packet
	const rules: RuleModel[] = tier.policies.some(passes) ? [setMark(~bit, 0)] : [];
	for (const id of tier.policies) {
		rules.push([jump(policyChain(direction, family, id))]);
		if (passes(id)) rules.push(passed);
	}
	if (tier.defaultAction === 'Deny') rules.push(renderDeny(options));
	return { name: tierChain(direction, family, tier), comment: commentText(`tier ${tier.name}`), rules };
}

/** The chain that a packet from or to an endpoint goes through: what no policy may allow, tiers, profiles, deny. */
export function renderList(list: PolicyList, { direction, family }: Position, passes: PassTest, options: RenderOptions): ChainModel {
	const bit = passBit(options.markMask);
	const rules: RuleModel[] = [];
	if (options.dropInvalid) rules.push([...matchCtState('invalid'), drop()]);
	if (direction === 'egress') rules.push(...encapsulationDrops(options));
	for (const tier of list.tiers) rules.push([jump(tierChain(direction, family, tier))]);
	if (list.profiles.some(passes)) rules.push(setMark(~bit, 0));
	for (const id of list.profiles) {
		rules.push([jump(policyChain(direction, family, id))]);
		// there is no tier after the profiles to pass to
		if (passes(id)) rules.push([...matchMark(bit, 'nonzero'), ...renderDeny(options)]);
	}
	rules.push(renderDeny(options));
	return { name: listChain(direction, family, list), rules };
}

/** From workloads, these would be a way around policy: the host's own tunnels would take them for another node's. */
function encapsulationDrops({ blockedVxlanPort, blockIpip }: RenderOptions): RuleModel[] {
	const rules: RuleModel[] = [];
	if (blockedVxlanPort !== undefined) {
		const port = { min: blockedVxlanPort, max: blockedVxlanPort };
		rules.push([...matchProtocol(PROTOCOL_UDP), ...portIn('destination', [port]), drop()]);
	}
	if (blockIpip) rules.push([...matchProtocol(PROTOCOL_IPIP), drop()]);
	return rules;
}

function renderDeny({ denyAction }: RenderOptions): Match {
	return denyAction === 'Drop' ? [drop()] : [{ kind: 'reject', with: 'icmpx', code: PORT_UNREACHABLE }];
}

function renderLog(policy: CompiledPolicy, { logPrefix, logGroup }: RenderOptions): Match {
	const [kind = '', namespace = '', name = ''] = policy.id.split('/');
	const texts: Readonly<Record<string, string>> = {
		'%t': policy.tier,
		'%k': KIND_SHORT_NAMES[kind] ?? kind,
		'%n': name,
		'%p': namespace === '' ? name : `${namespace}/${name}`,
	};
	const prefix = `${logPrefix.replace(/%[tknp]/g, (code) => texts[code] ?? code)}: `.slice(0, MAX_LOG_PREFIX);
	return [logGroup === undefined ? { kind: 'log', prefix } : { kind: 'log', prefix, group: logGroup }];
}

/** nft refuses to read back comments of more than 128 bytes; and a comment must not carry quotes or line ends. */
export function commentText(text: string): string {
	return text.replace(/[^ -!#-~]/g, '_').slice(0, 128);
}
