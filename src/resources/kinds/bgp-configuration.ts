import { z } from 'zod';
import { isCommunity } from '../fields/community.ts';
import {
	asNumber,
	cidrNetwork,
	duration,
	filledText,
	flag,
	ipv4Address,
	ipv6Address,
	logLevel,
	portNumber,
	resourceName,
	routePriority,
	secretReference,
	unique,
} from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const COMMUNITY = 'a community aa:nn (each 0 to 65535) or aa:nn:mm (each 0 to 4294967295)';
const cidrs = z.array(z.object({ cidr: cidrNetwork })).optional();

const ONLY_ON_DEFAULT = [
	'nodeToNodeMeshEnabled',
	'asNumber',
	'serviceLoadBalancerIPs',
	'serviceExternalIPs',
	'serviceClusterIPs',
	'nodeMeshPassword',
	'nodeMeshMaxRestartTime',
] as const;

export const bgpConfiguration = defineKind({
	kind: 'BGPConfiguration',
	plural: 'bgpconfigurations',
	aliases: ['bgpconfig', 'bgpconfigs'],
	shortNames: ['bgpconfig', 'bgpconfigs'],
	spec: z.object({
		logSeverityScreen: logLevel.optional(),
		nodeToNodeMeshEnabled: flag.optional(),
		asNumber: asNumber.optional(),
		bindMode: z.enum(['None', 'NodeIP']).optional(),
		listenPort: portNumber.optional(),
		communities: z
			.array(z.object({ name: resourceName.max(253).optional(), value: filledText(COMMUNITY, isCommunity).max(40).optional() }))
			.max(500)
			.optional(),
		prefixAdvertisements: z
			.array(z.object({ cidr: cidrNetwork.optional(), communities: z.array(z.string()).max(50).optional() }))
			.max(500)
			.optional(),
		ignoredInterfaces: unique(
			filledText(
				'an interface name or a pattern with *, but not * alone',
				(value) => value !== '*' && /^[a-zA-Z0-9_.*-]{1,15}$/.test(value),
			),
		).optional(),
		ipv4NormalRoutePriority: routePriority.optional(),
		ipv6NormalRoutePriority: routePriority.optional(),
		localWorkloadPeeringIPV4: ipv4Address.optional(),
		localWorkloadPeeringIPV6: ipv6Address.optional(),
		nodeMeshMaxRestartTime: duration.optional(),
		nodeMeshPassword: secretReference.optional(),
		programClusterRoutes: z.enum(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly']).optional(),
		serviceClusterIPs: cidrs,
		serviceExternalIPs: cidrs,
		serviceLoadBalancerIPs: cidrs,
		serviceLoadBalancerAggregation: z.enum(['Enabled', 'Disabled']).optional(),
	}),
	columns: {
		ps: [
			nameColumn,
			column('LOGSEVERITY', ({ spec }) => spec.logSeverityScreen),
			column('MESHENABLED', ({ spec }) => spec.nodeToNodeMeshEnabled),
			column('ASNUMBER', ({ spec }) => spec.asNumber),
		],
	},
	// a default written into node.<name> would override what `default` says
	defaults: ({ spec, ...rest }) => ({
		...rest,
		spec:
			rest.metadata.name === 'default'
				? {
						...spec,
						logSeverityScreen: spec.logSeverityScreen ?? 'Info',
						serviceLoadBalancerAggregation: spec.serviceLoadBalancerAggregation ?? 'Enabled',
					}
				: spec,
	}),
	validate({ metadata, spec }, report) {
		if (metadata.name !== 'default')
			for (const field of ONLY_ON_DEFAULT)
				if (spec[field] !== undefined)
					report(['spec', field], spec[field], 'nothing: this is set for the whole cluster, in the BGPConfiguration named default');
		if (spec.nodeToNodeMeshEnabled === false)
			for (const field of ['nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const)
				if (spec[field] !== undefined) report(['spec', field], spec[field], 'nothing, as nodeToNodeMeshEnabled is false');
		const advertisements = spec.prefixAdvertisements ?? [];
		const names = new Set(spec.communities?.map(({ name }) => name));
		if (names.size > 0 && advertisements.length === 0)
			report(['spec', 'prefixAdvertisements'], spec.prefixAdvertisements, 'at least one prefix, as communities are defined');
		for (const [index, { communities = [] }] of advertisements.entries())
			for (const [position, community] of communities.entries())
				if (!names.has(community) && !isCommunity(community))
					report(
						['spec', 'prefixAdvertisements', index, 'communities', position],
						community,
						`a name defined in spec.communities, or ${COMMUNITY}`,
					);
	},
});
