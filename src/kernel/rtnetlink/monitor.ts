import { type Family, ipFamily } from '#net';
import { NetlinkMonitor } from '../netlink/monitor.ts';
import type { NetlinkMessage } from '../netlink/reader.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { readAddress } from './address-codec.ts';
import { readLink } from './link-codec.ts';
import { readNeighbour } from './neighbour-codec.ts';
import type { Address, Link, Neighbour, Route } from './object.ts';
import { readRoute } from './route-codec.ts';
import {
	NETLINK_ROUTE,
	NLM_F_REPLACE,
	RTM_DELADDR,
	RTM_DELLINK,
	RTM_DELNEIGH,
	RTM_DELROUTE,
	RTM_NEWADDR,
	RTM_NEWLINK,
	RTM_NEWNEIGH,
	RTM_NEWROUTE,
} from './wire.ts';

export type RtEvent =
	| { readonly kind: 'link'; readonly change: 'new' | 'delete'; readonly link: Link; readonly portId: number }
	| { readonly kind: 'address'; readonly change: 'new' | 'delete'; readonly address: Address; readonly portId: number }
	/** `replaced`: the kernel says that the new route took another one's place (NLM_F_REPLACE). */
	| {
			readonly kind: 'route';
			readonly change: 'new' | 'delete';
			readonly route: Route;
			readonly replaced: boolean;
			readonly portId: number;
	  }
	| { readonly kind: 'neighbour'; readonly change: 'new' | 'delete'; readonly neighbour: Neighbour; readonly portId: number }
	/** Events were lost: list again. */
	| { readonly kind: 'resync' };

export type RtGroup = 'link' | 'address' | 'route' | 'neighbour';

export interface RtnetlinkMonitorOptions {
	readonly namespaceFd?: number;
	readonly groups: readonly RtGroup[];
	/** Which families' addresses and routes are reported; both if absent. */
	readonly families?: readonly Family[];
	/** Called with all events of one wake-up, in the kernel's order. Must not throw. */
	readonly onEvents: (events: readonly RtEvent[]) => void;
}

/** `enum rtnetlink_groups`; those of addresses and routes are per family. */
const GROUPS: Readonly<Record<RtGroup, Readonly<Record<Family, number>>>> = {
	link: { 4: 1, 6: 1 },
	neighbour: { 4: 3, 6: 3 },
	address: { 4: 5, 6: 9 },
	route: { 4: 7, 6: 11 },
};

/**
 * Reports changes of devices, addresses, routes and neighbours until it is disposed of. A device that goes down takes
 * its IPv4 routes along without a route event: on a link event look at that device's routes again.
 */
export class RtnetlinkMonitor implements Disposable {
	readonly #monitor: NetlinkMonitor<RtEvent>;

	/** @throws KERNEL_SYSTEM_CALL */
	constructor(options: RtnetlinkMonitorOptions) {
		const families = options.families ?? [4, 6];
		const groups = new Set(options.groups.flatMap((group) => families.map((family) => GROUPS[group][family])));
		const decode = (message: NetlinkMessage): RtEvent | undefined => readEvent(message, families);
		this.#monitor = new NetlinkMonitor(new NetlinkSocket(NETLINK_ROUTE, options.namespaceFd), [...groups], decode, options.onEvents, {
			kind: 'resync',
		});
	}

	[Symbol.dispose](): void {
		this.#monitor[Symbol.dispose]();
	}
}

/** Undefined for messages about other things. @throws KERNEL_BAD_MESSAGE */
export function readEvent(message: NetlinkMessage, families: readonly Family[]): RtEvent | undefined {
	const { portId } = message;
	switch (message.type) {
		case RTM_NEWLINK:
		case RTM_DELLINK: {
			const link = readLink(message);
			return link === undefined ? undefined : { kind: 'link', change: message.type === RTM_NEWLINK ? 'new' : 'delete', link, portId };
		}
		case RTM_NEWADDR:
		case RTM_DELADDR: {
			const address = readAddress(message);
			return address === undefined
				? undefined
				: { kind: 'address', change: message.type === RTM_NEWADDR ? 'new' : 'delete', address, portId };
		}
		case RTM_NEWROUTE:
		case RTM_DELROUTE: {
			const route = readRoute(message);
			const replaced = (message.flags & NLM_F_REPLACE) !== 0;
			return route === undefined
				? undefined
				: { kind: 'route', change: message.type === RTM_NEWROUTE ? 'new' : 'delete', route, replaced, portId };
		}
		case RTM_NEWNEIGH:
		case RTM_DELNEIGH: {
			const neighbour = readNeighbour(message);
			// one group for both families
			if (neighbour === undefined || (neighbour.address !== undefined && !families.includes(ipFamily(neighbour.address)))) return undefined;
			return { kind: 'neighbour', change: message.type === RTM_NEWNEIGH ? 'new' : 'delete', neighbour, portId };
		}
	}
	return undefined;
}
