import { type Family, formatIp, type Ip } from '#net';

/** How a next hop is reached. */
export interface Resolution {
	readonly interfaceIndex: number;
	/** The on-link neighbour packets are sent to. */
	readonly gateway: Ip;
	/** Cost of reaching the next hop (RFC 4271 §9.1.2.2 e): 0 when it is on a connected network. */
	readonly metric: number;
}

/** One next hop, shared by every attribute set that has it. */
export interface NextHop {
	readonly address: Ip;
	readonly family: Family;
	/** Network order, one latin-1 character per byte; 32 when a link-local address goes with a global one (RFC 2545 §3). */
	readonly key: string;
	readonly linkLocal: Ip | undefined;
	/** Undefined while there is no route to it; routes with such a next hop are not eligible (RFC 4271 §9.1.2). */
	resolution: Resolution | undefined;
	/** Attribute sets that hold it. */
	references: number;
}

/** The next hops in use. The resolver is asked once per new next hop and again on {@link NextHopTable.resolveAll}. */
export class NextHopTable {
	readonly #byKey = new Map<string, NextHop>();
	#resolve: (address: Ip, linkLocal: Ip | undefined) => Resolution | undefined;

	constructor(resolve: (address: Ip, linkLocal: Ip | undefined) => Resolution | undefined) {
		this.#resolve = resolve;
	}

	/** The next hop of 4, 16 or 32 bytes. */
	intern(key: string): NextHop {
		const known = this.#byKey.get(key);
		if (known !== undefined) return known;
		const bytes = Buffer.from(key, 'latin1');
		const address = formatIp(bytes.subarray(0, key.length === 4 ? 4 : 16));
		const linkLocal = key.length === 32 ? formatIp(bytes.subarray(16)) : undefined;
		const created: NextHop = {
			address,
			family: key.length === 4 ? 4 : 6,
			key,
			linkLocal,
			resolution: this.#resolve(address, linkLocal),
			references: 0,
		};
		this.#byKey.set(key, created);
		return created;
	}

	/** Gives up one reference. */
	release(nextHop: NextHop): void {
		if (--nextHop.references === 0) this.#byKey.delete(nextHop.key);
	}

	/** Resolves every next hop again; returns those whose way changed. */
	resolveAll(): Set<NextHop> {
		const changed = new Set<NextHop>();
		for (const nextHop of this.#byKey.values()) {
			const resolution = this.#resolve(nextHop.address, nextHop.linkLocal);
			if (sameResolution(resolution, nextHop.resolution)) continue;
			nextHop.resolution = resolution;
			changed.add(nextHop);
		}
		return changed;
	}
}

function sameResolution(a: Resolution | undefined, b: Resolution | undefined): boolean {
	return a?.interfaceIndex === b?.interfaceIndex && a?.gateway === b?.gateway && a?.metric === b?.metric;
}
