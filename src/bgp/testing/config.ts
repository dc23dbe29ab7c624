/** For tests: configurations with everything defaulted that a test does not care about. */
import { FAMILIES, ip } from '#net';
import type { PeerConfig, RouteFilter, RouterConfig } from '../router-config.ts';

export const ACCEPT_ALL: RouteFilter = { rules: [], otherwise: 'accept' };

/** A peer's configuration with everything but its address defaulted. */
export function peerConfig(address: string, asNumber: number, more: Partial<PeerConfig> = {}): PeerConfig {
	return {
		name: `Node_${address.replaceAll(/[.:]/g, '_')}`,
		address: ip(address),
		port: 179,
		asNumber,
		localAsNumber: undefined,
		sourceAddress: undefined,
		passive: false,
		password: undefined,
		holdTimeSeconds: 90,
		restartTimeSeconds: 120,
		ttlSecurityHops: undefined,
		routeReflectorClusterId: undefined,
		allowedLocalAs: 0,
		nextHop: 'auto',
		families: FAMILIES.map((family) => ({ family, importFilter: ACCEPT_ALL, exportFilter: ACCEPT_ALL })),
		...more,
	};
}

/** A router's configuration with everything but its identity defaulted. */
export function routerConfig(routerId: string, asNumber: number, more: Partial<RouterConfig> = {}): RouterConfig {
	return {
		routerId: ip(routerId),
		asNumber,
		listen: { port: 179, addresses: undefined },
		peers: [],
		originate: [],
		staticRoutes: [],
		kernel: { table: 254, metric: { 4: 0, 6: 1024 }, filter: ACCEPT_ALL, recoverySeconds: 120 },
		ignoredInterfaces: [],
		...more,
	};
}
