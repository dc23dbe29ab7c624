/**
 * The router model: everything a BGP daemon has to know, as plain data. The configuration manager computes it from the
 * datastore; our own daemon applies its difference, and the BIRD renderer writes it out. Both must mean the same by it.
 */
import type { Cidr, Family, Ip } from '#net';

/** The configuration of one BGP router. */
export interface RouterConfig {
	/** BGP Identifier (RFC 6286): any non-zero 32 bits, in dotted form. */
	readonly routerId: Ip;
	/** Local AS number, four octets (RFC 6793). */
	readonly asNumber: number;
	readonly listen: ListenConfig;
	/** Peers by unique {@link PeerConfig.name}. */
	readonly peers: readonly PeerConfig[];
	/** Prefixes this router originates itself. */
	readonly originate: readonly OriginatedRoute[];
	/** Host routes that keep a peer reachable whatever is learned (`reachableBy`). */
	readonly staticRoutes: readonly { readonly prefix: Cidr; readonly gateway: Ip }[];
	readonly kernel: KernelConfig;
	/** Interface name patterns (`*` wildcard) whose addresses are not direct routes. */
	readonly ignoredInterfaces: readonly string[];
}

export interface ListenConfig {
	/** TCP port, 1 to 65535. */
	readonly port: number;
	/** Local addresses to bind; undefined binds every address of both families. */
	readonly addresses: readonly Ip[] | undefined;
}

/** One configured session. */
export interface PeerConfig {
	/** `Mesh_10_0_0_2`, `Node_…` or `Global_…`, as in `calicoctl node status`. */
	readonly name: string;
	readonly address: Ip;
	readonly port: number;
	readonly asNumber: number;
	/** The AS this session speaks for, when it is not the router's own (RFC 7705). */
	readonly localAsNumber: number | undefined;
	/** Source address of the session; undefined leaves it to the kernel. */
	readonly sourceAddress: Ip | undefined;
	/** True waits for the peer to connect (RFC 4271 §8.1.1, PassiveTcpEstablishment). */
	readonly passive: boolean;
	/** TCP MD5 key (RFC 2385). Never logged. */
	readonly password: string | undefined;
	readonly holdTimeSeconds: number;
	/** Restart Time that we advertise to this peer, in seconds (RFC 4724 §3). */
	readonly restartTimeSeconds: number;
	/** Generalized TTL security: the number of hops allowed (RFC 5082); undefined turns it off. */
	readonly ttlSecurityHops: number | undefined;
	/** Cluster ID when the peer is our route reflector client (RFC 4456); undefined otherwise. */
	readonly routeReflectorClusterId: Ip | undefined;
	/** How often our own AS may occur in a received AS_PATH. */
	readonly allowedLocalAs: number;
	readonly nextHop: 'auto' | 'self' | 'keep';
	/** One entry per address family exchanged with the peer. */
	readonly families: readonly PeerFamilyConfig[];
}

export interface PeerFamilyConfig {
	readonly family: Family;
	readonly importFilter: RouteFilter;
	readonly exportFilter: RouteFilter;
}

/** A prefix that is announced with us as next hop. */
export interface OriginatedRoute {
	readonly prefix: Cidr;
	/** `block`: an IPAM block of this node, black-holed in the kernel unless more specific routes exist. `service`: announced only. */
	readonly kind: 'block' | 'service';
}

/** What is written to the kernel from BGP. */
export interface KernelConfig {
	/** Routing table number. */
	readonly table: number;
	/** Metric of routes without a priority of their own. */
	readonly metric: Readonly<Record<Family, number>>;
	/** Which best routes reach the kernel. */
	readonly filter: RouteFilter;
	/** Restart recovery: how long to wait for End-of-RIB from all peers before stale routes are removed, in seconds. */
	readonly recoverySeconds: number;
}

/** An ordered list of rules; the first that matches and has an action decides, else `otherwise`. */
export interface RouteFilter {
	readonly rules: readonly FilterRule[];
	readonly otherwise: 'accept' | 'reject';
}

export interface FilterRule {
	readonly match: FilterMatch;
	readonly set?: FilterSet;
	/** Absent: apply `set` and go on with the next rule. */
	readonly action?: 'accept' | 'reject';
}

/** All given criteria must hold; an empty match matches every route. */
export interface FilterMatch {
	/** The route's prefix lies inside, the prefix itself included. */
	readonly within?: Cidr;
	/** The route's prefix is exactly this one. */
	readonly equals?: Cidr;
	/** The route's prefix is neither this one nor inside it. */
	readonly notWithin?: Cidr;
	readonly minLength?: number;
	readonly maxLength?: number;
	readonly source?: RouteSource;
	/** Outgoing interface of a route learned from the kernel, `*` wildcard. */
	readonly interface?: string;
	readonly family?: Family;
}

/** Where a route in the RIB comes from. */
export type RouteSource = 'bgp' | 'originated' | 'kernel' | 'direct' | 'static';

export interface FilterSet {
	readonly localPreference?: number;
	/** Standard (`64512:100`) or large (`64512:1:2`) communities to add. */
	readonly addCommunities?: readonly string[];
	/** AS numbers to prepend, leftmost first. */
	readonly prependAsPath?: readonly number[];
}

/** A snapshot of a running router, as `calicoctl node status` and the probes show it. */
export interface RouterStatus {
	readonly routerId: Ip;
	readonly asNumber: number;
	/** True while routes found in the kernel at start still wait for End-of-RIB (RFC 4724 §4.1). */
	readonly recovering: boolean;
	readonly peers: readonly PeerStatus[];
	readonly routes: Readonly<Record<Family, number>>;
}

/** RFC 4271 §8.2.2. */
export type SessionState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

export interface PeerStatus {
	readonly name: string;
	readonly address: Ip;
	readonly asNumber: number;
	readonly state: SessionState;
	/** When the state was entered, milliseconds since the epoch. */
	readonly sinceMs: number;
	/** The last failure in words, empty if there was none. */
	readonly info: string;
	readonly received: Readonly<Record<Family, number>>;
	readonly advertised: Readonly<Record<Family, number>>;
}
