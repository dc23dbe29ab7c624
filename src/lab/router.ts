import { type Family, type Ip } from '#net';
import { entriesByFamily, type LabPlan, type SegmentPlan } from './plan.ts';

/**
 * The configuration of a rack's router for BIRD 2: route reflector for the nodes of its rack, which share its AS, and
 * eBGP to the other rack. Pod routes only; the underlay's are static.
 */
export function renderRouter(plan: LabPlan, own: SegmentPlan): string {
	const others = plan.segments.filter((segment) => segment !== own);
	const lines = [
		'log stderr all;',
		`router id 172.18.254.${plan.segments.indexOf(own) + 1};`,
		'graceful restart wait 60;',
		'protocol device { scan time 2; }',
		'protocol direct { ipv4; ipv6; }',
		...plan.families.flatMap((family) => [
			`protocol kernel kernel${family} {`,
			`  ${channel(family)} { import none; export where source = RTS_BGP; };`,
			'  metric 0;',
			'  persist; graceful restart;',
			'}',
		]),
	];
	for (const node of plan.nodes.filter(({ segment }) => segment === own))
		for (const [family, { address }] of entriesByFamily(node.addresses))
			lines.push(
				...session(
					`${node.name}_${family}`,
					family,
					address,
					own.asNumber,
					own.asNumber,
					['rr client;', 'passive;'],
					'next hop self ebgp;',
				),
			);
	for (const other of others)
		for (const [family, { address }] of entriesByFamily(other.interRack))
			lines.push(
				...session(`${other.name.replace('-', '_')}_${family}`, family, address, own.asNumber, other.asNumber, [], 'next hop self;'),
			);
	return `${lines.join('\n')}\n`;
}

function session(
	name: string,
	family: Family,
	neighbour: Ip,
	ownAs: number,
	peerAs: number,
	options: readonly string[],
	nextHop: string,
): readonly string[] {
	return [
		`protocol bgp ${name} {`,
		`  local as ${ownAs};`,
		`  neighbor ${neighbour} as ${peerAs};`,
		...options.map((option) => `  ${option}`),
		'  connect delay time 1; connect retry time 1; error wait time 1, 2;',
		'  graceful restart on;',
		`  ${channel(family)} { import all; export where source = RTS_BGP; ${nextHop} };`,
		'}',
	];
}

function channel(family: Family): string {
	return `ipv${family}`;
}
