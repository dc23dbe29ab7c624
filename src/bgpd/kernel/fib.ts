import { type Candidate, CompiledFilter, REJECTED, type Rib, type RibFollower, type RouterConfig } from '#bgp';
import type { NextHop, Route, RtOperation, RtOperationFailure } from '#kernel';
import { type Cidr, cidrFamily, FAMILIES, type Family } from '#net';
import type { Log } from '../log.ts';
import { Protocol } from './foreign-routes.ts';

/** Changes written in one go; the kernel does the work in our thread. */
const BATCH = 256;
/** As many next hops per route as BIRD takes. */
const MAX_NEXT_HOPS = 16;
/** LOCAL_PREF from here up stands for a kernel metric, counted down from the highest metric. */
const ENCODED_METRIC_FROM = 0x40000000;
const HIGHEST_METRIC = 0x7fffffff;
const NONE = 0;
/** Somebody else has a route with our key; it stays theirs until it is gone. */
const SHADOWED = -1;

/** What a route of ours looks like, apart from its prefix. */
interface Shape {
	readonly id: number;
	readonly type: 'unicast' | 'blackhole';
	readonly metric: number;
	readonly nextHops: readonly NextHop[];
}

/** The part of rtnetlink used here. */
export interface RouteWriter {
	applyNow(operations: readonly RtOperation[]): readonly RtOperationFailure[];
	listRoutes(filter: { readonly family: Family; readonly table: number; readonly protocol: number }): readonly Route[];
}

export interface FibModules {
	readonly ribs: Readonly<Record<Family, Rib>>;
	readonly writer: RouteWriter;
	readonly log: Log;
	/** True while routes of before our restart must not be touched. */
	readonly recovering: () => boolean;
	/** There is something to write: call {@link Fib.write} soon. */
	readonly wake: () => void;
}

interface FamilyState {
	/** Per prefix: number of the shape the kernel has from us. */
	written: Int32Array;
	readonly pending: Set<number>;
	/** Prefixes the kernel refused, for the next audit. */
	readonly failed: Set<number>;
}

interface Change {
	readonly prefix: number;
	readonly operation: Extract<RtOperation, { readonly route: Route }>;
}

/** Keeps the kernel's routing table in line with the RIB: our routes are those of protocol 12, and only those are ever touched. */
export class Fib implements RibFollower {
	readonly #modules: FibModules;
	readonly #table: number;
	#config: RouterConfig;
	#filter: CompiledFilter;
	#blocks = new Set<Cidr>();
	readonly #families: Readonly<Record<Family, FamilyState>> = {
		4: { written: new Int32Array(256), pending: new Set(), failed: new Set() },
		6: { written: new Int32Array(256), pending: new Set(), failed: new Set() },
	};
	readonly #shapes = new Map<string, Shape>();
	readonly #shapesById: (Shape | undefined)[] = [undefined];
	/** Routes of ours that no prefix accounts for, such as second ones with another metric. */
	#strays: Route[] = [];

	constructor(modules: FibModules, config: RouterConfig) {
		this.#modules = modules;
		this.#table = config.kernel.table;
		this.#config = config;
		this.#filter = new CompiledFilter(config.kernel.filter);
		this.configure(config);
	}

	/** Takes over what the kernel holds from an earlier run. Nothing of it is removed before the recovery ends. */
	adopt(routes: readonly Route[]): void {
		for (const route of routes) {
			const shape = this.#shapeOf(route);
			const family = cidrFamily(route.destination);
			const prefix = this.#modules.ribs[family].index.internCidr(route.destination);
			if (shape === undefined || this.#written(family, prefix) !== NONE) this.#strays.push(route);
			else this.#setWritten(family, prefix, shape.id);
		}
	}

	/** Takes over what a configuration says about the kernel, and looks again at the prefixes it matters for. */
	configure(config: RouterConfig): void {
		const old = this.#config;
		this.#config = config;
		const blocks = new Set(config.originate.filter(({ kind }) => kind === 'block').map(({ prefix }) => prefix));
		for (const prefix of blocks.symmetricDifference(this.#blocks)) {
			const number = this.#modules.ribs[cidrFamily(prefix)].index.findCidr(prefix);
			if (number >= 0) this.#families[cidrFamily(prefix)].pending.add(number);
		}
		this.#blocks = blocks;
		if (JSON.stringify([old.kernel.filter, old.kernel.metric]) !== JSON.stringify([config.kernel.filter, config.kernel.metric])) {
			this.#filter = new CompiledFilter(config.kernel.filter);
			for (const family of FAMILIES) {
				const { index } = this.#modules.ribs[family];
				for (let prefix = 0; prefix < index.highWater; prefix++) this.#families[family].pending.add(prefix);
			}
		}
		this.#modules.wake();
	}

	changed(family: Family, prefixes: Int32Array, count: number): void {
		const { pending } = this.#families[family];
		const rib = this.#modules.ribs[family];
		for (let position = 0; position < count; position++) {
			const prefix = prefixes[position] as number;
			if (rib.hasPaths(prefix) || this.#written(family, prefix) !== NONE) pending.add(prefix);
			else pending.delete(prefix);
		}
		if (pending.size > 0) this.#modules.wake();
	}

	holds(family: Family, prefix: number): boolean {
		return this.#written(family, prefix) !== NONE || this.#families[family].pending.has(prefix);
	}

	/** Writes a batch of what is pending; says whether there is more. */
	write(): boolean {
		if (!this.#modules.recovering() && this.#strays.length > 0) this.#removeStrays();
		for (const family of FAMILIES) if (this.#families[family].pending.size > 0) this.#writeFamily(family);
		return FAMILIES.some((family) => this.#families[family].pending.size > 0);
	}

	/** A route in our table was removed by somebody else: one of ours comes back, and one that stood in our way frees its place. */
	removedByOthers(route: Route): void {
		if (route.table !== this.#table) return;
		const family = cidrFamily(route.destination);
		const prefix = this.#modules.ribs[family].index.findCidr(route.destination);
		if (prefix < 0) return;
		const written = this.#written(family, prefix);
		const shape = this.#shapesById[written];
		const isOurs = route.protocol === Protocol.bird && shape?.metric === route.metric;
		if (!isOurs && written !== SHADOWED) return;
		this.#setWritten(family, prefix, NONE);
		this.#families[family].pending.add(prefix);
		this.#modules.wake();
	}

	/**
	 * Compares all that we wrote with what the kernel has, and queues what is missing or different.
	 *
	 * @param shadowsToo tries again where somebody else's route was in the way, because its removal may have gone unnoticed
	 */
	audit(shadowsToo: boolean): void {
		this.#strays = [];
		for (const family of FAMILIES) {
			const { index } = this.#modules.ribs[family];
			const { pending, failed } = this.#families[family];
			for (const prefix of failed) pending.add(prefix);
			failed.clear();
			const found = new Map<number, number>();
			for (const route of this.#modules.writer.listRoutes({ family, table: this.#table, protocol: Protocol.bird })) {
				const prefix = index.findCidr(route.destination);
				const shape = this.#shapeOf(route);
				if (prefix < 0 || shape === undefined || found.has(prefix)) this.#strays.push(route);
				else found.set(prefix, shape.id);
			}
			for (let prefix = 0; prefix < index.highWater; prefix++) {
				const actual = found.get(prefix) ?? NONE;
				const written = this.#written(family, prefix);
				if (written === actual || (written === SHADOWED && !shadowsToo)) continue;
				this.#setWritten(family, prefix, actual);
				pending.add(prefix);
			}
		}
		this.#modules.wake();
	}

	#writeFamily(family: Family): void {
		const { pending } = this.#families[family];
		const rib = this.#modules.ribs[family];
		const changes: Change[] = [];
		const done: number[] = [];
		for (const prefix of pending) {
			if (changes.length >= BATCH) break;
			pending.delete(prefix);
			done.push(prefix);
			changes.push(...this.#changesFor(family, prefix));
		}
		if (changes.length > 0) {
			const failures = this.#modules.writer.applyNow(changes.map(({ operation }) => operation));
			for (const failure of failures) this.#failed(family, changes[failure.index] as Change, failure);
		}
		// whoever numbers prefixes may have waited for us
		for (const prefix of done) if (!rib.hasPaths(prefix) && this.#written(family, prefix) === NONE) rib.markDirty(prefix);
	}

	/** What has to be written for a prefix; takes for granted that it will be. */
	#changesFor(family: Family, prefix: number): Change[] {
		const written = this.#written(family, prefix);
		const wanted = this.#wanted(family, prefix);
		if (written === SHADOWED) {
			if (wanted === undefined) this.#setWritten(family, prefix, NONE);
			return [];
		}
		const old = this.#shapesById[written];
		if (wanted === old || (old !== undefined && this.#modules.recovering())) return [];
		this.#setWritten(family, prefix, wanted?.id ?? NONE);
		const destination = this.#modules.ribs[family].index.cidrOf(prefix);
		const changes: Change[] = [];
		// a metric is part of the key: the new route goes in first, so that there is no gap
		const sameKey = old?.metric === wanted?.metric;
		if (wanted !== undefined)
			changes.push({ prefix, operation: { op: sameKey ? 'replace' : 'add', route: this.#route(destination, wanted) } });
		if (old !== undefined && !sameKey) changes.push({ prefix, operation: { op: 'delete', route: this.#route(destination, old) } });
		return changes;
	}

	#failed(family: Family, { prefix, operation }: Change, failure: RtOperationFailure): void {
		const { destination } = operation.route;
		if (operation.op === 'delete' && failure.errno === 'ESRCH') return;
		if (operation.op === 'add' && failure.errno === 'EEXIST') {
			this.#setWritten(family, prefix, SHADOWED);
			this.#modules.log.warn({ destination }, 'a route of another owner is in the way of ours');
			return;
		}
		// the device may just have gone: then its event comes next, else the audit tries again
		this.#setWritten(family, prefix, NONE);
		this.#families[family].failed.add(prefix);
		this.#modules.log.warn({ destination, errno: failure.errno, reason: failure.message }, `route not written: ${operation.op}`);
	}

	#removeStrays(): void {
		const operations = this.#strays.splice(0, BATCH).map((route): RtOperation => ({ op: 'delete', route }));
		this.#modules.writer.applyNow(operations);
		if (this.#strays.length > 0) this.#modules.wake();
	}

	/** The route that should be there; undefined if the kernel needs none of us. */
	#wanted(family: Family, prefix: number): Shape | undefined {
		const rib = this.#modules.ribs[family];
		const [best, ...others] = rib.multipath(prefix);
		if (best === undefined || best.source.kind === 'kernel' || best.source.kind === 'direct') return undefined;
		if (this.#filter.evaluate(rib.index, prefix, best.source) === REJECTED) return undefined;
		if (best.source.kind === 'originated') {
			const isHost = rib.index.lengthOf(prefix) === (family === 4 ? 32 : 128);
			if (isHost || !this.#blocks.has(rib.index.cidrOf(prefix))) return undefined;
			return this.#shape('blackhole', this.#defaultMetric(family), []);
		}
		const hops = new Map<string, NextHop>();
		for (const path of [best, ...others]) {
			const way = path.attributes.nextHop?.resolution;
			if (way === undefined || hops.size === MAX_NEXT_HOPS) continue;
			hops.set(`${way.gateway}%${way.interfaceIndex}`, { gateway: way.gateway, interfaceIndex: way.interfaceIndex });
		}
		return hops.size === 0 ? undefined : this.#shape('unicast', this.#metricOf(family, best), [...hops.values()]);
	}

	/** A LOCAL_PREF made from a priority gives that priority back. */
	#metricOf(family: Family, { attributes, source }: Candidate): number {
		const encoded =
			source.kind === 'bgp' && attributes.localPreference >= ENCODED_METRIC_FROM && attributes.localPreference < HIGHEST_METRIC;
		return encoded ? HIGHEST_METRIC - attributes.localPreference : this.#defaultMetric(family);
	}

	/** IPv6 has no metric 0: the kernel makes it 1024. */
	#defaultMetric(family: Family): number {
		const metric = this.#config.kernel.metric[family];
		return family === 6 && metric === 0 ? 1024 : metric;
	}

	#route(destination: Cidr, shape: Shape): Route {
		return {
			destination,
			table: this.#table,
			protocol: Protocol.bird,
			metric: shape.metric,
			type: shape.type,
			scope: 'universe',
			nextHops: shape.nextHops,
		};
	}

	/** The shape of a route found in the kernel; undefined if we would never write such a one. */
	#shapeOf(route: Route): Shape | undefined {
		if (route.type === 'blackhole') return this.#shape('blackhole', route.metric, []);
		if (route.type !== 'unicast' || route.nextHops.length === 0) return undefined;
		return this.#shape(
			'unicast',
			route.metric,
			route.nextHops.map(({ gateway, interfaceIndex }) => ({
				...(gateway === undefined ? {} : { gateway }),
				...(interfaceIndex === undefined ? {} : { interfaceIndex }),
			})),
		);
	}

	#shape(type: Shape['type'], metric: number, nextHops: readonly NextHop[]): Shape {
		const hops = nextHops.map(({ gateway, interfaceIndex }) => `${gateway ?? ''}%${interfaceIndex ?? ''}`).sort();
		const key = `${type} ${metric} ${hops.join(' ')}`;
		let shape = this.#shapes.get(key);
		if (shape === undefined) {
			shape = { id: this.#shapesById.length, type, metric, nextHops };
			this.#shapes.set(key, shape);
			this.#shapesById.push(shape);
		}
		return shape;
	}

	#written(family: Family, prefix: number): number {
		return this.#families[family].written[prefix] ?? NONE;
	}

	#setWritten(family: Family, prefix: number, shape: number): void {
		const state = this.#families[family];
		if (prefix >= state.written.length) {
			const grown = new Int32Array(Math.max(prefix + 1, this.#modules.ribs[family].index.capacity));
			grown.set(state.written);
			state.written = grown;
		}
		state.written[prefix] = shape;
	}
}
