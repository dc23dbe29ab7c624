import { FAMILIES, type Family, type Ip } from '#net';
import { AttributeTable } from '../attributes/attribute-set.ts';
import { AttributeRewriter } from '../attributes/rewrite.ts';
import { Exporter, SLICE } from '../export/exporter.ts';
import { FilterCache } from '../policy/filter.ts';
import { NextHopTable, type Resolution } from '../rib/next-hop.ts';
import { Rib } from '../rib/rib.ts';
import { SourceTable } from '../rib/source.ts';
import type { PeerConfig, PeerStatus, RouterConfig, RouterStatus, SessionState } from '../router-config.ts';
import type { Transport } from '../session/connection.ts';
import { Session, type SessionOptions } from '../session/session.ts';
import { CeaseError, ErrorCode, notification } from '../wire/notification.ts';
import { localOpen, routerIdNumber } from './capabilities.ts';
import { changesImport, needsNewSession } from './difference.ts';
import { Importer } from './importer.ts';
import { type LocalRoute, LocalRoutes } from './local-routes.ts';
import type { Peer, PeerFamily } from './peer.ts';
import { PeerRoutes, type PeerTransport } from './peer-routes.ts';
import { Purger } from './purge.ts';
import { validateRouterConfig } from './validate.ts';

const SESSION: Omit<SessionOptions, 'passive'> = {
	connectRetryMs: { least: 500, most: 5_000 },
	errorWaitMs: { least: 2_000, most: 30_000 },
};
/** Rest after we ended a session to change its configuration, so that the peer has seen its end. */
const RECONFIGURE_MS = 500;

export type SpeakerEvent =
	| { readonly kind: 'state'; readonly peer: string; readonly state: SessionState; readonly reason: string }
	| { readonly kind: 'bad-update'; readonly peer: string; readonly reason: string }
	| { readonly kind: 'recovered' };

/** Is told which prefixes' routes may have changed, in slices. */
export interface RibFollower {
	changed(family: Family, prefixes: Int32Array, count: number): void;
	/** Whether the number of a prefix without paths is still needed; mark the prefix dirty when that ends. */
	holds(family: Family, prefix: number): boolean;
}

export interface SpeakerModules {
	/** Monotonic milliseconds. */
	readonly now: () => number;
	/** Milliseconds since the epoch. */
	readonly wallClock: () => number;
	/** In [0, 1). */
	readonly random: () => number;
	/** Starts a connection; answer with {@link Speaker.connected} or {@link Speaker.connectFailed}. */
	readonly connect: (peer: PeerConfig) => void;
	readonly cancelConnect: (peer: PeerConfig) => void;
	readonly resolveNextHop: (address: Ip, linkLocal: Ip | undefined) => Resolution | undefined;
	/** Our address of the other family beside the given one, for sessions that carry both families. */
	readonly addressBeside: (address: Ip, family: Family) => Ip | undefined;
	/** There is work: call {@link Speaker.work} soon, until it returns false. */
	readonly wake: () => void;
	readonly onEvent: (event: SpeakerEvent) => void;
}

export interface SpeakerOptions {
	/** We start anew while the kernel still has our routes: announce it and wait for the peers' End-of-RIB (RFC 4724 §4.1). */
	readonly restarting: boolean;
	/** Whether the kernel goes on forwarding while we are away. */
	readonly keepsForwarding: boolean;
}

/** A BGP router without sockets and clock: sessions, RIB and update groups, driven from outside. */
export class Speaker {
	readonly ribs: Readonly<Record<Family, Rib>>;
	readonly #modules: SpeakerModules;
	readonly #options: SpeakerOptions;
	readonly #sources = new SourceTable();
	readonly #nextHops: NextHopTable;
	readonly #attributes: AttributeTable;
	readonly #filters = new FilterCache();
	readonly #exporters: Readonly<Record<Family, Exporter>>;
	readonly #peerRoutes: PeerRoutes;
	readonly #localRoutes: LocalRoutes;
	readonly #purger: Purger;
	readonly #peers = new Map<string, Peer>();
	readonly #freeIndexes: number[] = [];
	readonly #followers: RibFollower[] = [];
	readonly #batch = new Int32Array(SLICE);
	#config: RouterConfig | undefined;
	#recoverUntilMs: number | undefined;

	constructor(modules: SpeakerModules, options: SpeakerOptions) {
		this.#modules = modules;
		this.#options = options;
		this.#nextHops = new NextHopTable(modules.resolveNextHop);
		const attributes = new AttributeTable(this.#nextHops);
		this.#attributes = attributes;
		const rewriter = new AttributeRewriter(attributes);
		const sources = this.#sources;
		this.ribs = { 4: new Rib(4, { attributes, sources }), 6: new Rib(6, { attributes, sources }) };
		const exporter = (family: Family): Exporter =>
			new Exporter({
				rib: this.ribs[family],
				attributes,
				rewriter,
				deferLearned: () => this.recovering,
			});
		this.#exporters = { 4: exporter(4), 6: exporter(6) };
		this.#purger = new Purger(sources);
		this.#peerRoutes = new PeerRoutes({
			ribs: this.ribs,
			exporters: this.#exporters,
			importer: new Importer({ ribs: this.ribs, attributes, rewriter, sources }),
			purger: this.#purger,
			now: modules.now,
			router: () => this.#config as RouterConfig,
			addressBeside: modules.addressBeside,
			wake: modules.wake,
			onEndOfRib: () => this.#checkRecovery(),
			onBadUpdate: (peer, reason) => modules.onEvent({ kind: 'bad-update', peer: peer.config.name, reason }),
		});
		this.#localRoutes = new LocalRoutes({ ribs: this.ribs, attributes, rewriter, sources });
		if (options.restarting) this.#recoverUntilMs = Number.POSITIVE_INFINITY;
	}

	get config(): RouterConfig | undefined {
		return this.#config;
	}

	/** Attribute sets in memory. */
	get attributeSetCount(): number {
		return this.#attributes.size;
	}

	/** True while routes of before the restart wait for the peers' End-of-RIB. */
	get recovering(): boolean {
		return this.#recoverUntilMs !== undefined;
	}

	follow(follower: RibFollower): void {
		this.#followers.push(follower);
	}

	/**
	 * Takes over a configuration. Sessions whose own settings did not change stay as they are.
	 *
	 * @throws BGP_BAD_CONFIG; nothing is changed then
	 */
	applyConfig(config: RouterConfig): void {
		validateRouterConfig(config);
		const filters = config.peers.flatMap(({ families }) => families.flatMap((entry) => [entry.importFilter, entry.exportFilter]));
		for (const filter of filters) this.#filters.get(filter);
		const old = this.#config;
		this.#config = config;
		if (old === undefined && this.recovering) this.#recoverUntilMs = this.#modules.now() + config.kernel.recoverySeconds * 1000;
		const identityChanged = old !== undefined && (old.routerId !== config.routerId || old.asNumber !== config.asNumber);
		const byName = new Map(config.peers.map((peer) => [peer.name, peer]));
		for (const [name, peer] of this.#peers) {
			const wanted = byName.get(name);
			if (wanted === undefined || wanted.address !== peer.config.address) this.#removePeer(peer);
		}
		this.#localRoutes.replace(
			'originated',
			config.originate.map(({ prefix }) => ({ prefix, kind: 'originated' })),
		);
		this.#localRoutes.replace(
			'static',
			config.staticRoutes.map(({ prefix, gateway }) => ({ prefix, kind: 'static', gateway })),
		);
		for (const wanted of config.peers) {
			const peer = this.#peers.get(wanted.name);
			if (peer === undefined) this.#addPeer(wanted);
			else this.#changePeer(peer, wanted, identityChanged);
		}
		this.#filters.retainOnly(filters);
		this.#modules.wake();
	}

	/** Adds or replaces a route that is not from a peer. */
	addLocalRoute(route: LocalRoute): void {
		this.#localRoutes.add(route);
		this.#modules.wake();
	}

	removeLocalRoute(kind: 'kernel' | 'direct', prefix: LocalRoute['prefix']): void {
		this.#localRoutes.remove(kind, prefix);
		this.#modules.wake();
	}

	/** An outgoing connection to a peer is there. */
	connected(name: string, transport: PeerTransport): void {
		const peer = this.#peers.get(name);
		if (peer === undefined) transport.abort();
		else peer.session.connected(transport);
	}

	connectFailed(name: string, reason: string): void {
		this.#peers.get(name)?.session.connectFailed(reason);
	}

	/** The peer that a connection from an address belongs to: the one expected at our own address, if several fit. */
	peerFor(remote: Ip, local: Ip): PeerConfig | undefined {
		const matches = [...this.#peers.values()].map(({ config }) => config).filter(({ address }) => address === remote);
		return (
			matches.find(({ sourceAddress }) => sourceAddress === local) ?? matches.find((peer) => peer.sourceAddress === undefined) ?? matches[0]
		);
	}

	accepted(name: string, transport: PeerTransport): void {
		const peer = this.#peers.get(name);
		if (peer === undefined) transport.abort();
		else peer.session.accepted(transport);
	}

	received(name: string, transport: Transport, bytes: Uint8Array): void {
		this.#peers.get(name)?.session.received(transport, bytes);
	}

	closed(name: string, transport: Transport, reason: string): void {
		this.#peers.get(name)?.session.closed(transport, reason);
	}

	/** Runs timers; to be called a few times per second. */
	tick(): void {
		for (const peer of this.#peers.values()) {
			peer.session.tick();
			this.#peerRoutes.expireStale(peer);
		}
		this.#checkRecovery();
	}

	/** Does one slice of what is waiting; says whether there is more to do at once. */
	work(): boolean {
		let more = this.#purger.work();
		for (const family of FAMILIES) {
			const rib = this.ribs[family];
			const count = rib.takeDirty(this.#batch);
			if (count > 0) {
				this.#exporters[family].process(this.#batch, count);
				for (const follower of this.#followers) follower.changed(family, this.#batch, count);
				this.#forgetUnused(family, count);
			}
			const owing = this.#exporters[family].work();
			more ||= owing || rib.hasDirty;
		}
		return more;
	}

	/** Something about interfaces or the way to next hops changed. */
	nextHopsChanged(): void {
		const changed = this.#nextHops.resolveAll();
		if (changed.size === 0) return;
		for (const family of FAMILIES) {
			const rib = this.ribs[family];
			for (let path = 0; path < rib.pathHighWater; path++) {
				if (rib.sourceAt(path) === undefined) continue;
				const { nextHop } = rib.attributesOf(path);
				if (nextHop !== undefined && changed.has(nextHop)) rib.reconsider(rib.prefixOf(path));
			}
		}
		this.#modules.wake();
	}

	status(): RouterStatus | undefined {
		const config = this.#config;
		if (config === undefined) return undefined;
		return {
			routerId: config.routerId,
			asNumber: config.asNumber,
			recovering: this.recovering,
			peers: [...this.#peers.values()].map(peerStatus),
			routes: { 4: this.ribs[4].pathCount, 6: this.ribs[6].pathCount },
		};
	}

	/** Drops all connections without a word: peers keep our routes by graceful restart. */
	abandon(): void {
		for (const peer of this.#peers.values()) peer.session.abandon();
	}

	#addPeer(config: PeerConfig): void {
		const router = this.#config as RouterConfig;
		const facts = {
			index: this.#freeIndexes.pop() ?? this.#peers.size + 1,
			name: config.name,
			address: config.address,
			external: (config.localAsNumber ?? router.asNumber) !== config.asNumber,
			routerId: 0,
			clusterId: config.routeReflectorClusterId && routerIdNumber(config.routeReflectorClusterId),
		};
		const peer: Peer = {
			config,
			facts,
			session: this.#createSession(config, () => peer),
			families: new Map(config.families.map((entry) => [entry.family, this.#createFamily(entry)])),
			established: undefined,
			sinceMs: this.#modules.wallClock(),
		};
		this.#peers.set(config.name, peer);
		peer.session.start();
	}

	#createFamily(entry: PeerConfig['families'][number]): PeerFamily {
		return {
			family: entry.family,
			importFilter: this.#filters.get(entry.importFilter),
			exportFilter: this.#filters.get(entry.exportFilter),
			sources: new Map(),
			received: 0,
			staleUntilMs: undefined,
			endOfRib: false,
			export: undefined,
		};
	}

	#createSession(config: PeerConfig, peer: () => Peer): Session {
		const { now, random, wallClock, connect, cancelConnect, onEvent } = this.#modules;
		return new Session(
			{
				now,
				random,
				localOpen: () => localOpen(this.#config as RouterConfig, peer().config, this.recovering, this.#options.keepsForwarding),
				connect: () => connect(peer().config),
				cancelConnect: () => cancelConnect(peer().config),
				stateChanged: (state) => {
					peer().sinceMs = wallClock();
					onEvent({ kind: 'state', peer: config.name, state, reason: peer().session.info });
				},
				established: (negotiated, transport) => this.#peerRoutes.established(peer(), negotiated, transport as PeerTransport),
				ended: (end) => this.#peerRoutes.ended(peer(), end),
				update: (bytes, start, end) => this.#peerRoutes.update(peer(), bytes, start, end),
				refresh: (refresh) => this.#peerRoutes.refresh(peer(), refresh),
			},
			{ ...SESSION, passive: config.passive },
		);
	}

	#removePeer(peer: Peer): void {
		peer.session.stop(notification(ErrorCode.cease, CeaseError.peerDeconfigured));
		for (const family of peer.families.values()) this.#purger.removeAll(this.ribs[family.family], family);
		this.#peers.delete(peer.config.name);
		this.#freeIndexes.push(peer.facts.index);
	}

	#changePeer(peer: Peer, wanted: PeerConfig, identityChanged: boolean): void {
		const old = peer.config;
		peer.config = wanted;
		peer.session.setOptions({ ...SESSION, passive: wanted.passive });
		if (identityChanged || needsNewSession(old, wanted)) {
			this.#resetPeer(peer);
			return;
		}
		for (const entry of wanted.families) {
			const family = peer.families.get(entry.family);
			if (family === undefined) continue;
			const reimport = changesImport(old, wanted, entry);
			family.importFilter = this.#filters.get(entry.importFilter);
			family.exportFilter = this.#filters.get(entry.exportFilter);
			if (this.#peerRoutes.reconfigure(peer, family, reimport)) continue;
			this.#resetPeer(peer);
			return;
		}
	}

	/** Ends the session and starts a new one with the present configuration. */
	#resetPeer(peer: Peer): void {
		peer.session.stop(notification(ErrorCode.cease, CeaseError.configurationChange), RECONFIGURE_MS);
		for (const family of peer.families.values()) this.#purger.removeAll(this.ribs[family.family], family);
		const { config, facts } = peer;
		facts.clusterId = config.routeReflectorClusterId && routerIdNumber(config.routeReflectorClusterId);
		peer.families.clear();
		for (const entry of config.families) peer.families.set(entry.family, this.#createFamily(entry));
	}

	/** RFC 4724 §4.1: ends when all peers that keep our routes have sent theirs, or the time is up. */
	#checkRecovery(): void {
		if (this.#recoverUntilMs === undefined || this.#config === undefined) return;
		if (this.#modules.now() < this.#recoverUntilMs && [...this.#peers.values()].some(isAwaited)) return;
		this.#recoverUntilMs = undefined;
		for (const family of FAMILIES) {
			const rib = this.ribs[family];
			for (let prefix = 0; prefix < rib.index.highWater; prefix++) rib.markDirty(prefix);
		}
		this.#modules.onEvent({ kind: 'recovered' });
		this.#modules.wake();
	}

	#forgetUnused(family: Family, count: number): void {
		const rib = this.ribs[family];
		for (let position = 0; position < count; position++) {
			const prefix = this.#batch[position] as number;
			if (rib.hasPaths(prefix) || this.#exporters[family].holds(prefix)) continue;
			if (!this.#followers.some((follower) => follower.holds(family, prefix))) rib.forget(prefix);
		}
	}
}

/** Whether a recovery waits for a peer's routes: not for one that cannot restart gracefully or is restarting itself. */
function isAwaited(peer: Peer): boolean {
	if (peer.established === undefined) return true;
	const { gracefulRestart, families } = peer.established.negotiated;
	if (gracefulRestart === undefined || gracefulRestart.restarting) return false;
	return [...peer.families.values()].some((family) => families.includes(family.family) && !family.endOfRib);
}

function peerStatus(peer: Peer): PeerStatus {
	const received: Record<Family, number> = { 4: 0, 6: 0 };
	const advertised: Record<Family, number> = { 4: 0, 6: 0 };
	for (const family of peer.families.values()) {
		received[family.family] = family.received;
		advertised[family.family] = family.export?.group.advertisedTo(family.export.member) ?? 0;
	}
	const { name, address, asNumber } = peer.config;
	return { name, address, asNumber, state: peer.session.state, sinceMs: peer.sinceMs, info: peer.session.info, received, advertised };
}
