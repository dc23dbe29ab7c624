import type { Route } from '#kernel';
import { type Cidr, cidr, cidrContains, hostCidr, type Ip, PrefixTable } from '#net';

/** `linux/rtnetlink.h` RTPROT_*. */
export const Protocol = { kernel: 2, bird: 12 } as const;

/** Destinations that never leave the host or the link (RFC 6890), which are not learned. */
const LOCAL_RANGES: readonly Cidr[] = ['127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', 'fe80::/10', 'ff00::/8', '::1/128'].map((text) =>
	cidr(text),
);

/** Whether a route of the table belongs to somebody else and leads somewhere. */
function isLearnable(route: Route): boolean {
	return (
		route.protocol !== Protocol.kernel &&
		route.protocol !== Protocol.bird &&
		route.type === 'unicast' &&
		route.cloned !== true &&
		(route.tos ?? 0) === 0 &&
		!LOCAL_RANGES.some((range) => cidrContains(range, route.destination))
	);
}

/** The unicast routes of others in one table. */
export class ForeignRoutes {
	#byPrefix = new PrefixTable<readonly Route[]>();

	/** Starts anew; returns the prefixes that had a route or have one now. */
	load(routes: readonly Route[]): ReadonlySet<Cidr> {
		const touched = new Set([...this.#byPrefix].map(({ prefix }) => prefix));
		this.#byPrefix = new PrefixTable();
		for (const route of routes) {
			if (!isLearnable(route)) continue;
			touched.add(route.destination);
			this.#add(route);
		}
		return touched;
	}

	/** Takes a change over; says whether it concerned a route of others that leads somewhere. */
	change(change: 'new' | 'delete', route: Route, replaced: boolean): boolean {
		const known = this.#byPrefix.get(route.destination) ?? [];
		// a replacement takes the place of whatever had the same metric
		const kept = known.filter((other) => (replaced ? other.metric !== route.metric : !isSame(other, route)));
		if (kept.length === known.length && !isLearnable(route)) return false;
		if (kept.length > 0) this.#byPrefix.set(route.destination, kept);
		else this.#byPrefix.delete(route.destination);
		if (change === 'new' && isLearnable(route)) this.#add(route);
		return true;
	}

	/** The route with the lowest metric. */
	best(prefix: Cidr): Route | undefined {
		return this.#byPrefix.get(prefix)?.[0];
	}

	/** The routes to an address, the most specific first, then the lowest metric. */
	routesTo(address: Ip): readonly Route[] {
		return [...this.#byPrefix.covering(hostCidr(address))].reverse().flatMap(({ value }) => value);
	}

	prefixes(): Iterable<{ readonly prefix: Cidr }> {
		return this.#byPrefix;
	}

	#add(route: Route): void {
		const routes = [...(this.#byPrefix.get(route.destination) ?? []), route];
		this.#byPrefix.set(
			route.destination,
			routes.sort((a, b) => a.metric - b.metric),
		);
	}
}

function isSame(a: Route, b: Route): boolean {
	return a.metric === b.metric && a.protocol === b.protocol && hopsKey(a) === hopsKey(b);
}

function hopsKey(route: Route): string {
	return route.nextHops.map(({ gateway, interfaceIndex }) => `${gateway ?? ''}%${interfaceIndex ?? ''}`).join();
}
