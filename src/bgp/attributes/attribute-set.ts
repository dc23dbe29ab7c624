import type { NextHop, NextHopTable } from '../rib/next-hop.ts';
import { uint16, uint32 } from '../wire/bytes.ts';
import { Attribute, WellKnownCommunity } from '../wire/constants.ts';
import { asPathLength, neighborAs } from './as-path.ts';

/** RFC 4271 §5.1.5: assumed where a route carries none. */
export const DEFAULT_LOCAL_PREFERENCE = 100;

/**
 * The path attributes of a route, shared by all routes that have the same ones. Only {@link AttributeTable} makes them, so that
 * two routes have equal attributes exactly when they have the same object.
 */
export interface AttributeSet {
	/** Small positive number for use in columns, 0 once it is freed; a number is used again later. */
	id: number;
	/**
	 * The attributes in wire form, one latin-1 character per byte: ascending by type, four-octet AS numbers, NEXT_HOP included if
	 * it is an IPv4 one, MP_REACH_NLRI left out; behind {@link wireLength} follows an IPv6 next hop.
	 */
	readonly key: string;
	readonly wireLength: number;
	/** Undefined for routes of our own: the next hop is ourselves. */
	readonly nextHop: NextHop | undefined;
	readonly origin: number;
	readonly localPreference: number;
	readonly asPathLength: number;
	readonly neighborAs: number;
	/** MULTI_EXIT_DISC, 0 if missing. */
	readonly med: number;
	/** ORIGINATOR_ID, 0 if missing. */
	readonly originatorId: number;
	readonly clusterListLength: number;
	/** NO_EXPORT or NO_EXPORT_SUBCONFED (RFC 1997). */
	readonly noExport: boolean;
	readonly noAdvertise: boolean;
	/** Paths and advertised routes that use the set. */
	references: number;
}

/** Interns attribute sets and numbers them. */
export class AttributeTable {
	readonly #byKey = new Map<string, AttributeSet>();
	readonly #byId: (AttributeSet | undefined)[] = [undefined];
	readonly #freeIds: number[] = [];
	readonly #nextHops: NextHopTable;

	constructor(nextHops: NextHopTable) {
		this.#nextHops = nextHops;
	}

	get size(): number {
		return this.#byKey.size;
	}

	/** The set with a number that is in use. */
	get(id: number): AttributeSet {
		return this.#byId[id] as AttributeSet;
	}

	/**
	 * The set of canonical wire bytes.
	 *
	 * @param key the attributes, then an IPv6 next hop, if there is one
	 * @param bytes the attributes again, in `[0, wireLength)`
	 */
	intern(key: string, bytes: Uint8Array, wireLength: number): AttributeSet {
		const known = this.#byKey.get(key);
		if (known !== undefined && known.wireLength === wireLength) return known;
		const created = this.#derive(bytes, wireLength, key);
		this.#byKey.set(key, created);
		this.#byId[created.id] = created;
		if (created.nextHop !== undefined) created.nextHop.references++;
		return created;
	}

	/** Takes a reference. A set that was interned and never retained stays until it is. */
	retain(set: AttributeSet): void {
		set.references++;
	}

	/** Gives a reference up; the set goes with its last one. */
	release(set: AttributeSet): void {
		if (--set.references === 0) this.#free(set);
	}

	#free(set: AttributeSet): void {
		this.#byKey.delete(set.key);
		this.#byId[set.id] = undefined;
		this.#freeIds.push(set.id);
		set.id = 0;
		if (set.nextHop !== undefined) this.#nextHops.release(set.nextHop);
	}

	#derive(bytes: Uint8Array, wireLength: number, key: string): AttributeSet {
		let origin = 0;
		let localPreference = DEFAULT_LOCAL_PREFERENCE;
		let pathLength = 0;
		let neighbor = 0;
		let med = 0;
		let originatorId = 0;
		let clusterListLength = 0;
		let noExport = false;
		let noAdvertise = false;
		let nextHopKey = key.length > wireLength ? key.slice(wireLength) : undefined;
		for (let offset = 0; offset < wireLength; ) {
			const extended = ((bytes[offset] as number) & 0x10) !== 0;
			const type = bytes[offset + 1] as number;
			const start = offset + (extended ? 4 : 3);
			const length = extended ? uint16(bytes, offset + 2) : (bytes[offset + 2] as number);
			offset = start + length;
			if (type === Attribute.origin) origin = bytes[start] as number;
			else if (type === Attribute.asPath) {
				pathLength = asPathLength(bytes, start, offset);
				neighbor = neighborAs(bytes, start, offset);
			} else if (type === Attribute.nextHop) nextHopKey = key.slice(start, offset);
			else if (type === Attribute.multiExitDisc) med = uint32(bytes, start);
			else if (type === Attribute.localPreference) localPreference = uint32(bytes, start);
			else if (type === Attribute.communities)
				for (let at = start; at < offset; at += 4) {
					const community = uint32(bytes, at);
					if (community === WellKnownCommunity.gracefulShutdown) localPreference = 0;
					else if (community === WellKnownCommunity.noAdvertise) noAdvertise = true;
					else if (community === WellKnownCommunity.noExport || community === WellKnownCommunity.noExportSubconfed) noExport = true;
				}
			else if (type === Attribute.originatorId) originatorId = uint32(bytes, start);
			else if (type === Attribute.clusterList) clusterListLength = length / 4;
		}
		return {
			id: this.#freeIds.pop() ?? this.#byId.length,
			key,
			wireLength,
			nextHop: nextHopKey === undefined ? undefined : this.#nextHops.intern(nextHopKey),
			origin,
			localPreference,
			asPathLength: pathLength,
			neighborAs: neighbor,
			med,
			originatorId,
			clusterListLength,
			noExport,
			noAdvertise,
			references: 0,
		};
	}
}
