import {
	accept,
	type BaseChain,
	drop,
	goTo,
	inSet,
	masquerade,
	match,
	matchCtState,
	matchFamily,
	matchInterface,
	verdictMap,
} from '#kernel';
import { cidr, FAMILIES, type Family, hostCidr, ip } from '#net';
import type { Direction } from '#policy';
import { type ElementForm, setSpec } from '../table/element.ts';
import type { ChainModel, RuleModel, SetModel } from '../table/model.ts';
import { addressInNets, addressInSet, icmpv6TypeIn, interfaceAndSourceInSet } from './match.ts';
import {
	dispatchMap,
	masqueradeSet,
	NAT_CHAIN,
	poolsSet,
	sourceNetsSet,
	sourcesSet,
	WORKLOAD_ADDRESSES,
	WORKLOAD_INTERFACES,
} from './names.ts';
import type { RenderOptions } from './options.ts';

/**
 * Stands in the comment of our tables. Another number: the fixed chains or the kinds of sets changed in a way that a
 * difference cannot express, so a table found with it is replaced as a whole.
 */
export const LAYOUT_COMMENT = 'Tortie, layout 1: made by the node agent, which undoes changes';

/**
 * Stages are base chains of their own, so that allowing a packet is a plain `accept`: it ends the stage and nothing
 * else. Egress policy of the sender runs before ingress policy of the receiver. Numbers between leave room for stages
 * to come; those of NAT are after kube-proxy's.
 */
const HOOKS = {
	rawPrerouting: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' },
	input: { type: 'filter', hook: 'input', priority: 0, policy: 'accept' },
	inputAction: { type: 'filter', hook: 'input', priority: 10, policy: 'accept' },
	forwardFrom: { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' },
	forwardTo: { type: 'filter', hook: 'forward', priority: 10, policy: 'accept' },
	output: { type: 'filter', hook: 'output', priority: 0, policy: 'accept' },
	natPostrouting: { type: 'nat', hook: 'postrouting', priority: 110, policy: 'accept' },
} as const satisfies Readonly<Record<string, BaseChain>>;

/**
 * What a host must hear from a workload for neighbour discovery to work, whatever policy says (RFC 4861, RFC 2710):
 * multicast listener query, report and done; router and neighbour solicitation; neighbour advertisement. A workload's
 * router advertisement (134) is not among them.
 */
const NEIGHBOUR_DISCOVERY_TYPES = [130, 131, 132, 133, 135, 136];

/**
 * What a host sends from the unspecified address: listener reports and done (RFC 3590), router solicitation, duplicate
 * address detection, MLDv2 reports (RFC 3810).
 */
const UNSPECIFIED_SOURCE_TYPES = [131, 132, 133, 135, 143];

/** RFC 826. */
const ARP_REPLY = Uint8Array.of(0, 2);

const LINK_LOCAL = cidr('fe80::/10');
const UNSPECIFIED = hostCidr(ip('::'));

/** The sets of the `inet` table that do not depend on policy. */
export function fixedSets(): Pick<SetModel, 'spec' | 'form'>[] {
	const both = (name: (family: Family) => string, form: ElementForm): Pick<SetModel, 'spec' | 'form'>[] =>
		FAMILIES.map((family) => ({ spec: setSpec(name(family), form, family), form }));
	const map =
		(direction: Direction): ((family: Family) => string) =>
		(family) =>
			dispatchMap(direction, family);
	return [
		{ spec: setSpec(WORKLOAD_INTERFACES, 'interface', 4), form: 'interface' },
		...both(sourcesSet, 'interface-host'),
		...both(sourceNetsSet, 'interface-prefix'),
		...both(map('egress'), 'interface-verdict'),
		...both(map('ingress'), 'interface-verdict'),
		...both(poolsSet, 'prefix'),
		...both(masqueradeSet, 'prefix'),
	];
}

/** The chains of the `inet` table that do not depend on desired state, less {@link natChain}. */
export function fixedChains(options: RenderOptions): ChainModel[] {
	const from: RuleModel = matchInterface('iifname', `${options.interfacePrefix}*`);
	const toUnknown: RuleModel = [
		...matchInterface('oifname', `${options.interfacePrefix}*`),
		...inSet(['oifname'], WORKLOAD_INTERFACES, true),
		drop(),
	];
	const established: RuleModel = [...matchCtState('established', 'related'), accept()];
	return [
		{ name: 'b_raw_pre', base: HOOKS.rawPrerouting, rules: [[...from, goTo('wl_antispoof')]] },
		{ name: 'wl_antispoof', rules: antispoofRules() },
		{ name: 'b_in', base: HOOKS.input, rules: [established, [...from, goTo('wl_to_host')]] },
		{ name: 'wl_to_host', rules: [[...neighbourDiscovery(), accept()], [goTo('wl_from')]] },
		...(options.endpointToHostAction === 'Drop'
			? [
					{ name: 'b_in_action', base: HOOKS.inputAction, rules: [established, [...from, goTo('wl_host_action')]] },
					{ name: 'wl_host_action', rules: [[...neighbourDiscovery(), accept()], [drop()]] },
				]
			: []),
		// a flow to an interface that lost its endpoint ends here, established or not
		{ name: 'b_fwd_from', base: HOOKS.forwardFrom, rules: [toUnknown, established, [...from, goTo('wl_from')]] },
		{ name: 'wl_from', rules: dispatchRules('iifname', 'egress') },
		{
			name: 'b_fwd_to',
			base: HOOKS.forwardTo,
			rules: [established, [...matchInterface('oifname', `${options.interfacePrefix}*`), goTo('wl_to')]],
		},
		{ name: 'wl_to', rules: dispatchRules('oifname', 'ingress') },
		{ name: 'b_out', base: HOOKS.output, rules: [toUnknown] },
	];
}

/**
 * Masquerades what leaves the pools for elsewhere. It is there only while a pool asks for it, since a NAT hook costs
 * every new flow of the host.
 *
 * @param families those with a masqueraded pool
 */
export function natChain(families: readonly Family[]): ChainModel {
	return {
		name: NAT_CHAIN,
		base: HOOKS.natPostrouting,
		rules: families.map((family) => [
			...matchFamily(family),
			...addressInSet(family, 'source', masqueradeSet(family)),
			...addressInSet(family, 'destination', poolsSet(family), true),
			...masquerade(),
		]),
	};
}

/** The sets and chains of the `arp` table. */
export function arpTable(): { readonly sets: readonly Pick<SetModel, 'spec' | 'form'>[]; readonly chains: readonly ChainModel[] } {
	return {
		sets: [{ spec: setSpec(WORKLOAD_ADDRESSES, 'interface-host', 4), form: 'interface-host' }],
		// a host that answers ARP for all the world (proxy_arp) would also claim the workload's own address before it
		chains: [
			{
				name: 'b_out',
				base: HOOKS.output,
				rules: [[...match('arp operation', ARP_REPLY), ...inSet(['oifname', 'arp saddr ip'], WORKLOAD_ADDRESSES), drop()]],
			},
		],
	};
}

function antispoofRules(): RuleModel[] {
	return [
		[...matchFamily(4), ...interfaceAndSourceInSet(4, sourcesSet(4)), accept()],
		[...matchFamily(4), ...interfaceAndSourceInSet(4, sourceNetsSet(4)), accept()],
		[...matchFamily(4), drop()],
		[...matchFamily(6), ...interfaceAndSourceInSet(6, sourcesSet(6)), accept()],
		[...matchFamily(6), ...interfaceAndSourceInSet(6, sourceNetsSet(6)), accept()],
		[...inSet(['iifname'], WORKLOAD_INTERFACES, true), drop()],
		[...matchFamily(6), ...addressInNets(6, 'source', [LINK_LOCAL]), accept()],
		[...matchFamily(6), ...addressInNets(6, 'source', [UNSPECIFIED]), ...icmpv6TypeIn(UNSPECIFIED_SOURCE_TYPES), accept()],
		[drop()],
	];
}

function neighbourDiscovery(): RuleModel {
	return [...matchFamily(6), ...icmpv6TypeIn(NEIGHBOUR_DISCOVERY_TYPES)];
}

/** By family, so that packets of one do not walk rules of the other. An interface without a list drops. */
function dispatchRules(key: 'iifname' | 'oifname', direction: Direction): RuleModel[] {
	return [...FAMILIES.map((family) => [...matchFamily(family), ...verdictMap([key], dispatchMap(direction, family))]), [drop()]];
}
