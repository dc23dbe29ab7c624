/**
 * A second implementation of what policy means, for tests: straight from the API objects, with nothing shared with the
 * graph but the parser and evaluator of selectors. It is meant to be read, not to be quick.
 */
import { type Cidr, cidrContainsIp, type Ip, ipFamily, parseCidr } from '#net';
import type {
	AnyResource,
	EntityRule,
	GlobalNetworkPolicy,
	KubernetesNetworkPolicy,
	KubernetesNetworkPolicyPeer,
	KubernetesNetworkPolicyPort,
	LabelSelector,
	NetworkPolicy,
	Profile,
	Rule,
	Tier,
	WorkloadEndpoint,
} from '#resources';
import { evaluateSelector, type Labels, parseSelector, type Selector } from '#selector';
import type { Direction, Packet } from '../types.ts';

/** Everything that a cluster's datastore holds. */
export interface World {
	readonly resources: readonly AnyResource[];
	readonly kubernetesPolicies: readonly KubernetesNetworkPolicy[];
}

type Action = 'Allow' | 'Deny' | 'Pass';

/** Something with labels and addresses: a pod or a network set. */
interface Thing {
	readonly labels: Labels;
	readonly nets: readonly Cidr[];
	readonly ports: readonly { readonly name: string; readonly protocol: number; readonly port: number }[];
}

/** A policy of either API, as an endpoint meets it. */
interface Contender {
	readonly tier: string;
	readonly order: number;
	/** Name, namespace and kind: what decides between equal orders. */
	readonly rank: readonly [string, string, string];
	readonly decide: () => Action | undefined;
}

const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, udplite: 136 };
const WITH_PORTS: readonly number[] = [6, 17, 132];
const NAMESPACE = 'projectcalico.org/namespace';
const SERVICE_ACCOUNT = 'projectcalico.org/serviceaccount';

export class Oracle {
	readonly #world: World;
	readonly #profiles = new Map<string, Profile['spec']>();
	readonly #tiers = new Map<string, Tier['spec']>();
	readonly #things: Thing[] = [];
	readonly #endpoints = new Map<WorkloadEndpoint, Thing>();

	constructor(world: World) {
		this.#world = world;
		for (const resource of world.resources) {
			if (resource.kind === 'Profile') this.#profiles.set(resource.metadata.name, resource.spec);
			if (resource.kind === 'Tier') this.#tiers.set(resource.metadata.name, resource.spec);
		}
		this.#profiles.set('projectcalico-default-allow', { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] });
		for (const resource of world.resources) {
			if (resource.kind === 'WorkloadEndpoint' && isUsable(resource)) {
				const thing = this.#pod(resource);
				this.#things.push(thing);
				this.#endpoints.set(resource, thing);
			} else if (resource.kind === 'NetworkSet' || resource.kind === 'GlobalNetworkSet') {
				const namespace = resource.kind === 'NetworkSet' ? resource.metadata.namespace : undefined;
				const own = { ...resource.metadata.labels, ...(namespace !== undefined && { [NAMESPACE]: namespace }) };
				const labels = this.#inherit(own, namespace === undefined ? [] : [`kns.${namespace}`]);
				this.#things.push({ labels, nets: (resource.spec.nets ?? []).map((net) => parseCidr(net) as Cidr), ports: [] });
			}
		}
	}

	/** The endpoints that are there at all. */
	get endpoints(): readonly WorkloadEndpoint[] {
		return [...this.#endpoints.keys()];
	}

	allows(endpoint: WorkloadEndpoint, direction: Direction, packet: Packet): boolean {
		const self = this.#endpoints.get(endpoint) as Thing;
		const contenders: Contender[] = [];
		for (const resource of this.#world.resources)
			if (resource.kind === 'NetworkPolicy' || resource.kind === 'GlobalNetworkPolicy')
				contenders.push(...this.#calicoPolicy(resource, self, direction, packet));
		for (const policy of this.#world.kubernetesPolicies) contenders.push(...this.#kubernetesPolicy(policy, self, direction, packet));

		for (const tier of this.#sortedTiers(new Set(contenders.map((contender) => contender.tier)))) {
			const inTier = contenders.filter((contender) => contender.tier === tier).sort(byOrder);
			let action: Action | undefined;
			for (const contender of inTier) action ??= contender.decide();
			action ??= this.#tiers.get(tier)?.defaultAction === 'Pass' ? 'Pass' : 'Deny';
			if (action !== 'Pass') return action === 'Allow';
		}
		for (const name of endpoint.spec.profiles ?? []) {
			const profile = this.#profiles.get(name);
			if (profile === undefined) return false;
			const action = this.#firstAction(profile[direction] ?? [], undefined, packet);
			if (action !== undefined) return action === 'Allow';
		}
		return false;
	}

	#sortedTiers(names: Set<string>): string[] {
		const rank = (name: string): readonly [number, number, string] => {
			const tier = this.#tiers.get(name);
			return [tier === undefined ? 1 : 0, tier?.order ?? Number.POSITIVE_INFINITY, name];
		};
		return [...names].sort((a, b) => compareLists(rank(a), rank(b)));
	}

	#calicoPolicy(policy: NetworkPolicy | GlobalNetworkPolicy, self: Thing, direction: Direction, packet: Packet): Contender[] {
		const { spec, metadata } = policy;
		const namespace = policy.kind === 'NetworkPolicy' ? (metadata.namespace as string) : undefined;
		if (policy.kind === 'GlobalNetworkPolicy' && (policy.spec.doNotTrack === true || policy.spec.preDNAT === true)) return [];
		if (namespace !== undefined && self.labels.get(NAMESPACE) !== namespace) return [];
		if (!holds(spec.selector, self.labels)) return [];
		if (policy.kind === 'GlobalNetworkPolicy') {
			if (isSet(policy.spec.namespaceSelector) && !namespaceHolds(policy.spec.namespaceSelector, self.labels)) return [];
			if (spec.serviceAccountSelector === 'all()' && self.labels.get(SERVICE_ACCOUNT) === undefined) return [];
		}
		if (!holds(spec.serviceAccountSelector, prefixed(self.labels, 'pcsa.'))) return [];
		const types = spec.types ?? [];
		if (types.length > 0 && !types.includes(direction === 'ingress' ? 'Ingress' : 'Egress')) return [];
		return [
			{
				tier: isSet(spec.tier) ? spec.tier : 'default',
				order: spec.order ?? Number.POSITIVE_INFINITY,
				rank: [metadata.name, namespace ?? '', policy.kind],
				decide: () => this.#firstAction(spec[direction] ?? [], namespace, packet),
			},
		];
	}

	#firstAction(rules: readonly Rule[], namespace: string | undefined, packet: Packet): Action | undefined {
		for (const rule of rules) {
			if (isBroken(rule)) {
				if (rule.action === 'Deny' || rule.action === 'Pass') return 'Deny';
			} else if (rule.action !== 'Log' && this.#ruleMatches(rule, namespace, packet)) return rule.action;
		}
		return undefined;
	}

	#ruleMatches(rule: Rule, namespace: string | undefined, packet: Packet): boolean {
		const family = ipFamily(packet.source);
		const protocol = rule.protocol === undefined ? undefined : protocolOf(rule.protocol);
		if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
		if (rule.ipVersion === undefined && ((protocol === 1 && family === 6) || (protocol === 58 && family === 4))) return false;
		if (protocol !== undefined && packet.protocol !== protocol) return false;
		if (rule.notProtocol !== undefined && packet.protocol === protocolOf(rule.notProtocol)) return false;
		if (rule.icmp !== undefined && !icmpHolds(rule.icmp, packet)) return false;
		if (rule.notICMP?.type !== undefined && icmpHolds(rule.notICMP, packet)) return false;
		return (
			this.#entityMatches(rule.source ?? {}, namespace, packet, packet.source, packet.sourcePort) &&
			this.#entityMatches(rule.destination ?? {}, namespace, packet, packet.destination, packet.destinationPort)
		);
	}

	#entityMatches(entity: EntityRule, namespace: string | undefined, packet: Packet, address: Ip, port: number | undefined): boolean {
		const inNet = (net: string): boolean => cidrContainsIp(parseCidr(net) as Cidr, address);
		if ((entity.nets ?? []).length > 0 && !entity.nets?.some(inNet)) return false;
		if (entity.notNets?.some(inNet)) return false;

		const { positive, negative } = this.#selection(entity, namespace);
		const here = this.#things.filter(({ nets }) => nets.some((net) => cidrContainsIp(net, address)));
		if (positive !== undefined && !here.some(positive)) return false;
		if (positive === undefined && negative !== undefined && here.some(negative)) return false;

		const portMatches = (wanted: number | string): boolean => {
			const text = String(wanted);
			const range = /^(\d+)(?::(\d+))?$/.exec(text);
			if (range !== null) {
				const min = Number(range[1]);
				return WITH_PORTS.includes(packet.protocol) && port !== undefined && port >= min && port <= Number(range[2] ?? min);
			}
			return here.some(
				(thing) =>
					(positive === undefined || positive(thing)) &&
					thing.ports.some((named) => named.name === text && named.protocol === packet.protocol && named.port === port),
			);
		};
		if ((entity.ports ?? []).length > 0 && !entity.ports?.some(portMatches)) return false;
		return !entity.notPorts?.some(portMatches);
	}

	/** What a rule's side selects. A negative selector beside others narrows them; alone it stands for itself. */
	#selection(
		entity: EntityRule,
		namespace: string | undefined,
	): { positive?: (thing: Thing) => boolean; negative?: (thing: Thing) => boolean } {
		const accounts = entity.serviceAccounts;
		const hasAccounts = isSet(accounts?.selector) || (accounts?.names ?? []).length > 0;
		const hasOther = isSet(entity.selector) || hasAccounts;
		const scoped = isSet(entity.namespaceSelector) || (namespace !== undefined && (hasOther || isSet(entity.notSelector)));
		const negative = isSet(entity.notSelector) ? ({ labels }: Thing) => holds(entity.notSelector, labels) : undefined;
		if (!scoped && !hasOther) return negative === undefined ? {} : { negative };
		return {
			positive: (thing) => {
				const { labels } = thing;
				if (isSet(entity.namespaceSelector)) {
					if (!namespaceHolds(entity.namespaceSelector, labels)) return false;
				} else if (namespace !== undefined && labels.get(NAMESPACE) !== namespace) return false;
				if (!holds(entity.selector, labels)) return false;
				if (!holds(accounts?.selector, prefixed(labels, 'pcsa.'))) return false;
				if ((accounts?.names ?? []).length > 0 && !accounts?.names?.includes(labels.get(SERVICE_ACCOUNT) ?? '')) return false;
				return negative === undefined || !negative(thing);
			},
		};
	}

	#kubernetesPolicy({ metadata, spec }: KubernetesNetworkPolicy, self: Thing, direction: Direction, packet: Packet): Contender[] {
		const namespace = metadata.namespace ?? 'default';
		if (!isPod(self) || self.labels.get(NAMESPACE) !== namespace || !kubernetesSelects(spec.podSelector, self.labels)) return [];
		const applies = direction === 'ingress' ? spec.policyTypes?.includes('Ingress') : spec.policyTypes?.includes('Egress');
		if (applies !== true) return [];
		const rules: readonly { peers: readonly KubernetesNetworkPolicyPeer[]; ports: readonly KubernetesNetworkPolicyPort[] }[] =
			direction === 'ingress'
				? (spec.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }))
				: (spec.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
		const other = direction === 'ingress' ? packet.source : packet.destination;
		// A named port is one of the pods that the peer means, which matters where two pods have one address.
		const portsHold = (ports: readonly KubernetesNetworkPolicyPort[], peer: KubernetesNetworkPolicyPeer | undefined): boolean =>
			ports.length === 0 ||
			ports.some((port) =>
				this.#kubernetesPortHolds(
					port,
					packet,
					(thing) => direction === 'ingress' || peer === undefined || isMeant(peer, namespace, thing),
				),
			);
		const decide = (): Action | undefined =>
			rules.some(({ peers, ports }) =>
				peers.length === 0
					? portsHold(ports, undefined)
					: peers.some((peer) => this.#peerHolds(peer, namespace, other) && portsHold(ports, peer)),
			)
				? 'Allow'
				: undefined;
		return [{ tier: 'default', order: 1000, rank: [`knp.default.${metadata.name}`, namespace, 'NetworkPolicy'], decide }];
	}

	#peerHolds(peer: KubernetesNetworkPolicyPeer, namespace: string, address: Ip): boolean {
		const { ipBlock } = peer;
		const within = (net: string): boolean => cidrContainsIp(parseCidr(net) as Cidr, address);
		if (ipBlock !== undefined) return within(ipBlock.cidr) && !ipBlock.except?.some(within);
		return this.#things.some((thing) => thing.nets.some((net) => cidrContainsIp(net, address)) && isMeant(peer, namespace, thing));
	}

	#kubernetesPortHolds(
		{ protocol = 'TCP', port, endPort }: KubernetesNetworkPolicyPort,
		packet: Packet,
		mayHaveIt: (thing: Thing) => boolean,
	): boolean {
		if (packet.protocol !== protocolOf(protocol)) return false;
		if (port === undefined) return true;
		const actual = packet.destinationPort ?? -1;
		if (typeof port === 'number') return actual >= port && actual <= (endPort ?? port);
		return this.#things.some(
			(thing) =>
				mayHaveIt(thing) &&
				thing.nets.some((net) => cidrContainsIp(net, packet.destination)) &&
				thing.ports.some((named) => named.name === port && named.protocol === packet.protocol && named.port === actual),
		);
	}

	#pod({ metadata, spec }: WorkloadEndpoint): Thing {
		const own: Record<string, string> = {};
		for (const [key, value] of Object.entries(metadata.labels ?? {}))
			if (!key.startsWith('pcns.') && !key.startsWith('pcsa.')) own[key] = value;
		own[NAMESPACE] = metadata.namespace as string;
		if (isSet(spec.orchestrator)) own['projectcalico.org/orchestrator'] = spec.orchestrator;
		if (isSet(spec.serviceAccountName)) own[SERVICE_ACCOUNT] = spec.serviceAccountName;
		return {
			labels: this.#inherit(own, spec.profiles ?? []),
			nets: (spec.ipNetworks ?? []).map((net) => parseCidr(net) as Cidr),
			ports: (spec.ports ?? [])
				.filter(({ name }) => isSet(name))
				.map(({ name, protocol, port }) => ({ name: name as string, protocol: protocolOf(protocol), port })),
		};
	}

	#inherit(own: Readonly<Record<string, string>>, profiles: readonly string[]): Labels {
		const all = new Map(Object.entries(own));
		for (const name of profiles)
			for (const [key, value] of Object.entries(this.#profiles.get(name)?.labelsToApply ?? {})) if (!all.has(key)) all.set(key, value);
		return all;
	}
}

function isUsable({ spec }: WorkloadEndpoint): boolean {
	return isSet(spec.interfaceName) && (spec.ipNetworks ?? []).length > 0;
}

function isPod({ labels }: Thing): boolean {
	return labels.get('projectcalico.org/orchestrator') === 'k8s';
}

/** Whether a peer's selectors mean this; a peer that is a prefix means whatever has the address. */
function isMeant({ ipBlock, podSelector, namespaceSelector }: KubernetesNetworkPolicyPeer, namespace: string, thing: Thing): boolean {
	if (ipBlock !== undefined) return true;
	return (
		isPod(thing) &&
		(namespaceSelector === undefined
			? thing.labels.get(NAMESPACE) === namespace
			: thing.labels.get(NAMESPACE) !== undefined && kubernetesSelects(namespaceSelector, prefixed(thing.labels, 'pcns.'))) &&
		kubernetesSelects(podSelector, thing.labels)
	);
}

/** The rules that nothing can be made of, as far as these tests write any. */
function isBroken(rule: Rule): boolean {
	if (rule.source?.services !== undefined || rule.destination?.services !== undefined) return true;
	if ((rule.icmp !== undefined || rule.notICMP !== undefined) && !['1', '58'].includes(String(protocolOf(rule.protocol ?? 0)))) return true;
	const ports = [rule.source, rule.destination].flatMap((side) => [...(side?.ports ?? []), ...(side?.notPorts ?? [])]);
	if (ports.length === 0) return false;
	if (rule.protocol === undefined) return ports.some((port) => /^[\d:]+$/.test(String(port)));
	return !WITH_PORTS.includes(protocolOf(rule.protocol));
}

function icmpHolds(match: NonNullable<Rule['icmp']>, packet: Packet): boolean {
	if (match.type === undefined) return true;
	return packet.icmpType === match.type && (match.code === undefined || packet.icmpCode === match.code);
}

function protocolOf(protocol: string | number): number {
	return PROTOCOLS[String(protocol).toLowerCase()] ?? Number(protocol);
}

const parsed = new Map<string, Selector>();

function holds(selector: string | undefined, labels: Labels): boolean {
	if (!isSet(selector)) return true;
	let known = parsed.get(selector);
	if (known === undefined) parsed.set(selector, (known = parseSelector(selector)));
	return evaluateSelector(known, labels);
}

function namespaceHolds(selector: string, labels: Labels): boolean {
	if (selector === 'all()') return labels.get(NAMESPACE) !== undefined;
	if (selector === 'global()') return labels.get(NAMESPACE) === undefined;
	return holds(selector, prefixed(labels, 'pcns.'));
}

function prefixed(labels: Labels, prefix: string): Labels {
	return { get: (name) => labels.get(prefix + name) };
}

function kubernetesSelects(selector: LabelSelector | undefined, labels: Labels): boolean {
	for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) if (labels.get(key) !== value) return false;
	return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
		const value = labels.get(key);
		if (operator === 'Exists') return value !== undefined;
		if (operator === 'DoesNotExist') return value === undefined;
		const isListed = value !== undefined && values.includes(value);
		return operator === 'In' ? isListed : !isListed;
	});
}

function isSet(text: string | undefined): text is string {
	return text !== undefined && text !== '';
}

function byOrder(a: Contender, b: Contender): number {
	return compareLists([a.order, ...a.rank], [b.order, ...b.rank]);
}

function compareLists(a: readonly (number | string)[], b: readonly (number | string)[]): number {
	for (const [index, left] of a.entries()) {
		const right = b[index] as number | string;
		if (left !== right) return left < right ? -1 : 1;
	}
	return 0;
}
