import { ipFamily } from '#net';
import { parseCommunities } from '../attributes/community.ts';
import { bgpError } from '../errors.ts';
import type { RouteFilter, RouterConfig } from '../router-config.ts';

/** Peers are numbered with 16 bits. */
const MAX_PEERS = 60_000;
const MAX_AS = 0xffffffff;

/**
 * Checks what types do not say.
 *
 * @throws BGP_BAD_CONFIG with the path of the field
 */
export function validateRouterConfig(config: RouterConfig): void {
	check(ipFamily(config.routerId) === 4 && config.routerId !== '0.0.0.0', 'routerId', config.routerId, 'a non-zero IPv4 address');
	checkAs(config.asNumber, 'asNumber');
	checkPort(config.listen.port, 'listen.port');
	check(config.peers.length <= MAX_PEERS, 'peers', config.peers.length, `at most ${MAX_PEERS} peers`);
	checkFilter(config.kernel.filter, 'kernel.filter');
	const names = new Set<string>();
	for (const [position, peer] of config.peers.entries()) {
		const path = `peers[${position}]`;
		check(!names.has(peer.name), `${path}.name`, peer.name, 'a name that no other peer has');
		names.add(peer.name);
		checkAs(peer.asNumber, `${path}.asNumber`);
		if (peer.localAsNumber !== undefined) checkAs(peer.localAsNumber, `${path}.localAsNumber`);
		checkPort(peer.port, `${path}.port`);
		for (const { importFilter, exportFilter } of peer.families) {
			checkFilter(importFilter, `${path}.importFilter`);
			checkFilter(exportFilter, `${path}.exportFilter`);
		}
		const hold = peer.holdTimeSeconds;
		const isHoldTime = Number.isInteger(hold) && hold <= 0xffff && (hold === 0 || hold >= 3);
		check(isHoldTime, `${path}.holdTimeSeconds`, hold, '0, or 3 to 65535');
		const hops = peer.ttlSecurityHops;
		check(hops === undefined || (hops >= 1 && hops <= 255), `${path}.ttlSecurityHops`, hops, '1 to 255');
		const families = new Set(peer.families.map(({ family }) => family));
		check(families.size === peer.families.length, `${path}.families`, peer.families.length, 'each family once');
		check(families.size > 0, `${path}.families`, 0, 'at least one family');
		const key = peer.password === undefined ? 1 : Buffer.byteLength(peer.password);
		check(key >= 1 && key <= 80, `${path}.password`, undefined, '1 to 80 bytes');
		const isInternal = (peer.localAsNumber ?? config.asNumber) === peer.asNumber;
		check(
			peer.routeReflectorClusterId === undefined || isInternal,
			`${path}.routeReflectorClusterId`,
			peer.routeReflectorClusterId,
			'only internal peers as route reflector clients',
		);
	}
}

function checkFilter(filter: RouteFilter, path: string): void {
	for (const [position, { set }] of filter.rules.entries()) {
		const at = `${path}.rules[${position}].set`;
		parseCommunities(set?.addCommunities ?? [], `${at}.addCommunities`);
		for (const asNumber of set?.prependAsPath ?? []) checkAs(asNumber, `${at}.prependAsPath`);
	}
}

function checkAs(asNumber: number, path: string): void {
	check(Number.isInteger(asNumber) && asNumber >= 1 && asNumber <= MAX_AS, path, asNumber, `1 to ${MAX_AS}`);
}

function checkPort(port: number, path: string): void {
	check(Number.isInteger(port) && port >= 1 && port <= 65535, path, port, '1 to 65535');
}

function check(condition: boolean, path: string, found: unknown, allowed: string): void {
	if (!condition)
		throw bgpError('BGP_BAD_CONFIG', { message: `the router configuration is not usable: found ${String(found)}`, path, found, allowed });
}
