import { z } from 'zod';
import { anyText, asNumber, cidrOrIp, ipv4Address, ipv4Cidr, ipv6Address, ipv6Cidr, macAddress, wireguardKey } from '../schema/field.ts';
import { type Column, defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const asnColumn: Column<{ readonly spec: { readonly bgp?: { readonly asNumber?: number | undefined } | undefined } }> = {
	heading: 'ASN',
	cell: ({ spec }, { asNumber: clusterAsNumber }) => String(spec.bgp?.asNumber ?? `(${clusterAsNumber})`),
};

export const node = defineKind({
	kind: 'Node',
	plural: 'nodes',
	aliases: ['no', 'nos'],
	spec: z.object({
		bgp: z
			.object({
				asNumber: asNumber.optional(),
				ipv4Address: ipv4Cidr.optional(),
				ipv6Address: ipv6Cidr.optional(),
				ipv4IPIPTunnelAddr: ipv4Address.optional(),
				routeReflectorClusterID: ipv4Address.optional(),
			})
			.optional(),
		ipv4VXLANTunnelAddr: ipv4Address.optional(),
		vxlanTunnelMACAddr: macAddress.optional(),
		ipv6VXLANTunnelAddr: ipv6Address.optional(),
		vxlanTunnelMACAddrV6: macAddress.optional(),
		orchRefs: z.array(z.object({ nodeName: anyText.optional(), orchestrator: anyText.optional() })).optional(),
		wireguard: z.object({ interfaceIPv4Address: ipv4Address.optional(), interfaceIPv6Address: ipv6Address.optional() }).optional(),
		addresses: z.array(z.object({ address: cidrOrIp, type: z.enum(['CalicoNodeIP', 'InternalIP', 'ExternalIP']).optional() })).optional(),
		interfaces: z.array(z.object({ name: anyText.optional(), addresses: z.array(cidrOrIp).optional() })).optional(),
	}),
	status: z.object({
		wireguardPublicKey: wireguardKey.optional(),
		wireguardPublicKeyV6: wireguardKey.optional(),
		podCIDRs: z.array(cidrOrIp).optional(),
	}),
	columns: {
		ps: [nameColumn],
		wide: [nameColumn, asnColumn, column('IPV4', ({ spec }) => spec.bgp?.ipv4Address), column('IPV6', ({ spec }) => spec.bgp?.ipv6Address)],
	},
	validate({ spec }, report) {
		if (spec.bgp !== undefined && Object.values(spec.bgp).every((value) => value === undefined || value === ''))
			report(['spec', 'bgp'], spec.bgp, 'at least one of its fields, or no bgp at all', 'leave bgp out for a node without BGP');
	},
});
