import type { Cidr, Family, Ip, Mac } from '#net';

/** A network device. */
export interface Link {
	readonly index: number;
	readonly name: string;
	/** `veth`, `bridge`, `vxlan`…; absent for hardware and loopback. */
	readonly kind?: string;
	readonly mtu: number;
	/** Administratively up (IFF_UP). */
	readonly up: boolean;
	/** Up and with carrier (IFF_RUNNING). */
	readonly running: boolean;
	readonly loopback: boolean;
	readonly mac?: Mac;
	/** Index of the bridge it is a port of. */
	readonly master?: number;
	/** Index of the lower device or veth peer; in another namespace if `linkNamespaceId` is there. */
	readonly linkIndex?: number;
	readonly linkNamespaceId?: number;
	readonly alias?: string;
	readonly vxlan?: VxlanOptions;
}

/** What a VXLAN device is made with (`linux/if_link.h` IFLA_VXLAN_*). */
export interface VxlanOptions {
	readonly vni: number;
	readonly port: number;
	/** Source address of the tunnel. */
	readonly local?: Ip;
	/** Index of the device below. */
	readonly parentIndex?: number;
	readonly learning: boolean;
}

export type LinkSpec =
	| {
			readonly kind: 'veth';
			readonly name: string;
			readonly mtu?: number;
			readonly mac?: Mac;
			readonly peer: { readonly name: string; readonly mac?: Mac; readonly mtu?: number; readonly namespaceFd?: number };
	  }
	| { readonly kind: 'bridge'; readonly name: string; readonly mtu?: number; readonly mac?: Mac }
	| { readonly kind: 'vxlan'; readonly name: string; readonly mtu?: number; readonly mac?: Mac; readonly vxlan: VxlanOptions };

/** What to change on a device; what is absent stays. */
export interface LinkChange {
	readonly up?: boolean;
	readonly mtu?: number;
	readonly name?: string;
	readonly mac?: Mac;
	/** Moves the device into the namespace of this descriptor. */
	readonly namespaceFd?: number;
	/** Index of the bridge to join; 0 leaves it. */
	readonly master?: number;
}

/** `universe` 0, `site` 200, `link` 253, `host` 254, `nowhere` 255 (`linux/rtnetlink.h`). */
export type Scope = 'universe' | 'site' | 'link' | 'host' | 'nowhere';

export interface Address {
	readonly interfaceIndex: number;
	readonly address: Ip;
	readonly prefixLength: number;
	/** Default when adding: `universe`. */
	readonly scope?: Scope;
	/** The other end of a point-to-point address. */
	readonly peer?: Ip;
	readonly broadcast?: Ip;
	/** IPv4 alias label. */
	readonly label?: string;
	/** Skips duplicate address detection (IPv6, IFA_F_NODAD). */
	readonly noDad?: boolean;
	/** Listings only: duplicate address detection has not ended. */
	readonly tentative?: boolean;
	readonly dadFailed?: boolean;
	/** Listings only: a temporary or secondary address (IFA_F_SECONDARY). */
	readonly secondary?: boolean;
	readonly deprecated?: boolean;
	/** The address adds no route to its prefix (IFA_F_NOPREFIXROUTE). */
	readonly noPrefixRoute?: boolean;
}

export type RouteType = 'unicast' | 'local' | 'broadcast' | 'anycast' | 'multicast' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw';

export interface NextHop {
	readonly gateway?: Ip;
	readonly interfaceIndex?: number;
	/** Share among several next hops, 1 to 256. Default 1. */
	readonly weight?: number;
	/** The gateway is taken to be on the link, whatever the addresses say. */
	readonly onlink?: boolean;
	/** Listings only: the device is down or has no carrier. */
	readonly dead?: boolean;
}

/** A route. Table, metric and protocol are always given, so that a delete can never hit somebody else's. */
export interface Route {
	readonly destination: Cidr;
	/** 254 is main, 255 local. */
	readonly table: number;
	/** Who owns it: 2 kernel, 3 boot, 4 static, 12 bird, 80 Felix. */
	readonly protocol: number;
	/** Lower wins. IPv6 has no metric 0: the kernel stores 1024 for it. */
	readonly metric: number;
	readonly type: RouteType;
	readonly scope: Scope;
	/** Empty for the types that lead nowhere; several make a multipath route. */
	readonly nextHops: readonly NextHop[];
	readonly prefSrc?: Ip;
	readonly mtu?: number;
	/** Type of service; 0 if absent. */
	readonly tos?: number;
	/** Listings only: a cached exception, not a configured route (RTM_F_CLONED). */
	readonly cloned?: boolean;
}

/** `linux/neighbour.h` NUD_*, one of them at a time. */
export type NeighbourState = 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'noarp' | 'permanent' | 'none';

/** A neighbour: an ARP or NDP entry, or (without `address`) an entry of the forwarding database of a bridge or VXLAN device. */
export interface Neighbour {
	readonly interfaceIndex: number;
	readonly address?: Ip;
	readonly mac?: Mac;
	readonly state: NeighbourState;
	/** Forwarding database: the far tunnel end. */
	readonly destination?: Ip;
}

/** One change for {@link Rtnetlink.apply}. `replace` makes or overwrites, `add` fails with EEXIST on what is there. */
export type RtOperation =
	| { readonly op: 'add' | 'replace' | 'delete'; readonly route: Route }
	| { readonly op: 'add' | 'replace' | 'delete'; readonly address: Address }
	| { readonly op: 'add' | 'replace' | 'delete'; readonly neighbour: Neighbour };

export interface RtOperationFailure {
	/** Position among the operations given. */
	readonly index: number;
	/** Name of the error number, such as EEXIST or ESRCH. */
	readonly errno: string;
	/** The kernel's own words, where it has some. */
	readonly message: string | undefined;
}

export interface RouteFilter {
	readonly family: Family;
	readonly table?: number;
	readonly protocol?: number;
	readonly interfaceIndex?: number;
}
