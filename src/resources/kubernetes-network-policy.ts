import { z } from 'zod';
import { parseCidr, splitCidr } from '#net';
import { ResourceInvalidError } from './errors.ts';
import { DEFAULT_NAME, isLabelValue, isQualifiedName, LABEL_VALUE_ALLOWED, matchesName, QUALIFIED_NAME_ALLOWED } from './fields/names.ts';
import { collectProblems, type PathStep, type Problem, type Report } from './problem.ts';
import { conform, isRecord } from './schema/conform.ts';
import { filledText, integer } from './schema/field.ts';
import { metadataSchema, type ObjectMeta, validateLabelsAndAnnotations } from './schema/metadata.ts';
import type { ReadonlyDeep } from './schema/readonly.ts';

export const KUBERNETES_NETWORK_POLICY_API_VERSION = 'networking.k8s.io/v1';

const labelSelectorSchema = z.object({
	matchLabels: z.record(z.string(), z.string()).optional(),
	matchExpressions: z
		.array(
			z.object({
				key: z.string(),
				operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
				values: z.array(z.string()).optional(),
			}),
		)
		.optional(),
});

const ipv4OrIpv6Network = filledText('a CIDR, such as 10.0.0.0/8', (value) => value.includes('/') && splitCidr(value) !== undefined);

const peerSchema = z.object({
	podSelector: labelSelectorSchema.optional(),
	namespaceSelector: labelSelectorSchema.optional(),
	ipBlock: z.object({ cidr: ipv4OrIpv6Network, except: z.array(ipv4OrIpv6Network).optional() }).optional(),
});

const PORT = 'a port from 1 to 65535, or the name of a container port: at most 15 lower-case letters, digits and -';
const portSchema = z.object({
	protocol: z.enum(['TCP', 'UDP', 'SCTP']).optional(),
	port: z
		.union([z.int(), z.string()], { error: PORT })
		.refine((value) => (typeof value === 'number' ? value >= 1 && value <= 65_535 : isPortName(value)), { error: PORT })
		.optional(),
	endPort: integer(1, 65_535).optional(),
});

const specSchema = z.object({
	podSelector: labelSelectorSchema.optional(),
	policyTypes: z
		.array(z.enum(['Ingress', 'Egress']))
		.max(2)
		.optional(),
	ingress: z.array(z.object({ from: z.array(peerSchema).optional(), ports: z.array(portSchema).optional() })).optional(),
	egress: z.array(z.object({ to: z.array(peerSchema).optional(), ports: z.array(portSchema).optional() })).optional(),
});

/** Kubernetes' own way to select by labels. */
export type LabelSelector = ReadonlyDeep<z.infer<typeof labelSelectorSchema>>;
export type KubernetesNetworkPolicyPeer = ReadonlyDeep<z.infer<typeof peerSchema>>;
export type KubernetesNetworkPolicyPort = ReadonlyDeep<z.infer<typeof portSchema>>;

/** NetworkPolicy of networking.k8s.io/v1. */
export interface KubernetesNetworkPolicy {
	readonly apiVersion: typeof KUBERNETES_NETWORK_POLICY_API_VERSION;
	readonly kind: 'NetworkPolicy';
	readonly metadata: ObjectMeta;
	readonly spec: ReadonlyDeep<z.infer<typeof specSchema>>;
}

/** Whether a document says of itself that it is a NetworkPolicy of Kubernetes. */
export function isKubernetesNetworkPolicy(value: unknown): boolean {
	return isRecord(value) && value['apiVersion'] === KUBERNETES_NETWORK_POLICY_API_VERSION && value['kind'] === 'NetworkPolicy';
}

/**
 * Reads a NetworkPolicy of Kubernetes by the rules that its API server has. A policy without a namespace is in
 * `default`.
 *
 * @throws RESOURCE_INVALID ({@link ResourceInvalidError}) with every problem that was found
 */
export function parseKubernetesNetworkPolicy(
	value: unknown,
	options: { readonly path?: string | undefined } = {},
): KubernetesNetworkPolicy {
	const problems: Problem[] = [];
	const document = isRecord(value) ? value : {};
	const { apiVersion, kind, metadata, spec, status: _status, ...unknown } = document;
	if (apiVersion !== KUBERNETES_NETWORK_POLICY_API_VERSION)
		problems.push({ path: 'apiVersion', found: apiVersion, allowed: KUBERNETES_NETWORK_POLICY_API_VERSION });
	if (kind !== 'NetworkPolicy') problems.push({ path: 'kind', found: kind, allowed: 'NetworkPolicy' });
	for (const name of Object.keys(unknown))
		problems.push({ path: name, found: unknown[name], allowed: 'one of the fields apiVersion, kind, metadata, spec' });
	const policy = {
		apiVersion: KUBERNETES_NETWORK_POLICY_API_VERSION,
		kind: 'NetworkPolicy',
		metadata: conform(metadataSchema, withNamespace(metadata), ['metadata'], 'written', problems),
		spec: conform(specSchema, spec, ['spec'], 'written', problems),
	} as KubernetesNetworkPolicy;
	if (problems.length === 0) problems.push(...collectProblems((report) => validate(policy, report)));
	if (problems.length > 0) {
		const prefix = options.path ?? '';
		throw new ResourceInvalidError(
			'the NetworkPolicy',
			problems.map((problem) => ({ ...problem, path: prefix + problem.path })),
		);
	}
	return policy;
}

function withNamespace(metadata: unknown): unknown {
	return isRecord(metadata) ? { ...metadata, namespace: metadata['namespace'] || 'default' } : metadata;
}

function validate({ metadata, spec }: KubernetesNetworkPolicy, report: Report): void {
	if (!matchesName(DEFAULT_NAME, metadata.name)) report(['metadata', 'name'], metadata.name, DEFAULT_NAME.allowed);
	validateLabelsAndAnnotations(metadata, report);
	validateLabelSelector(spec.podSelector, ['spec', 'podSelector'], report);
	for (const [index, rule] of (spec.ingress ?? []).entries())
		validateRule(rule.from, rule.ports, 'from', ['spec', 'ingress', index], report);
	for (const [index, rule] of (spec.egress ?? []).entries()) validateRule(rule.to, rule.ports, 'to', ['spec', 'egress', index], report);
}

function validateRule(
	peers: readonly KubernetesNetworkPolicyPeer[] | undefined,
	ports: readonly KubernetesNetworkPolicyPort[] | undefined,
	direction: 'from' | 'to',
	path: readonly PathStep[],
	report: Report,
): void {
	for (const [index, peer] of (peers ?? []).entries()) validatePeer(peer, [...path, direction, index], report);
	for (const [index, { port, endPort }] of (ports ?? []).entries()) {
		if (endPort === undefined) continue;
		if (typeof port !== 'number') report([...path, 'ports', index, 'endPort'], endPort, 'nothing, as port is not a number');
		else if (endPort < port) report([...path, 'ports', index, 'endPort'], endPort, `at least ${port}, which is port`);
	}
}

function validatePeer(peer: KubernetesNetworkPolicyPeer, path: readonly PathStep[], report: Report): void {
	const { podSelector, namespaceSelector, ipBlock } = peer;
	if (podSelector === undefined && namespaceSelector === undefined && ipBlock === undefined)
		report(path, peer, 'at least one of podSelector, namespaceSelector and ipBlock');
	validateLabelSelector(podSelector, [...path, 'podSelector'], report);
	validateLabelSelector(namespaceSelector, [...path, 'namespaceSelector'], report);
	if (ipBlock === undefined) return;
	if (podSelector !== undefined || namespaceSelector !== undefined)
		report([...path, 'ipBlock'], ipBlock, 'nothing, as a pod or namespace selector is set');
	const block = splitCidr(ipBlock.cidr);
	for (const [index, except] of (ipBlock.except ?? []).entries()) {
		const hole = splitCidr(except);
		if (block === undefined || hole === undefined) continue;
		const inside = hole.length > block.length && parseCidr(`${hole.address}/${block.length}`) === parseCidr(ipBlock.cidr);
		if (!inside) report([...path, 'ipBlock', 'except', index], except, `a network inside ${ipBlock.cidr}, and smaller`);
	}
}

function validateLabelSelector(selector: LabelSelector | undefined, path: readonly PathStep[], report: Report): void {
	for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
		if (!isQualifiedName(key)) report([...path, 'matchLabels', key], key, `as a key: ${QUALIFIED_NAME_ALLOWED}`);
		if (!isLabelValue(value)) report([...path, 'matchLabels', key], value, LABEL_VALUE_ALLOWED);
	}
	for (const [index, { key, operator, values = [] }] of (selector?.matchExpressions ?? []).entries()) {
		const at = [...path, 'matchExpressions', index];
		if (!isQualifiedName(key)) report([...at, 'key'], key, QUALIFIED_NAME_ALLOWED);
		const takesValues = operator === 'In' || operator === 'NotIn';
		if (takesValues && values.length === 0) report([...at, 'values'], undefined, `at least one value, as operator is ${operator}`);
		if (!takesValues && values.length > 0) report([...at, 'values'], values, `no values, as operator is ${operator}`);
		for (const [position, value] of values.entries())
			if (!isLabelValue(value)) report([...at, 'values', position], value, LABEL_VALUE_ALLOWED);
	}
}

function isPortName(value: string): boolean {
	return /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*$/.test(value);
}
