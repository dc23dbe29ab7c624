/** From the datastore's objects to what the graph keeps of them: no more, since a cluster has many. */
import type { TortieError } from '#errors';
import { addressBits, type Cidr, cidrParts, type Mac, parseCidr, parseMac } from '#net';
import {
	type GlobalNetworkPolicy,
	type GlobalNetworkSet,
	type IPPool,
	type NetworkPolicy,
	type NetworkSet,
	parseProtocol,
	protocolNumber,
	type Rule,
	type WorkloadEndpoint,
} from '#resources';
import type { LabelRecord, Selector } from '#selector';
import { policyError } from './errors.ts';
import { describePolicy, policyId, portProtocol } from './ids.ts';
import type { NamedPort, Selectable } from './ip-sets.ts';
import {
	NAMESPACE_LABEL,
	NAMESPACE_PREFIX,
	ORCHESTRATOR_LABEL,
	policySelection,
	SERVICE_ACCOUNT_LABEL,
	SERVICE_ACCOUNT_PREFIX,
} from './selectors.ts';
import type { PolicyId } from './types.ts';

/** A workload endpoint; all but what is selectable is of use on its own node only. */
export interface EndpointInput {
	readonly selectable: Selectable;
	readonly node: string;
	readonly interfaceName: string;
	readonly mac: Mac | undefined;
	readonly allowedSources: readonly Cidr[];
}

/** A pool that workloads may have addresses of; a disabled one still has those it gave out. */
export interface PoolInput {
	readonly prefix: Cidr;
	readonly masquerade: boolean;
}

/** A policy that workloads can meet. */
export interface PolicyInput {
	readonly id: PolicyId;
	readonly namespace: string | undefined;
	readonly name: string;
	readonly kind: string;
	readonly tier: string;
	/** Infinite when the policy states none. */
	readonly order: number;
	readonly selector: Selector;
	/** Undefined where the policy does not concern the direction. */
	readonly ingress: readonly Rule[] | undefined;
	readonly egress: readonly Rule[] | undefined;
	/** Whether it is given out even where it selects nobody. */
	readonly everywhere: boolean;
	/** Whether it denies everything because it is not known whom it is meant for. */
	readonly deniesAll: boolean;
}

/** The result of reading: undefined stands for an object that counts as absent. */
export interface Reading<T> {
	readonly value: T | undefined;
	readonly problems: readonly TortieError[];
}

/**
 * Reads a workload endpoint. One without addresses is absent, as its pod is not there yet or has ended.
 *
 * @param mayClaimSources whether endpoints may be allowed to send from other addresses than their own
 */
export function readEndpoint({ metadata, spec }: WorkloadEndpoint, mayClaimSources: boolean): Reading<EndpointInput> {
	const problems: TortieError[] = [];
	const fail = (path: string, found: unknown, allowed: string): void => {
		const where = `WorkloadEndpoint ${metadata.namespace ?? ''}/${metadata.name}: ${path}`;
		const message = `found ${JSON.stringify(found)}; the endpoint gets no traffic until then`;
		problems.push(policyError('POLICY_BAD_ENDPOINT', { message, path: where, found, allowed, hint: 'correct the endpoint' }));
	};
	const prefixes = (field: 'ipNetworks' | 'allowSpoofedSourcePrefixes'): Cidr[] =>
		readNets(spec[field], (index, text) => fail(`spec.${field}[${index}]`, text, 'an address or a network'));
	const nets = prefixes('ipNetworks');
	if (nets.length === 0 && problems.length === 0) return { value: undefined, problems };
	for (const [index, net] of nets.entries()) {
		const { family, length } = cidrParts(net);
		if (length !== addressBits(family)) fail(`spec.ipNetworks[${index}]`, net, `a prefix of ${addressBits(family)} bits`);
	}
	const interfaceName = spec.interfaceName ?? '';
	if (interfaceName === '') fail('spec.interfaceName', spec.interfaceName, "the name of the host's interface");
	const allowedSources = prefixes('allowSpoofedSourcePrefixes');
	if (allowedSources.length > 0 && !mayClaimSources)
		fail('spec.allowSpoofedSourcePrefixes', spec.allowSpoofedSourcePrefixes, 'nothing, unless workloadSourceSpoofing is Any');
	const mac = spec.mac === undefined || spec.mac === '' ? undefined : parseMac(spec.mac);
	if (mac === undefined && spec.mac !== undefined && spec.mac !== '') fail('spec.mac', spec.mac, 'a MAC address');
	if (problems.length > 0) return { value: undefined, problems };
	return {
		value: {
			node: spec.node ?? '',
			interfaceName,
			mac,
			allowedSources,
			selectable: {
				labels: endpointLabels(metadata, spec),
				parents: [...new Set(spec.profiles)],
				nets,
				ports: namedPorts(spec.ports ?? []),
			},
		},
		problems,
	};
}

/** Labels by which an endpoint could pass for one of another namespace, or service account, are not its own to choose. */
function endpointLabels({ labels = {}, namespace }: WorkloadEndpoint['metadata'], spec: WorkloadEndpoint['spec']): LabelRecord {
	const own: Record<string, string> = {};
	for (const [label, value] of Object.entries(labels))
		if (!label.startsWith(NAMESPACE_PREFIX) && !label.startsWith(SERVICE_ACCOUNT_PREFIX)) own[label] = value;
	if (namespace !== undefined) own[NAMESPACE_LABEL] = namespace;
	if (spec.orchestrator !== undefined && spec.orchestrator !== '') own[ORCHESTRATOR_LABEL] = spec.orchestrator;
	const account = spec.serviceAccountName ?? '';
	if (account === '') return own;
	// as Calico does, though a label's value could have 63 characters
	if (account.length < 63) own[SERVICE_ACCOUNT_LABEL] = account;
	else delete own[SERVICE_ACCOUNT_LABEL];
	return own;
}

function namedPorts(ports: NonNullable<WorkloadEndpoint['spec']['ports']>): NamedPort[] {
	return ports.flatMap(({ name, protocol, port }) => {
		const parsed = parseProtocol(protocol);
		const spelling = parsed === undefined ? undefined : portProtocol(protocolNumber(parsed));
		return name === undefined || name === '' || spelling === undefined ? [] : [{ name, protocol: spelling, port }];
	});
}

/** Reads a network set; networks that cannot be read are left out. */
export function readNetworkSet(set: NetworkSet | GlobalNetworkSet): Reading<Selectable> {
	const { metadata, spec, kind } = set;
	const problems: TortieError[] = [];
	const namespace = kind === 'NetworkSet' ? metadata.namespace : undefined;
	const subject = describePolicy(policyId(kind, namespace, metadata.name));
	const nets = readNets(spec.nets, (index, text) => problems.push(badNet(subject, `spec.nets[${index}]`, text)));
	const labels: Record<string, string> = { ...metadata.labels };
	delete labels[NAMESPACE_LABEL];
	if (namespace !== undefined) labels[NAMESPACE_LABEL] = namespace;
	const parents = namespace === undefined ? [] : [`kns.${namespace}`];
	return { value: { labels, parents, nets, ports: [] }, problems };
}

/** The networks of a list, without those that cannot be read. */
function readNets(texts: readonly string[] = [], onUnreadable: (index: number, text: string) => void): Cidr[] {
	const nets = texts.map((text, index) => {
		const net = parseCidr(text);
		if (net === undefined) onUnreadable(index, text);
		// of equal texts the one that is there already
		return net === text ? (text as Cidr) : net;
	});
	return nets.filter((net) => net !== undefined);
}

/** Reads a pool; one that is for load balancers only is absent. */
export function readPool({ metadata, spec }: IPPool): Reading<PoolInput> {
	const uses = spec.allowedUses ?? [];
	if (uses.length > 0 && uses.every((use) => use === 'LoadBalancer')) return { value: undefined, problems: [] };
	const prefix = parseCidr(spec.cidr);
	if (prefix === undefined) return { value: undefined, problems: [badNet(`IPPool ${metadata.name}`, 'spec.cidr', spec.cidr)] };
	return { value: { prefix, masquerade: spec.natOutgoing === true }, problems: [] };
}

function badNet(subject: string, path: string, found: unknown): TortieError {
	return policyError('POLICY_BAD_NET', {
		message: `found ${JSON.stringify(found)}, which is left out`,
		path: `${subject}: ${path}`,
		found,
		allowed: 'a network such as 10.0.0.0/8 or 2001:db8::/32',
		hint: 'correct it',
	});
}

/**
 * Reads a policy. One that applies before connection tracking or DNAT is absent: those are for host endpoints only.
 *
 * @param id by the name it is stored under, which for a policy of older releases is not the name it calls itself
 * @param lastGood what this policy was before; it stays if the new one's selection cannot be read
 */
export function readPolicy(
	policy: NetworkPolicy | GlobalNetworkPolicy,
	id: PolicyId,
	lastGood: PolicyInput | undefined,
): Reading<PolicyInput> {
	const { metadata, spec, kind } = policy;
	if (kind === 'GlobalNetworkPolicy' && (policy.spec.doNotTrack === true || policy.spec.preDNAT === true))
		return { value: undefined, problems: [] };
	const namespace = kind === 'NetworkPolicy' ? metadata.namespace : undefined;
	const { selector, unreadable } = policySelection(policy);
	const isUnreadable = unreadable.length > 0;
	const keepsLast = isUnreadable && lastGood !== undefined && !lastGood.deniesAll;
	const problems = unreadable.map(({ field, found, allowed, cause }) =>
		policyError('POLICY_BAD_SELECTOR', {
			message: `cannot be read; ${keepsLast ? 'the policy as it was before stays' : 'the policy denies whatever the rest of it selects'} until then`,
			path: `${describePolicy(id)}: spec.${field}`,
			found,
			allowed,
			hint: 'correct the selector',
			cause,
		}),
	);
	if (keepsLast) return { value: lastGood, problems };
	const types = spec.types ?? [];
	const rules = (type: 'Ingress' | 'Egress', list: readonly Rule[] | undefined): readonly Rule[] | undefined =>
		types.length === 0 || types.includes(type) ? (list ?? []) : undefined;
	return {
		value: {
			id,
			namespace,
			name: metadata.name,
			kind,
			tier: spec.tier === undefined || spec.tier === '' ? 'default' : spec.tier,
			order: spec.order ?? Number.POSITIVE_INFINITY,
			selector,
			ingress: rules('Ingress', spec.ingress),
			egress: rules('Egress', spec.egress),
			everywhere: spec.performanceHints?.includes('AssumeNeededOnEveryNode') === true,
			deniesAll: isUnreadable,
		},
		problems,
	};
}
