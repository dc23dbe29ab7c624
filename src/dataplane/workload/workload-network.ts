import { explainError } from '#errors';
import { type Conntrack, hasErrno, type Link, type Neighbour, type Route, type RtEvent, type Rtnetlink, type RtOperation } from '#kernel';
import { type Cidr, cidrFamily, cidrParts, FAMILIES, type Ip, type Mac } from '#net';
import type { EndpointId, EndpointPolicy } from '#policy';
import type { Clock, EndpointState, Logger } from '../types.ts';
import { InterfaceSettings } from './interface-settings.ts';
import { isHost, MAIN_TABLE, planRoutes, type RouteOptions, routeKey, wantedRoutes } from './route-plan.ts';

export interface WorkloadNetworkOptions extends RouteOptions {
	readonly namespaceFd: number | undefined;
	readonly interfacePrefix: string;
	/** How long routes of others stay on an interface after it was first seen, for the CNI plugin may be ahead of us. */
	readonly routeGraceMs: number;
	readonly enableForwarding: boolean;
}

export interface WorkloadNetworkModules {
	readonly rtnetlink: Pick<Rtnetlink, 'portId' | 'findLink' | 'listLinks' | 'listRoutes' | 'listNeighbours' | 'apply'>;
	readonly conntrack: Pick<Conntrack, 'deleteByAddresses'>;
	readonly clock: Clock;
	readonly logger: Logger;
}

interface SeenLink {
	readonly link: Link;
	readonly sinceMs: number;
	/** What {@link InterfaceSettings.prepare} was done with; undefined if it was not. */
	prepared: boolean | undefined;
}

/**
 * The host's side of workloads: their routes, neighbours and interface settings. It keeps a picture of the kernel
 * from one listing and the events since, and writes only differences.
 */
export class WorkloadNetwork {
	readonly #modules: WorkloadNetworkModules;
	readonly #options: WorkloadNetworkOptions;
	readonly #settings: InterfaceSettings;
	#isListed = false;
	readonly #links = new Map<number, SeenLink>();
	readonly #indexes = new Map<string, number>();
	/** In the main table, on workload interfaces, by destination. */
	readonly #routes = new Map<Cidr, readonly Route[]>();
	/** Permanent ARP entries on workload interfaces, by {@link neighbourKey}. */
	readonly #neighbours = new Map<string, Neighbour>();
	#endpoints: ReadonlyMap<EndpointId, EndpointPolicy> = new Map();
	/** Interfaces with an address that was their endpoint's until now, as text. */
	readonly #givenUp = new Set<string>();
	/** Addresses that lost their route: what was tracked for them must not serve the next owner. */
	readonly #released = new Set<Ip>();
	readonly #failures = new Map<string, string>();

	constructor(modules: WorkloadNetworkModules, options: WorkloadNetworkOptions) {
		this.#modules = modules;
		this.#options = options;
		this.#settings = new InterfaceSettings(options.namespaceFd);
	}

	get routeCount(): number {
		return [...this.#routes.values()].flat().length;
	}

	/** Takes the endpoints as they are to be from now on, all of them. */
	setEndpoints(endpoints: readonly EndpointPolicy[]): void {
		const now = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
		const held = new Set(endpoints.flatMap(({ interfaceName, nets }) => nets.map((net) => `${interfaceName} ${net}`)));
		for (const { interfaceName, nets } of this.#endpoints.values())
			for (const net of nets) {
				if (held.has(`${interfaceName} ${net}`)) continue;
				this.#givenUp.add(`${interfaceName} ${net}`);
				this.#released.add(cidrParts(net).address);
			}
		this.#endpoints = now;
	}

	/** Takes events in. Returns whether something of ours may have to be done about them. */
	onEvents(events: readonly RtEvent[]): boolean {
		let isConcerned = false;
		for (const event of events) {
			switch (event.kind) {
				case 'resync':
					this.#isListed = false;
					isConcerned = true;
					break;
				case 'link':
					isConcerned = this.#onLink(event.link, event.change === 'new') || isConcerned;
					break;
				case 'route':
					if (this.#onRoute(event.route, event.change === 'new', event.replaced) && event.portId !== this.#modules.rtnetlink.portId)
						isConcerned = true;
					break;
				case 'neighbour':
					if (this.#onNeighbour(event.neighbour, event.change === 'new') && event.portId !== this.#modules.rtnetlink.portId)
						isConcerned = true;
					break;
				case 'address':
					break;
			}
		}
		return isConcerned;
	}

	/** Makes the next {@link sync} start with a listing, and do the settings again. */
	expire(): void {
		this.#isListed = false;
		for (const seen of this.#links.values()) seen.prepared = undefined;
	}

	/**
	 * Brings the kernel to what the endpoints need.
	 *
	 * @returns in how many milliseconds there is more to do; undefined for only when something changes
	 * @throws what the kernel room throws
	 */
	async sync(): Promise<number | undefined> {
		if (!this.#isListed) this.#list();
		this.#failures.clear();
		this.#lookForInterfaces();
		this.#prepareInterfaces();
		const nowMs = this.#modules.clock.nowMs();
		const wanted = wantedRoutes(this.#endpoints.values(), (name) => this.#linkByName(name));
		const plan = planRoutes(wanted, [...this.#routes.values()].flat(), (route) => this.#removableFromMs(route), nowMs, this.#options);
		const neighbours = this.#neighbourOperations();
		this.#givenUp.clear();
		await this.#apply(plan.removals);
		for (const { route } of plan.removals) if (isHost(route.destination)) this.#released.add(cidrParts(route.destination).address);
		await this.#forgetConnections();
		await this.#apply([...plan.additions, ...neighbours]);
		const againMs = plan.nextRemovalMs === undefined ? undefined : plan.nextRemovalMs - nowMs;
		return this.#failures.size > 0 ? Math.min(againMs ?? RETRY_MS, RETRY_MS) : againMs;
	}

	/** What stands between an endpoint and its traffic on this side. */
	state({ interfaceName, nets }: EndpointPolicy): EndpointState {
		const link = this.#linkByName(interfaceName);
		if (link === undefined) return notReady('interface-missing', `there is no interface ${interfaceName}`);
		if (!link.up) return notReady('interface-down', `interface ${interfaceName} is down`);
		const failure = [interfaceName, ...nets].map((about) => this.#failures.get(about)).find((text) => text !== undefined);
		return failure === undefined ? { ready: true } : notReady('failed', failure);
	}

	#list(): void {
		const { rtnetlink } = this.#modules;
		if (this.#options.enableForwarding) this.#settings.enableForwarding();
		const before = new Map(this.#links);
		this.#links.clear();
		this.#indexes.clear();
		this.#routes.clear();
		this.#neighbours.clear();
		for (const link of rtnetlink.listLinks()) {
			const seen = before.get(link.index);
			if (seen !== undefined) this.#links.set(link.index, seen);
			this.#onLink(link, true);
		}
		for (const family of FAMILIES) for (const route of rtnetlink.listRoutes({ family, table: MAIN_TABLE })) this.#onRoute(route, true);
		for (const neighbour of rtnetlink.listNeighbours({ family: 4 })) this.#onNeighbour(neighbour, true);
		this.#isListed = true;
	}

	#onLink(link: Link, isThere: boolean): boolean {
		const before = this.#links.get(link.index);
		const isOurs = isThere && link.name.startsWith(this.#options.interfacePrefix);
		if (before === undefined && !isOurs) return false;
		if (!isThere || !link.up) this.#dropPicture(link.index);
		// a later device may have taken the name already
		if (before !== undefined && this.#indexes.get(before.link.name) === link.index) this.#indexes.delete(before.link.name);
		if (!isOurs) this.#links.delete(link.index);
		else {
			this.#indexes.set(link.name, link.index);
			const isSame = before?.link.name === link.name;
			this.#links.set(link.index, {
				link,
				sinceMs: isSame ? before.sinceMs : this.#modules.clock.nowMs(),
				prepared: isSame && before.link.up === link.up ? before.prepared : undefined,
			});
		}
		return before?.link.up !== link.up || before.link.name !== link.name || !isOurs;
	}

	/** A device that goes down loses its routes and neighbours without events about them. */
	#dropPicture(index: number): void {
		for (const [destination, routes] of this.#routes)
			this.#setRoutes(
				destination,
				routes.filter((route) => interfaceOf(route) !== index),
			);
		for (const [key, neighbour] of this.#neighbours) if (neighbour.interfaceIndex === index) this.#neighbours.delete(key);
	}

	/** @param isReplacing it took the place of one with its destination and metric, about which there is no event */
	#onRoute(route: Route, isThere: boolean, isReplacing = false): boolean {
		if (route.table !== MAIN_TABLE || route.cloned === true) return false;
		const { destination, metric } = route;
		const before = this.#routes.get(destination) ?? [];
		const others = before.filter((other) => routeKey(other) !== routeKey(route) && !(isReplacing && other.metric === metric));
		const isOurs = this.#links.has(interfaceOf(route));
		this.#setRoutes(destination, isOurs && isThere ? [...others, route] : others);
		return isOurs || others.length < before.length;
	}

	#setRoutes(destination: Cidr, routes: readonly Route[]): void {
		if (routes.length > 0) this.#routes.set(destination, routes);
		else this.#routes.delete(destination);
	}

	#onNeighbour(neighbour: Neighbour, isThere: boolean): boolean {
		const key = neighbourKey(neighbour);
		if (key === undefined || !this.#links.has(neighbour.interfaceIndex)) return false;
		const had = this.#neighbours.has(key);
		const isPermanent = isThere && neighbour.state === 'permanent';
		if (isPermanent) this.#neighbours.set(key, neighbour);
		else this.#neighbours.delete(key);
		return had || isPermanent;
	}

	/** An interface that was made just now is there before the event about it is read. */
	#lookForInterfaces(): void {
		for (const { interfaceName } of this.#endpoints.values()) {
			if (this.#linkByName(interfaceName)?.up === true) continue;
			const link = this.#modules.rtnetlink.findLink(interfaceName);
			if (link !== undefined) this.#onLink(link, true);
		}
	}

	#prepareInterfaces(): void {
		for (const { interfaceName, allowedSources } of this.#endpoints.values()) {
			const link = this.#linkByName(interfaceName);
			const seen = link === undefined ? undefined : this.#links.get(link.index);
			const mayUseOtherSources = allowedSources.length > 0;
			if (seen?.link.up !== true || seen.prepared === mayUseOtherSources) continue;
			try {
				this.#settings.prepare(interfaceName, mayUseOtherSources);
				seen.prepared = mayUseOtherSources;
			} catch (error) {
				// the event about its going is on its way
				if (!hasErrno(error, 'ENOENT')) this.#fail(interfaceName, explainError(error));
			}
		}
	}

	#neighbourOperations(): RtOperation[] {
		const wanted = new Map<string, Neighbour>();
		const ours = new Set<number>();
		for (const { interfaceName, nets, mac } of this.#endpoints.values()) {
			const link = this.#linkByName(interfaceName);
			if (mac === undefined || link?.up !== true) continue;
			ours.add(link.index);
			for (const net of nets) {
				if (cidrFamily(net) !== 4) continue;
				const neighbour = permanentNeighbour(link.index, cidrParts(net).address, mac);
				wanted.set(neighbourKey(neighbour) ?? '', neighbour);
			}
		}
		const isOurs = ({ interfaceIndex, address }: Neighbour): boolean =>
			ours.has(interfaceIndex) || (address !== undefined && this.#released.has(address));
		const removals = [...this.#neighbours].filter(([key, neighbour]) => !wanted.has(key) && isOurs(neighbour));
		const additions = [...wanted].filter(([key, { mac }]) => this.#neighbours.get(key)?.mac !== mac);
		return [
			...removals.map(([, neighbour]) => ({ op: 'delete' as const, neighbour })),
			...additions.map(([, neighbour]) => ({ op: 'replace' as const, neighbour })),
		];
	}

	async #apply(operations: readonly RtOperation[]): Promise<void> {
		if (operations.length === 0) return;
		const failures = new Map((await this.#modules.rtnetlink.apply(operations)).map((failure) => [failure.index, failure]));
		for (const [index, operation] of operations.entries()) {
			const failure = failures.get(index);
			const isGone = operation.op === 'delete' && failure !== undefined && GONE.includes(failure.errno);
			if (failure === undefined || isGone) this.#note(operation);
			// the interface went down or away meanwhile: the event about it is on its way
			else if (!INTERFACE_LEFT.includes(failure.errno)) {
				const about = aboutOf(operation);
				const words = failure.message === undefined ? failure.errno : `${failure.errno}: ${failure.message}`;
				this.#fail(about, `${operation.op} ${'route' in operation ? 'route' : 'neighbour'} ${about}: ${words}`);
			}
		}
	}

	#note(operation: RtOperation): void {
		if ('route' in operation) this.#onRoute(operation.route, operation.op !== 'delete', operation.op === 'replace');
		else if ('neighbour' in operation) this.#onNeighbour(operation.neighbour, operation.op !== 'delete');
	}

	#fail(about: string, message: string): void {
		this.#failures.set(about, message);
		this.#modules.logger.warn({ about, error: message }, 'workload network cannot be set up; trying again');
	}

	async #forgetConnections(): Promise<void> {
		if (this.#released.size === 0) return;
		const addresses = new Set(this.#released);
		try {
			await this.#modules.conntrack.deleteByAddresses(addresses);
			for (const address of addresses) this.#released.delete(address);
		} catch (error) {
			this.#fail('conntrack', explainError(error));
		}
	}

	#removableFromMs(route: Route): number {
		const seen = this.#links.get(interfaceOf(route));
		if (seen === undefined || this.#givenUp.has(`${seen.link.name} ${route.destination}`)) return 0;
		return seen.sinceMs + this.#options.routeGraceMs;
	}

	#linkByName(name: string): Link | undefined {
		const index = this.#indexes.get(name);
		return index === undefined ? undefined : this.#links.get(index)?.link;
	}
}

/** How soon a refused change is tried again. */
const RETRY_MS = 1000;
/** Answers to deleting what is gone. */
const GONE: readonly string[] = ['ESRCH', 'ENOENT', 'ENODEV', 'EADDRNOTAVAIL'];
const INTERFACE_LEFT: readonly string[] = ['ENODEV', 'ENETDOWN', 'ENXIO'];

/** 0 for a route without a device. */
function interfaceOf(route: Route): number {
	return route.nextHops[0]?.interfaceIndex ?? 0;
}

function notReady(reason: Exclude<EndpointState, { ready: true }>['reason'], message: string): EndpointState {
	return { ready: false, reason, message };
}

function permanentNeighbour(interfaceIndex: number, address: Ip, mac: Mac): Neighbour {
	return { interfaceIndex, address, mac, state: 'permanent' };
}

/** Undefined for what is no ARP entry. */
function neighbourKey({ interfaceIndex, address }: Neighbour): string | undefined {
	return address === undefined || address.includes(':') ? undefined : `${interfaceIndex} ${address}`;
}

function aboutOf(operation: RtOperation): Cidr | string {
	if ('route' in operation) return operation.route.destination;
	return 'neighbour' in operation ? `${operation.neighbour.address ?? ''}/32` : operation.address.address;
}
