import { type Ip, ipToBigInt } from '#net';
import type { PeerConfig, RouterConfig } from '../router-config.ts';
import type { LocalOpen } from '../session/negotiate.ts';

/** RFC 4724 §3: the Restart Time field has 12 bits. */
const MAX_RESTART_TIME_SECONDS = 4095;

/** An IPv4 address in dotted form as a number. */
export function routerIdNumber(address: Ip): number {
	return Number(ipToBigInt(address));
}

/**
 * What we say in the OPEN to a peer.
 *
 * @param restarting whether we have restarted and still wait for the peers' routes (the R bit)
 * @param keepsForwarding whether the kernel went on forwarding in between (the F bit)
 */
export function localOpen(config: RouterConfig, peer: PeerConfig, restarting: boolean, keepsForwarding: boolean): LocalOpen {
	const localAs = peer.localAsNumber ?? config.asNumber;
	const families = peer.families.map(({ family }) => family);
	return {
		localAs,
		peerAs: peer.asNumber,
		open: {
			type: 'open',
			asNumber: localAs,
			holdTimeSeconds: peer.holdTimeSeconds,
			routerId: routerIdNumber(config.routerId),
			capabilities: {
				families,
				routeRefresh: true,
				enhancedRouteRefresh: true,
				as4: localAs,
				gracefulRestart: {
					restarting,
					notification: true,
					restartTimeSeconds: Math.min(peer.restartTimeSeconds, MAX_RESTART_TIME_SECONDS),
					families: families.map((family) => ({ family, forwarding: keepsForwarding })),
				},
				addPath: families.map((family) => ({ family, receive: true, send: false })),
				extendedNextHop: [],
			},
		},
	};
}
