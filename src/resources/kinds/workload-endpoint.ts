import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Cidr, cidrContainsIp, type Ip, parseCidr, parseIp, splitCidr } from '#net';
import { parseProtocol, protocolHasPorts } from '../fields/protocol.ts';
import {
	cidrOrIp,
	dscp,
	filledText,
	integer,
	interfaceName,
	ipAddress,
	ipv4Address,
	ipv6Address,
	macAddress,
	naturalNumber,
	portNumber,
	protocol,
	resourceName,
	text,
} from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';
import { workloadEndpointName } from './workload-endpoint-name.ts';

const hostNetwork = filledText('one address, with /32 or /128', (value) => {
	const parts = splitCidr(value);
	return parts !== undefined && parts.length === (parts.family === 4 ? 32 : 128);
});

const filledIp = filledText('an IP address', (value) => parseIp(value) !== undefined);

const limit = naturalNumber.optional();

export const workloadEndpoint = defineKind({
	kind: 'WorkloadEndpoint',
	plural: 'workloadendpoints',
	namespaced: true,
	aliases: ['wep', 'weps'],
	spec: z.object({
		orchestrator: resourceName.optional(),
		workload: resourceName.optional(),
		node: resourceName.optional(),
		containerID: text('letters, digits and -, with a letter or digit at both ends', (value) =>
			/^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(value),
		).optional(),
		pod: resourceName.optional(),
		endpoint: resourceName.optional(),
		serviceAccountName: resourceName.optional(),
		ipNetworks: z.array(hostNetwork).optional(),
		ipNATs: z.array(z.object({ internalIP: filledIp, externalIP: filledIp })).optional(),
		ipv4Gateway: ipv4Address.optional(),
		ipv6Gateway: ipv6Address.optional(),
		profiles: z.array(resourceName).optional(),
		interfaceName: interfaceName.optional(),
		mac: macAddress.optional(),
		ports: z
			.array(
				z.object({
					name: text('1 to 128 letters, digits, _, . and -', (value) => /^[a-zA-Z0-9_.-]{1,128}$/.test(value)).optional(),
					protocol,
					port: portNumber,
					hostPort: integer(0, 65_535).optional(),
					hostIP: ipAddress.optional(),
				}),
			)
			.optional(),
		allowSpoofedSourcePrefixes: z.array(cidrOrIp).optional(),
		qosControls: z
			.object({
				ingressBandwidth: limit,
				egressBandwidth: limit,
				ingressBurst: limit,
				egressBurst: limit,
				ingressPeakrate: limit,
				egressPeakrate: limit,
				ingressMinburst: limit,
				egressMinburst: limit,
				ingressPacketRate: limit,
				egressPacketRate: limit,
				ingressPacketBurst: limit,
				egressPacketBurst: limit,
				ingressMaxConnections: limit,
				egressMaxConnections: limit,
				dscp: dscp.optional(),
			})
			.optional(),
	}),
	columns: {
		ps: [
			column('WORKLOAD', workloadOf),
			column('NODE', ({ spec }) => spec.node),
			column('NETWORKS', ({ spec }) => spec.ipNetworks),
			column('INTERFACE', ({ spec }) => spec.interfaceName),
		],
		wide: [
			nameColumn,
			column('WORKLOAD', workloadOf),
			column('NODE', ({ spec }) => spec.node),
			column('NETWORKS', ({ spec }) => spec.ipNetworks),
			column('INTERFACE', ({ spec }) => spec.interfaceName),
			column('PROFILES', ({ spec }) => spec.profiles),
			column('NATS', ({ spec }) => spec.ipNATs?.map(({ externalIP }) => externalIP)),
		],
	},
	listableByNamePrefix: true,
	storedLabels: ({ metadata, spec }) => ({
		'projectcalico.org/namespace': metadata.namespace ?? '',
		'projectcalico.org/orchestrator': spec.orchestrator ?? '',
	}),
	validate({ metadata, spec }, report) {
		const name = workloadEndpointName({
			...spec,
			node: spec.node ?? '',
			orchestrator: spec.orchestrator ?? '',
			endpoint: spec.endpoint ?? '',
		});
		if (name !== metadata.name)
			report(
				['metadata', 'name'],
				metadata.name,
				name === undefined
					? 'a name made of spec.node, orchestrator, pod (or container or workload) and endpoint, of which one is missing or begins or ends with -'
					: `${name}, as spec.node, orchestrator, pod (or container or workload) and endpoint make it`,
			);
		const networks = (spec.ipNetworks ?? []).map((network) => parseCidr(network) as Cidr);
		for (const [index, { internalIP, externalIP }] of (spec.ipNATs ?? []).entries()) {
			if (internalIP.includes(':') !== externalIP.includes(':'))
				report(['spec', 'ipNATs', index, 'externalIP'], externalIP, `an address of the family of ${internalIP}`);
			if (!networks.some((network) => cidrContainsIp(network, parseIp(internalIP) as Ip)))
				report(['spec', 'ipNATs', index, 'internalIP'], internalIP, 'an address in spec.ipNetworks');
		}
		for (const [index, port] of (spec.ports ?? []).entries()) {
			const known = parseProtocol(port.protocol);
			if (known !== undefined && !protocolHasPorts(known)) report(['spec', 'ports', index, 'protocol'], port.protocol, 'TCP, UDP or SCTP');
			if ((port.name === undefined || port.name === '') && (port.hostPort ?? 0) === 0)
				report(['spec', 'ports', index, 'name'], port.name, 'a name, as hostPort is not set');
		}
	},
});

function workloadOf({
	spec,
}: {
	readonly spec: { readonly workload?: string | undefined; readonly pod?: string | undefined; readonly containerID?: string | undefined };
}): string | undefined {
	return [spec.pod, spec.workload, spec.containerID].find((text) => text !== undefined && text !== '');
}

/**
 * The host side's interface name of a pod: the prefix and eleven digits of the SHA-1 of `<namespace>.<pod>`, as every
 * Calico component computes it.
 */
export function hostInterfaceName(namespace: string, pod: string, prefix = 'cali'): string {
	return prefix + createHash('sha1').update(`${namespace}.${pod}`).digest('hex').slice(0, 11);
}
