import { type Family, type Ip, ipBytes, ipFamily } from '#net';
import type { AttributeContext } from '../attributes/parse.ts';
import type { ExportSettings } from '../export/export-policy.ts';
import type { Exporter } from '../export/exporter.ts';
import type { MemberSink } from '../export/member.ts';
import { filterKey } from '../policy/filter.ts';
import type { Rib } from '../rib/rib.ts';
import type { PeerConfig, RouterConfig } from '../router-config.ts';
import type { Transport } from '../session/connection.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { SessionEnd } from '../session/session.ts';
import type { Notification } from '../wire/notification.ts';
import { encodeRouteRefresh, type RouteRefresh } from '../wire/route-refresh.ts';
import { routerIdNumber } from './capabilities.ts';
import type { Importer } from './importer.ts';
import type { Peer, PeerFamily } from './peer.ts';
import { markStale, type Purger } from './purge.ts';

/** Output a peer may leave in its queue before it no longer shares its group's messages. */
const BACKLOG_LIMIT = 1 << 20;
/** How long routes are kept that a restarted peer has not sent again (RFC 4724 §4.2, last paragraph). */
const STALE_PATH_MS = 360_000;

/** A transport that knows our own address on it. */
export interface PeerTransport extends Transport {
	readonly localAddress: Ip;
}

export interface PeerRoutesModules {
	readonly ribs: Readonly<Record<Family, Rib>>;
	readonly exporters: Readonly<Record<Family, Exporter>>;
	readonly importer: Importer;
	readonly purger: Purger;
	readonly now: () => number;
	readonly router: () => RouterConfig;
	readonly addressBeside: (address: Ip, family: Family) => Ip | undefined;
	readonly wake: () => void;
	/** A peer has sent all its routes of a family. */
	readonly onEndOfRib: () => void;
	readonly onBadUpdate: (peer: Peer, reason: string) => void;
}

/** What sessions do to routes: from establishment to loss, graceful restart and refresh included. */
export class PeerRoutes {
	readonly #modules: PeerRoutesModules;

	constructor(modules: PeerRoutesModules) {
		this.#modules = modules;
	}

	established(peer: Peer, negotiated: Negotiated, transport: PeerTransport): void {
		const router = this.#modules.router();
		peer.facts.external = negotiated.external;
		peer.facts.routerId = negotiated.routerId;
		peer.established = { negotiated, transport, context: attributeContext(router, peer.config, negotiated) };
		for (const family of peer.families.values()) {
			family.endOfRib = false;
			const keptForwarding = negotiated.gracefulRestart?.families.get(family.family) === true;
			if (family.staleUntilMs !== undefined) {
				if (keptForwarding) family.staleUntilMs = this.#modules.now() + STALE_PATH_MS;
				else this.#modules.purger.removeAll(this.#modules.ribs[family.family], family);
			}
			if (negotiated.families.includes(family.family)) this.#join(peer, family, transport);
		}
		this.#modules.wake();
	}

	ended(peer: Peer, end: SessionEnd): void {
		const kept = end.restart ? peer.established?.negotiated.gracefulRestart : undefined;
		peer.established = undefined;
		for (const family of peer.families.values()) {
			const rib = this.#modules.ribs[family.family];
			if (family.export !== undefined) this.#modules.exporters[family.family].leave(family.export);
			family.export = undefined;
			family.endOfRib = false;
			// RFC 4724 §4.2: what was still stale from an earlier restart goes now
			if (kept?.families.has(family.family) === true && markStale(rib, family, 'remove'))
				family.staleUntilMs = this.#modules.now() + kept.restartTimeMs;
			else this.#modules.purger.removeAll(rib, family);
		}
		this.#modules.wake();
	}

	update(peer: Peer, bytes: Uint8Array, start: number, end: number): Notification | undefined {
		if (peer.established === undefined) return undefined;
		const result = this.#modules.importer.update(peer, peer.established.context, bytes, start, end);
		this.#modules.wake();
		if ('type' in result) return result;
		if (result.problem !== undefined) this.#modules.onBadUpdate(peer, result.problem);
		if (result.endOfRib !== undefined) this.#endOfRib(peer, result.endOfRib);
		return undefined;
	}

	refresh(peer: Peer, message: RouteRefresh): void {
		const family = peer.families.get(message.family);
		if (family === undefined || peer.established === undefined) return;
		const { transport, negotiated } = peer.established;
		const rib = this.#modules.ribs[message.family];
		if (message.kind === 'begin') {
			if (markStale(rib, family, 'keep')) family.staleUntilMs = this.#modules.now() + STALE_PATH_MS;
		} else if (message.kind === 'end') this.#modules.purger.removeStale(rib, family);
		else if (family.export !== undefined) {
			if (negotiated.enhancedRouteRefresh) {
				transport.send(encodeRouteRefresh(message.family, 'begin'));
				family.export.member.endOfRefreshDue = true;
			}
			family.export.group.refresh(family.export.member);
		}
		this.#modules.wake();
	}

	/**
	 * Applies changed filters and next hop modes to an established session.
	 *
	 * @param reimport whether the peer has to send its routes of the family again
	 * @returns false if that takes a new session, because the peer cannot refresh
	 */
	reconfigure(peer: Peer, family: PeerFamily, reimport: boolean): boolean {
		if (reimport) {
			this.#modules.purger.removeRejected(this.#modules.ribs[family.family], family);
			this.#modules.wake();
		}
		if (peer.established === undefined) return true;
		const { negotiated, transport } = peer.established;
		if (reimport && !negotiated.routeRefresh) return false;
		peer.established = { negotiated, transport, context: attributeContext(this.#modules.router(), peer.config, negotiated) };
		if (reimport) transport.send(encodeRouteRefresh(family.family, 'request'));
		if (family.export !== undefined) {
			const { key, settings } = this.#settings(peer, family, transport as PeerTransport);
			family.export = this.#modules.exporters[family.family].move(family.export, key, settings);
		}
		return true;
	}

	/** Ends what is kept for a restarting peer that did not come back, or did not send everything again, in time. */
	expireStale(peer: Peer): void {
		for (const family of peer.families.values()) {
			if (family.staleUntilMs === undefined || this.#modules.now() < family.staleUntilMs) continue;
			const rib = this.#modules.ribs[family.family];
			if (peer.established === undefined) this.#modules.purger.removeAll(rib, family);
			else this.#modules.purger.removeStale(rib, family);
			this.#modules.wake();
		}
	}

	#endOfRib(peer: Peer, of: Family): void {
		const family = peer.families.get(of);
		if (family === undefined) return;
		family.endOfRib = true;
		if (family.staleUntilMs !== undefined) this.#modules.purger.removeStale(this.#modules.ribs[of], family);
		this.#modules.onEndOfRib();
	}

	#join(peer: Peer, family: PeerFamily, transport: PeerTransport): void {
		const sink: MemberSink = {
			get writable() {
				return transport.queuedBytes < BACKLOG_LIMIT;
			},
			send: (bytes) => transport.send(bytes),
		};
		const { key, settings } = this.#settings(peer, family, transport);
		family.export = this.#modules.exporters[family.family].join(key, settings, peer.facts.index, sink);
	}

	#settings(peer: Peer, family: PeerFamily, transport: PeerTransport): { readonly key: string; readonly settings: ExportSettings } {
		const router = this.#modules.router();
		const { config } = peer;
		const own =
			ipFamily(transport.localAddress) === family.family
				? transport.localAddress
				: this.#modules.addressBeside(transport.localAddress, family.family);
		const settings = {
			family: family.family,
			external: peer.facts.external,
			localAs: config.localAsNumber ?? router.asNumber,
			nextHop: config.nextHop,
			selfKey: own === undefined ? '' : Buffer.from(ipBytes(own)).toString('latin1'),
			clusterId: config.routeReflectorClusterId && routerIdNumber(config.routeReflectorClusterId),
			as4: peer.established?.negotiated.as4 === true,
		};
		const filter = config.families.find((entry) => entry.family === family.family)?.exportFilter;
		const key = `${JSON.stringify(settings)} ${filter === undefined ? '' : filterKey(filter)}`;
		return { key, settings: { ...settings, filter: family.exportFilter } };
	}
}

function attributeContext(router: RouterConfig, config: PeerConfig, negotiated: Negotiated): AttributeContext {
	const cluster = router.peers.find((peer) => peer.routeReflectorClusterId !== undefined)?.routeReflectorClusterId;
	return {
		external: negotiated.external,
		as4: negotiated.as4,
		localAs: config.localAsNumber ?? router.asNumber,
		allowedLocalAs: config.allowedLocalAs,
		routerId: routerIdNumber(router.routerId),
		clusterId: cluster && routerIdNumber(cluster),
	};
}
