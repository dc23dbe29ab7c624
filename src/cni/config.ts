import { z } from 'zod';
import { isContainerId, isInterfaceName } from './environment.ts';
import { cniError } from './errors.ts';
import { type CniVersion, parseCniVersion } from './version.ts';

/** What is understood of a network configuration. Unknown keys are other plugins' or other versions'. */
export interface NetworkConfig {
	readonly cniVersion: CniVersion;
	/** Of the network; part of IPAM handles. */
	readonly name: string;
	readonly ipam: IpamConfig;
	/** 0: as the agent found it for this host. */
	readonly mtu: number;
	readonly requireMtuFile: boolean;
	/** `k8s`: profiles come from the pod's namespace and service account; otherwise from the network's name. */
	readonly policyType: '' | 'k8s';
	/** 0: the agent's own limit. */
	readonly policySetupTimeoutSeconds: number;
	readonly allowIpForwarding: boolean;
	/** The node's name by the configuration; the agent's own is what counts. */
	readonly nodeName: string | undefined;
	/** `args.cni.labels`, the convention for labels that a runtime passes. */
	readonly labels: Readonly<Record<string, string>>;
	/** `args.cni.ports`: the container's named ports, in the same manner. */
	readonly ports: readonly NamedPort[];
	/** The result of the ADD that a DEL or CHECK belongs to, not looked into. */
	readonly prevResult: unknown;
	/** Of GC: the attachments that still live. */
	readonly validAttachments: readonly ValidAttachment[] | undefined;
}

export interface IpamConfig {
	readonly type: string;
	readonly assignIpv4: boolean;
	readonly assignIpv6: boolean;
	/** Names or prefixes of pools; empty leaves the choice to IPAM. */
	readonly ipv4Pools: readonly string[];
	readonly ipv6Pools: readonly string[];
}

export interface NamedPort {
	readonly name: string;
	readonly protocol: 'TCP' | 'UDP' | 'SCTP';
	readonly port: number;
}

export interface ValidAttachment {
	readonly containerID: string;
	readonly ifname: string;
}

/** libcni 1.2.0 to 1.2.2 used another key than the specification; later ones set both. */
const ATTACHMENT_KEYS = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;

/** Calico's own configurations hold texts here; plain JSON is understood too. */
const booleanText = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], { error: '"true" or "false"' });
const poolList = z.array(z.string().min(1)).max(64).nullish();
const label = z.object({ key: z.string().min(1).max(317), value: z.string().max(63) });
const port = z.object({
	name: z.string().regex(/^[a-zA-Z0-9_.-]{1,128}$/),
	protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
	port: z.int().min(1).max(65_535),
});
const attachments = z
	.array(
		z.object({
			containerID: z.string().refine(isContainerId, { error: 'a container ID' }),
			ifname: z.string().refine(isInterfaceName, { error: 'an interface name' }),
		}),
	)
	.max(100_000);

const schema = z.object({
	cniVersion: z.string().optional(),
	name: z
		.string()
		.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/, { error: 'a letter or digit, then letters, digits, `_`, `.` or `-`, 100 in all' }),
	ipam: z.object({
		type: z.string(),
		assign_ipv4: booleanText.nullish(),
		assign_ipv6: booleanText.nullish(),
		ipv4_pools: poolList,
		ipv6_pools: poolList,
	}),
	mtu: z.union([z.literal(0), z.int().min(68).max(65_535)], { error: '0, or 68 to 65535' }).nullish(),
	require_mtu_file: z.boolean().nullish(),
	policy: z.object({ type: z.enum(['', 'k8s']).nullish() }).nullish(),
	policy_setup_timeout_seconds: z.int().min(0).max(600).nullish(),
	container_settings: z.object({ allow_ip_forwarding: z.boolean().nullish() }).nullish(),
	nodename: z.string().nullish(),
	kubernetes: z.object({ node_name: z.string().nullish() }).nullish(),
	dataplane_options: z.object({ type: z.string().nullish() }).nullish(),
	args: z
		.object({ cni: z.object({ labels: z.array(label).max(256).nullish(), ports: z.array(port).max(256).nullish() }).nullish() })
		.nullish(),
	prevResult: z.unknown().optional(),
	[ATTACHMENT_KEYS[0]]: attachments.optional(),
	[ATTACHMENT_KEYS[1]]: attachments.optional(),
});

/**
 * The version that the answer has to be in, found before anything else is looked at.
 *
 * @returns undefined if the text does not say
 */
export function peekCniVersion(text: string): string | undefined {
	try {
		const value: unknown = JSON.parse(text);
		const version = (value as { readonly cniVersion?: unknown } | null)?.cniVersion;
		return typeof version === 'string' && /^[0-9.]{1,31}$/.test(version) ? version : undefined;
	} catch {
		return undefined;
	}
}

/**
 * Reads a network configuration.
 *
 * @throws CNI_BAD_JSON, CNI_INCOMPATIBLE_VERSION, CNI_BAD_CONFIG with the field's path, CNI_UNSUPPORTED_FIELD
 */
export function parseNetworkConfig(text: string): NetworkConfig {
	const value = parseJson(text);
	// before the rest: an unknown version may have fields of other types
	const version = (value as { readonly cniVersion?: unknown } | null)?.cniVersion;
	if (version !== undefined && typeof version !== 'string') throw badField('cniVersion', version, 'a text such as "1.0.0"');
	const cniVersion = parseCniVersion(version);

	const parsed = schema.safeParse(value);
	if (!parsed.success) throw firstProblem(parsed.error, value);
	const conf = parsed.data;
	if (conf.ipam.type !== 'calico-ipam') throw unsupportedField('ipam.type', conf.ipam.type, 'calico-ipam');
	const dataplane = conf.dataplane_options?.type ?? '';
	const assignIpv4 = conf.ipam.assign_ipv4 ?? true;
	const assignIpv6 = conf.ipam.assign_ipv6 ?? false;
	const mtu = conf.mtu ?? 0;
	if (!assignIpv4 && !assignIpv6) throw badField('ipam.assign_ipv4', false, '"true" here or for assign_ipv6');
	// RFC 8200 §5
	if (assignIpv6 && mtu !== 0 && mtu < 1280) throw badField('mtu', mtu, '0, or 1280 and more with IPv6');
	if (dataplane !== '') throw unsupportedField('dataplane_options.type', dataplane, 'nothing: the dataplane is Linux');
	return {
		cniVersion,
		name: conf.name,
		ipam: {
			type: conf.ipam.type,
			assignIpv4,
			assignIpv6,
			ipv4Pools: conf.ipam.ipv4_pools ?? [],
			ipv6Pools: conf.ipam.ipv6_pools ?? [],
		},
		mtu,
		requireMtuFile: conf.require_mtu_file ?? false,
		policyType: conf.policy?.type ?? '',
		policySetupTimeoutSeconds: conf.policy_setup_timeout_seconds ?? 0,
		allowIpForwarding: conf.container_settings?.allow_ip_forwarding ?? false,
		nodeName: conf.kubernetes?.node_name || conf.nodename || undefined,
		labels: Object.fromEntries((conf.args?.cni?.labels ?? []).map(({ key, value }) => [key, value])),
		ports: conf.args?.cni?.ports ?? [],
		prevResult: conf.prevResult,
		validAttachments: conf[ATTACHMENT_KEYS[0]] ?? conf[ATTACHMENT_KEYS[1]],
	};
}

function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw cniError('CNI_BAD_JSON', { message: 'the network configuration on stdin is not JSON', cause });
	}
}

function firstProblem(error: z.ZodError, value: unknown): Error {
	const issue = error.issues[0];
	const steps = issue?.path ?? [];
	let found = value;
	for (const step of steps) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[step];
	return badField(steps.map(String).join('.') || 'the configuration', found, issue?.message ?? 'an object');
}

function badField(path: string, found: unknown, allowed: string): Error {
	const shown = found === undefined ? 'is missing' : `is ${JSON.stringify(found).slice(0, 200)}`;
	return cniError('CNI_BAD_CONFIG', { message: `the field of the network configuration ${shown}`, path, found, allowed });
}

function unsupportedField(path: string, found: string, allowed: string): Error {
	return cniError('CNI_UNSUPPORTED_FIELD', { message: `${JSON.stringify(found.slice(0, 200))} is not supported`, path, found, allowed });
}
