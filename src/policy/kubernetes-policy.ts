import type { TortieError } from '#errors';
import { parseCidr } from '#net';
import {
	type EntityRule,
	type KubernetesNetworkPolicy,
	type KubernetesNetworkPolicyPeer,
	type KubernetesNetworkPolicyPort,
	type LabelSelector,
	type NetworkPolicy,
	parsePort,
	type Rule,
} from '#resources';
import { policyError } from './errors.ts';

type Spec = KubernetesNetworkPolicy['spec'];
type Peers = readonly KubernetesNetworkPolicyPeer[] | undefined;
type Ports = readonly KubernetesNetworkPolicyPort[] | undefined;
type Port = number | string;

interface ProtocolPorts {
	readonly protocol: string | undefined;
	readonly ports: readonly Port[];
}

const IS_KUBERNETES = "projectcalico.org/orchestrator == 'k8s'";
const ORDER = 1000;

/**
 * Converts a Kubernetes NetworkPolicy to the Calico policy `knp.default.<name>` in tier `default`, which means the
 * same: Calico's conversion of networking.k8s.io/v1, rule by rule.
 *
 * What the API server would have refused allows nothing: a port, peer or network that cannot be read takes the rules
 * made of it away, and a pod selector that cannot be read makes the policy select by what is left of it and allow
 * nothing at all.
 *
 * @param report receives a POLICY_BAD_CONVERSION for each part that was left out
 */
export function convertKubernetesPolicy(
	policy: Pick<KubernetesNetworkPolicy, 'metadata' | 'spec'>,
	report: (problem: TortieError) => void = () => undefined,
): NetworkPolicy {
	const { name, namespace = 'default' } = policy.metadata;
	const converter = new Converter(`NetworkPolicy ${namespace}/${name}`, report);
	return {
		apiVersion: 'projectcalico.org/v3',
		kind: 'NetworkPolicy',
		metadata: { name: `knp.default.${name}`, namespace },
		spec: converter.spec(policy.spec),
	};
}

/** A part that cannot be converted. Thrown and caught in here only. */
class Unconvertible extends Error {
	readonly path: string;
	readonly found: unknown;
	readonly allowed: string;

	constructor(path: string, found: unknown, allowed: string) {
		super(path);
		this.path = path;
		this.found = found;
		this.allowed = allowed;
	}
}

class Converter {
	readonly #subject: string;
	readonly #report: (problem: TortieError) => void;

	constructor(subject: string, report: (problem: TortieError) => void) {
		this.#subject = subject;
		this.#report = report;
	}

	spec(spec: Spec): NetworkPolicy['spec'] {
		const types = directions(spec);
		const terms = this.#attempt(() => labelTerms(spec.podSelector, 'spec.podSelector'));
		const readable = terms !== undefined;
		const ingress = readable && types.includes('Ingress') ? (spec.ingress ?? []) : [];
		const egress = readable && types.includes('Egress') ? (spec.egress ?? []) : [];
		return {
			tier: 'default',
			order: ORDER,
			selector: [IS_KUBERNETES, ...(terms ?? [])].join(' && '),
			types,
			ingress: ingress.flatMap(({ from, ports }, index) => this.#ingress(from, ports, `spec.ingress[${index}]`)),
			egress: egress.flatMap(({ to, ports }, index) => this.#egress(to, ports, `spec.egress[${index}]`)),
		};
	}

	#ingress(from: Peers, ports: Ports, path: string): Rule[] {
		return this.#combinations(from, `${path}.from`, ports, path).map(({ protocol, ports: destination, peer }) => ({
			...allow(protocol),
			...(peer !== undefined && { source: peer }),
			...(destination.length > 0 && { destination: { ports: destination } }),
		}));
	}

	#egress(to: Peers, ports: Ports, path: string): Rule[] {
		return this.#combinations(to, `${path}.to`, ports, path).map(({ protocol, ports: destination, peer }) => ({
			...allow(protocol),
			...((peer !== undefined || destination.length > 0) && {
				destination: { ...peer, ...(destination.length > 0 && { ports: destination }) },
			}),
		}));
	}

	/** Every protocol with its ports, and for each of them every peer. */
	#combinations(
		peers: Peers,
		peersPath: string,
		ports: Ports,
		path: string,
	): (ProtocolPorts & { readonly peer: EntityRule | undefined })[] {
		const protocols = this.#attempt(() => portsByProtocol(ports ?? [], `${path}.ports`)) ?? [];
		const matches: (EntityRule | undefined)[] = [];
		for (const [index, peer] of (peers ?? []).entries()) {
			const match = this.#attempt(() => peerMatch(peer, `${peersPath}[${index}]`));
			if (match !== undefined) matches.push(match);
		}
		if ((peers ?? []).length === 0) matches.push(undefined);
		return protocols.flatMap((protocolPorts) => matches.map((peer) => ({ ...protocolPorts, peer })));
	}

	/** Undefined, and a report, for what cannot be converted. */
	#attempt<T>(convert: () => T): T | undefined {
		try {
			return convert();
		} catch (error) {
			if (!(error instanceof Unconvertible)) throw error;
			this.#report(
				policyError('POLICY_BAD_CONVERSION', {
					message: `found ${JSON.stringify(error.found)}; nothing is allowed on its account`,
					path: `${this.#subject}: ${error.path}`,
					found: error.found,
					allowed: error.allowed,
					hint: 'correct the policy in Kubernetes',
				}),
			);
			return undefined;
		}
	}
}

function allow(protocol: ProtocolPorts['protocol']): Rule {
	return protocol === undefined ? { action: 'Allow' } : { action: 'Allow', protocol };
}

/** As the API server fills it in: ingress always, egress where there are egress rules. */
function directions(spec: Spec): ('Ingress' | 'Egress')[] {
	const types = (['Ingress', 'Egress'] as const).filter((type) => spec.policyTypes?.includes(type));
	if (types.length > 0) return types;
	return (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

function peerMatch({ ipBlock, podSelector, namespaceSelector }: KubernetesNetworkPolicyPeer, path: string): EntityRule {
	if (ipBlock) {
		const notNets = (ipBlock.except ?? []).map((net, index) => network(net, `${path}.ipBlock.except[${index}]`));
		return { nets: [network(ipBlock.cidr, `${path}.ipBlock.cidr`)], ...(notNets.length > 0 && { notNets }) };
	}
	const selector = [IS_KUBERNETES, ...labelTerms(podSelector, `${path}.podSelector`)].join(' && ');
	if (!namespaceSelector) return { selector };
	const terms = labelTerms(namespaceSelector, `${path}.namespaceSelector`);
	return { selector, namespaceSelector: terms.length === 0 ? 'all()' : terms.join(' && ') };
}

function network(text: string, path: string): string {
	const prefix = typeof text === 'string' ? parseCidr(text) : undefined;
	if (prefix === undefined) throw new Unconvertible(path, text, 'a network such as 10.0.0.0/8 or 2001:db8::/32');
	return prefix;
}

/** The terms of a label selector that are to be ANDed: labels by key, then expressions as listed. */
function labelTerms(selector: LabelSelector | undefined, path: string): string[] {
	const labels = Object.entries(selector?.matchLabels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
	const terms = labels.map(([key, value]) => `${label(key, `${path}.matchLabels`)} == ${quoted(value, `${path}.matchLabels.${key}`)}`);
	for (const [index, { key, operator, values }] of (selector?.matchExpressions ?? []).entries()) {
		const at = `${path}.matchExpressions[${index}]`;
		const name = label(key, `${at}.key`);
		const set = (values ?? []).map((value) => quoted(value, `${at}.values`)).join(', ');
		if (operator === 'In') terms.push(`${name} in { ${set} }`);
		else if (operator === 'NotIn') terms.push(`${name} not in { ${set} }`);
		else if (operator === 'Exists') terms.push(`has(${name})`);
		else if (operator === 'DoesNotExist') terms.push(`! has(${name})`);
		else throw new Unconvertible(`${at}.operator`, operator, 'In, NotIn, Exists or DoesNotExist');
	}
	return terms;
}

/** A label's name, which must not be able to end its term of the selector and begin another. */
function label(key: string, path: string): string {
	if (typeof key !== 'string' || !/^[A-Za-z0-9_./-]{1,512}$/.test(key)) throw new Unconvertible(path, key, 'the name of a label');
	return key;
}

function quoted(value: string, path: string): string {
	if (typeof value !== 'string' || value.includes("'")) throw new Unconvertible(path, value, 'the value of a label');
	return `'${value}'`;
}

/** Protocols by name, each with its ports; a protocol that one entry has without port has no ports here, which is all. */
function portsByProtocol(ports: readonly KubernetesNetworkPolicyPort[], path: string): ProtocolPorts[] {
	if (ports.length === 0) return [{ protocol: undefined, ports: [] }];
	const byProtocol = new Map<string, Port[] | 'all'>();
	for (const [index, entry] of ports.entries()) {
		const protocol = entry.protocol ?? 'TCP';
		if (!['TCP', 'UDP', 'SCTP'].includes(protocol)) throw new Unconvertible(`${path}[${index}].protocol`, protocol, 'TCP, UDP or SCTP');
		const port = portOf(entry, `${path}[${index}]`);
		const known = byProtocol.get(protocol);
		if (port === undefined || known === 'all') byProtocol.set(protocol, 'all');
		else if (known === undefined) byProtocol.set(protocol, [port]);
		else known.push(port);
	}
	return [...byProtocol]
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([protocol, list]) => ({ protocol, ports: list === 'all' ? [] : mergePorts(list) }));
}

function portOf({ port, endPort }: KubernetesNetworkPolicyPort, path: string): Port | undefined {
	if (port === undefined || port === null) {
		if (endPort !== undefined && endPort !== null) throw new Unconvertible(`${path}.endPort`, endPort, 'nothing, as there is no port');
		return undefined;
	}
	const text = endPort === undefined || endPort === null ? port : `${port}:${endPort}`;
	const parsed = parsePort(text);
	if (parsed === undefined)
		throw new Unconvertible(path, { port, endPort }, 'a port from 1 to 65535 with an endPort not below it, or the name of a port');
	return 'name' in parsed || parsed.min !== parsed.max ? text : parsed.min;
}

/** Named ports as listed, then the numbers in the fewest ranges. */
function mergePorts(ports: readonly Port[]): Port[] {
	const named: string[] = [];
	const ranges: { min: number; max: number }[] = [];
	for (const text of ports) {
		const port = parsePort(text);
		if (port === undefined || 'name' in port) named.push(String(text));
		else ranges.push({ ...port });
	}
	if (ranges.length <= 1) return [...ports];
	ranges.sort((a, b) => a.min - b.min);
	const merged: { min: number; max: number }[] = [];
	for (const range of ranges) {
		const last = merged.at(-1);
		if (last !== undefined && range.min <= last.max + 1) last.max = Math.max(last.max, range.max);
		else merged.push(range);
	}
	return [...named, ...merged.map(({ min, max }) => (min === max ? min : `${min}:${max}`))];
}
