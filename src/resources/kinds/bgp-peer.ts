import { z } from 'zod';
import { type Ip, ipFamily, parseIp } from '#net';
import { asNumber, duration, flag, int32, integer, ipAddress, resourceName, secretReference, selector, text } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

const peerAddress = text(
	'an IP address, optionally with a port: 192.0.2.1, 192.0.2.1:1179, 2001:db8::1 or [2001:db8::1]:1179',
	(value) => parsePeerAddress(value) !== undefined,
);

export const bgpPeer = defineKind({
	kind: 'BGPPeer',
	plural: 'bgppeers',
	aliases: ['bgpp', 'bgpps', 'bp', 'bps'],
	spec: z.object({
		node: resourceName.max(253).optional(),
		nodeSelector: selector.optional(),
		peerIP: peerAddress.max(64).optional(),
		peerSelector: selector.optional(),
		localWorkloadSelector: selector.optional(),
		asNumber: asNumber.optional(),
		localASNumber: asNumber.optional(),
		numAllowedLocalASNumbers: int32.optional(),
		filters: z.array(resourceName).optional(),
		password: secretReference.optional(),
		keepOriginalNextHop: flag.optional(),
		nextHopMode: z.enum(['Auto', 'Self', 'Keep']).optional(),
		sourceAddress: z.enum(['UseNodeIP', 'None']).optional(),
		reachableBy: ipAddress.max(64).optional(),
		reversePeering: z.enum(['Auto', 'Manual']).optional(),
		maxRestartTime: duration.optional(),
		keepaliveTime: duration.optional(),
		ttlSecurity: integer(0, 255).optional(),
	}),
	columns: {
		ps: [
			nameColumn,
			column('PEERIP', ({ spec }) => spec.peerIP),
			column('NODE', ({ spec }) => filled(spec.node) ?? filled(spec.nodeSelector) ?? '(global)'),
			column('ASN', ({ spec }) => spec.asNumber),
		],
	},
	validate({ spec }, report) {
		const peerIP = filled(spec.peerIP);
		const peerSelector = filled(spec.peerSelector);
		if (filled(spec.node) !== undefined && filled(spec.nodeSelector) !== undefined)
			report(['spec', 'nodeSelector'], spec.nodeSelector, 'nothing, as node is set');
		if (peerIP !== undefined && peerSelector !== undefined)
			report(['spec', 'peerSelector'], spec.peerSelector, 'nothing, as peerIP is set');
		if (peerSelector !== undefined && spec.asNumber !== undefined)
			report(['spec', 'asNumber'], spec.asNumber, 'nothing, as peerSelector is set: the selected nodes have their AS numbers');
		if (filled(spec.localWorkloadSelector) !== undefined) {
			for (const field of ['peerIP', 'peerSelector'] as const)
				if (filled(spec[field]) !== undefined) report(['spec', field], spec[field], 'nothing, as localWorkloadSelector is set');
			if (spec.asNumber === undefined) report(['spec', 'asNumber'], undefined, 'an AS number, as localWorkloadSelector is set');
		}
		const gateway = parseIp(spec.reachableBy ?? '');
		if (gateway !== undefined) {
			const family = peerIP === undefined ? undefined : parsePeerAddress(peerIP)?.family;
			if (family !== ipFamily(gateway))
				report(
					['spec', 'reachableBy'],
					spec.reachableBy,
					family === undefined ? 'nothing, as peerIP is not set' : `an IPv${family} address, as peerIP is`,
				);
		}
		if (spec.keepOriginalNextHop === true && spec.nextHopMode !== undefined)
			report(['spec', 'nextHopMode'], spec.nextHopMode, 'nothing, as keepOriginalNextHop is true');
	},
});

/** A peer's address and, where one was given, its port. */
export interface PeerAddress {
	readonly address: Ip;
	readonly family: 4 | 6;
	readonly port: number | undefined;
}

/**
 * Reads a `peerIP`: an address, `IPv4:port` or `[IPv6]:port`.
 *
 * @returns undefined if the text is none of them
 */
export function parsePeerAddress(value: string): PeerAddress | undefined {
	const plain = parseIp(value);
	if (plain !== undefined) return { address: plain, family: ipFamily(plain), port: undefined };
	const parts = /^(?:\[([^\]]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/.exec(value);
	if (parts === null) return undefined;
	const address = parseIp(parts[1] ?? parts[2] ?? '');
	const port = Number(parts[3]);
	if (address === undefined || port > 65_535 || ipFamily(address) !== (parts[1] === undefined ? 4 : 6)) return undefined;
	return { address, family: ipFamily(address), port };
}

function filled(value: string | undefined): string | undefined {
	return value === '' ? undefined : value;
}
