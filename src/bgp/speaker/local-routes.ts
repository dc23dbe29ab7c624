import { type Cidr, cidrFamily, type Family, type Ip, ipBytes } from '#net';
import type { AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import type { AttributeRewriter } from '../attributes/rewrite.ts';
import type { Rib } from '../rib/rib.ts';
import type { Source, SourceTable } from '../rib/source.ts';
import type { RouteSource } from '../router-config.ts';

export interface LocalRoutesModules {
	readonly ribs: Readonly<Record<Family, Rib>>;
	readonly attributes: AttributeTable;
	readonly rewriter: AttributeRewriter;
	readonly sources: SourceTable;
}

/** A route that does not come from a peer. */
export interface LocalRoute {
	readonly prefix: Cidr;
	readonly kind: Exclude<RouteSource, 'bgp'>;
	/** Outgoing interface of a route learned from the kernel. */
	readonly interface?: string | undefined;
	/** Next hop of a static route. */
	readonly gateway?: Ip | undefined;
}

interface Entry {
	readonly source: Source;
	readonly gateway: Ip | undefined;
}

/** Keeps routes of our own in the RIB: at most one per prefix and kind. */
export class LocalRoutes {
	readonly #modules: LocalRoutesModules;
	readonly #own: AttributeSet;
	readonly #sources = new Map<string, Source>();
	readonly #entries: Readonly<Record<LocalRoute['kind'], Map<Cidr, Entry>>> = {
		originated: new Map(),
		kernel: new Map(),
		direct: new Map(),
		static: new Map(),
	};

	constructor(modules: LocalRoutesModules) {
		this.#modules = modules;
		this.#own = modules.rewriter.own();
		modules.attributes.retain(this.#own);
	}

	/** Adds or replaces the route of its kind for its prefix. */
	add(route: LocalRoute): void {
		const entries = this.#entries[route.kind];
		const source = this.#source(route.kind, route.interface);
		const known = entries.get(route.prefix);
		if (known?.source === source && known.gateway === route.gateway) return;
		const rib = this.#rib(route.prefix);
		const prefix = rib.index.internCidr(route.prefix);
		if (known !== undefined && known.source !== source) rib.withdraw(prefix, known.source);
		entries.set(route.prefix, { source, gateway: route.gateway });
		rib.announce(prefix, source, this.#attributes(route.gateway));
	}

	remove(kind: LocalRoute['kind'], prefix: Cidr): void {
		const known = this.#entries[kind].get(prefix);
		if (known === undefined) return;
		this.#entries[kind].delete(prefix);
		const rib = this.#rib(prefix);
		rib.withdraw(rib.index.findCidr(prefix), known.source);
	}

	/** Makes these the only routes of a kind. */
	replace(kind: LocalRoute['kind'], routes: readonly LocalRoute[]): void {
		const wanted = new Set(routes.map(({ prefix }) => prefix));
		for (const prefix of this.#entries[kind].keys()) if (!wanted.has(prefix)) this.remove(kind, prefix);
		for (const route of routes) this.add(route);
	}

	#rib(prefix: Cidr): Rib {
		return this.#modules.ribs[cidrFamily(prefix)];
	}

	#source(kind: LocalRoute['kind'], interfaceName: string | undefined): Source {
		const key = `${kind} ${interfaceName ?? ''}`;
		let source = this.#sources.get(key);
		if (source === undefined) {
			source = this.#modules.sources.create({ kind, peer: undefined, pathId: 0, interface: interfaceName });
			this.#sources.set(key, source);
		}
		return source;
	}

	#attributes(gateway: Ip | undefined): AttributeSet {
		if (gateway === undefined) return this.#own;
		const nextHop = Buffer.from(ipBytes(gateway)).toString('latin1');
		return this.#modules.rewriter.rewrite(this.#own, { nextHop }) ?? this.#own;
	}
}
