import type { LocalRoute, Resolution, Rib, RibFollower, RouterConfig } from '#bgp';
import { type Route, type RtEvent, Rtnetlink, RtnetlinkMonitor } from '#kernel';
import { type Cidr, FAMILIES, type Family, type Ip } from '#net';
import { bgpdError } from '../errors.ts';
import type { Log } from '../log.ts';
import { Fib } from './fib.ts';
import { ForeignRoutes, Protocol } from './foreign-routes.ts';
import { InterfaceTable } from './interface-table.ts';
import { resolveNextHop } from './next-hop-resolver.ts';

/** Between two audits, at least; a table that takes long to list is listed less often. */
const AUDIT_MS = 60_000;
const AUDIT_SHARE = 1000;
/** After a device changed: IPv4 routes over it may be gone without a word. */
const SETTLE_MS = 200;

/** What the routing process is told and asked. */
export interface RoutingModules {
	readonly log: Log;
	/** Monotonic milliseconds. */
	readonly now: () => number;
	readonly addLocalRoute: (route: LocalRoute) => void;
	readonly removeLocalRoute: (kind: 'kernel' | 'direct', prefix: Cidr) => void;
	readonly nextHopsChanged: () => void;
	readonly recovering: () => boolean;
	readonly wake: () => void;
}

/** The kernel's side of routing: devices, connected networks and routes of others go into the RIB, its best routes come out. */
export class KernelRouting implements Disposable {
	readonly #modules: RoutingModules;
	readonly #table: number;
	readonly #writes: boolean;
	readonly #requests = new Rtnetlink();
	readonly #monitor: RtnetlinkMonitor;
	readonly #interfaces = new InterfaceTable();
	readonly #foreign = new ForeignRoutes();
	readonly #direct = new Set<Cidr>();
	#fib: Fib | undefined;
	#attached = false;
	#auditAtMs: number;
	#resyncShadows = false;

	/**
	 * Starts to listen and reads what is there.
	 *
	 * @param writes whether routes are exchanged with the kernel's table; next hops are resolved in any case
	 * @throws what rtnetlink throws
	 */
	constructor(modules: RoutingModules, config: RouterConfig, writes: boolean) {
		this.#modules = modules;
		this.#table = config.kernel.table;
		this.#writes = writes;
		this.#auditAtMs = modules.now() + AUDIT_MS;
		this.#monitor = new RtnetlinkMonitor({ groups: ['link', 'address', 'route'], onEvents: (events) => this.#changed(events) });
		this.#interfaces.ignore(config.ignoredInterfaces);
		this.#load();
	}

	/** Our routes that an earlier run left in the kernel. */
	leftovers(): readonly Route[] {
		if (!this.#writes) return [];
		return FAMILIES.flatMap((family) => this.#requests.listRoutes({ family, table: this.#table, protocol: Protocol.bird }));
	}

	/**
	 * Connects the RIB.
	 *
	 * @param leftovers what {@link KernelRouting.leftovers} gave before the RIB was made
	 * @returns who has to be told of changes in the RIB, if anyone
	 */
	attach(ribs: Readonly<Record<Family, Rib>>, config: RouterConfig, leftovers: readonly Route[]): RibFollower | undefined {
		this.#attached = true;
		this.#publishAll();
		if (!this.#writes) return undefined;
		const { log, recovering, wake } = this.#modules;
		this.#fib = new Fib({ ribs, writer: this.#requests, log, recovering, wake }, config);
		this.#fib.adopt(leftovers);
		return this.#fib;
	}

	/** @throws BGPD_TABLE_CHANGED */
	configure(config: RouterConfig): void {
		if (config.kernel.table !== this.#table)
			throw bgpdError('BGPD_TABLE_CHANGED', {
				message: `the routing table cannot change from ${this.#table} to ${config.kernel.table} while the daemon runs`,
				path: 'kernel.table',
				hint: 'restart the daemon',
			});
		this.#interfaces.ignore(config.ignoredInterfaces);
		this.#fib?.configure(config);
		this.#publishNetworks();
		this.#modules.nextHopsChanged();
	}

	resolve(address: Ip): Resolution | undefined {
		return resolveNextHop(address, this.#interfaces, this.#foreign);
	}

	addressBeside(address: Ip, family: Family): Ip | undefined {
		return this.#interfaces.addressBeside(address, family);
	}

	interfaceName(index: number): string | undefined {
		return this.#interfaces.nameOf(index);
	}

	/** Writes a batch of routes; says whether there is more. */
	write(): boolean {
		return this.#fib?.write() === true;
	}

	/** Runs the audit when it is due. */
	tick(): void {
		if (this.#modules.now() < this.#auditAtMs) return;
		const start = this.#modules.now();
		for (const prefix of this.#load()) this.#learn(prefix);
		this.#publishAll();
		this.#fib?.audit(this.#resyncShadows);
		this.#resyncShadows = false;
		const end = this.#modules.now();
		this.#auditAtMs = end + Math.max(AUDIT_MS, (end - start) * AUDIT_SHARE);
	}

	[Symbol.dispose](): void {
		this.#monitor[Symbol.dispose]();
		this.#requests[Symbol.dispose]();
	}

	/** Reads everything anew; returns the prefixes of routes of others that were or are there. */
	#load(): ReadonlySet<Cidr> {
		this.#interfaces.load(this.#requests.listLinks(), this.#requests.listAddresses());
		return this.#foreign.load(FAMILIES.flatMap((family) => this.#requests.listRoutes({ family, table: this.#table })));
	}

	/** Takes over what one wake-up brought. */
	#changed(events: readonly RtEvent[]): void {
		let waysChanged = false;
		for (const event of events) {
			if (event.kind === 'route') waysChanged = this.#routeChanged(event) || waysChanged;
			else if (event.kind === 'resync') {
				this.#resyncShadows = true;
				this.#auditAtMs = 0;
			}
		}
		if (this.#interfaces.change(events)) {
			this.#auditAtMs = Math.min(this.#auditAtMs, this.#modules.now() + SETTLE_MS);
			this.#publishAll();
		} else if (waysChanged) this.#modules.nextHopsChanged();
	}

	/** Says whether ways to next hops may have changed. */
	#routeChanged({ portId, route, change, replaced }: Extract<RtEvent, { readonly kind: 'route' }>): boolean {
		if (portId === this.#requests.portId || route.table !== this.#table) return false;
		if (change === 'delete') this.#fib?.removedByOthers(route);
		if (!this.#foreign.change(change, route, replaced)) return false;
		this.#learn(route.destination);
		return true;
	}

	/** Brings a prefix's route of others into the RIB, or takes it out. */
	#learn(prefix: Cidr): void {
		if (!this.#attached || !this.#writes) return;
		const route = this.#foreign.best(prefix);
		if (route === undefined) this.#modules.removeLocalRoute('kernel', prefix);
		else {
			const name = this.#interfaces.nameOf(route.nextHops[0]?.interfaceIndex);
			this.#modules.addLocalRoute({ prefix, kind: 'kernel', interface: name });
		}
	}

	/** After devices or addresses changed. */
	#publishAll(): void {
		if (!this.#attached) return;
		this.#publishNetworks();
		for (const { prefix } of this.#foreign.prefixes()) this.#learn(prefix);
		this.#modules.nextHopsChanged();
	}

	/** Brings connected networks into the RIB. */
	#publishNetworks(): void {
		const present = new Set<Cidr>();
		for (const { prefix, value } of this.#interfaces.networks()) {
			present.add(prefix);
			this.#direct.add(prefix);
			this.#modules.addLocalRoute({ prefix, kind: 'direct', interface: value.interface });
		}
		for (const prefix of this.#direct) {
			if (present.has(prefix)) continue;
			this.#direct.delete(prefix);
			this.#modules.removeLocalRoute('direct', prefix);
		}
	}
}
