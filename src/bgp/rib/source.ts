import type { Ip } from '#net';
import type { RouteSource } from '../router-config.ts';

/** What route selection and export need to know of a peer. */
export interface PeerFacts {
	/** Small positive number, unique among the peers there are. */
	readonly index: number;
	readonly name: string;
	readonly address: Ip;
	/** True for eBGP. */
	external: boolean;
	/** BGP Identifier as an unsigned number. */
	routerId: number;
	/** Our cluster when the peer is our route reflector client. */
	clusterId: number | undefined;
}

/** The origin of a path: a peer's path identifier, or one of our own protocols. A prefix has at most one path per source. */
export interface Source {
	/** Small positive number for use in columns. */
	readonly id: number;
	readonly kind: RouteSource;
	readonly peer: PeerFacts | undefined;
	/** RFC 7911 path identifier, 0 without. */
	readonly pathId: number;
	/** Outgoing interface of routes learned from the kernel. */
	readonly interface: string | undefined;
	/** Paths in the RIB. */
	pathCount: number;
}

/** Higher wins before anything else is compared; BIRD's defaults. */
export const PREFERENCE: Readonly<Record<RouteSource, number>> = { direct: 240, static: 200, originated: 200, bgp: 100, kernel: 10 };

/** Numbers sources. */
export class SourceTable {
	readonly #byId: (Source | undefined)[] = [undefined];
	readonly #freeIds: number[] = [];

	create(facts: Omit<Source, 'id' | 'pathCount'>): Source {
		const source: Source = { ...facts, id: this.#freeIds.pop() ?? this.#byId.length, pathCount: 0 };
		this.#byId[source.id] = source;
		return source;
	}

	/** The source with a number that is in use. */
	get(id: number): Source {
		return this.#byId[id] as Source;
	}

	/** Gives the number back; no path may have the source any more. */
	remove(source: Source): void {
		this.#byId[source.id] = undefined;
		this.#freeIds.push(source.id);
	}
}
