import { explainError } from '#errors';
import { type Conntrack, type NftEvent, NftMonitor, type NftSocket, type Rtnetlink, RtnetlinkMonitor } from '#kernel';
import type { EndpointId, PolicyDelta } from '#policy';
import { dataplaneError } from './errors.ts';
import { type DataplaneOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { DesiredTables } from './table/desired-tables.ts';
import { TableWriter, type WriteResult } from './table/table-writer.ts';
import type { ApplyResult, Clock, DataplaneStatus, EndpointState, Logger } from './types.ts';
import { WorkloadNetwork } from './workload/workload-network.ts';

export interface DataplaneModules {
	/** These three work in the namespace of the options, and stay open as long as the dataplane. */
	readonly nft: NftSocket;
	readonly rtnetlink: Rtnetlink;
	readonly conntrack: Conntrack;
	readonly clock: Clock;
	readonly logger: Logger;
}

interface Waiter {
	readonly endpoints: readonly EndpointId[];
	readonly resolve: (result: ApplyResult) => void;
	readonly reject: (error: unknown) => void;
}

/** Somebody else's changes come in bursts; and two who undo each other's must not do it without pause. */
const REPAIR_DELAY_MS = 100;
const REPAIR_SPACING_MS = 1000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 10_000;

/**
 * Turns desired state into the kernel's: nftables, and the routes, neighbours and settings of local workloads.
 *
 * One writer: deltas are taken over at once, and everything taken over while a write is under way goes with the next
 * one. What the kernel holds is found out before anything is written, so that a new agent goes on where one stopped.
 * Nothing is removed on disposal: the kernel goes on enforcing.
 */
export class Dataplane implements AsyncDisposable {
	readonly #modules: DataplaneModules;
	readonly #options: ResolvedOptions;
	readonly #tables: DesiredTables;
	readonly #writer: TableWriter;
	readonly #network: WorkloadNetwork;
	readonly #monitors: Disposable[] = [];
	readonly #states = new Map<EndpointId, EndpointState>();
	readonly #totals = { transactions: 0, operations: 0, replacements: 0, repairs: 0, failures: 0 };

	#isInSync = false;
	#deltas = 0;
	#deltasWritten = 0;
	/** Endpoints of deltas that are not in the kernel yet. */
	readonly #unwritten = new Set<EndpointId>();
	#tableError: string | undefined;
	#networkError: string | undefined;
	#waiters: Waiter[] = [];
	#areTablesDirty = false;
	/** Set while the tables are to be compared with the kernel: the sets whose elements are in doubt. */
	#suspects: Set<string> | 'all' | undefined;
	#isNetworkDirty = false;
	#running: Promise<void> | undefined;
	#isClosed = false;
	#retryMs = FIRST_RETRY_MS;
	#lastRepairMs = Number.NEGATIVE_INFINITY;
	/** Timers by what they are for. */
	readonly #timers = new Map<'refresh' | 'repair' | 'retry' | 'network', () => void>();

	/** @throws DATAPLANE_BAD_OPTION, KERNEL_SYSTEM_CALL */
	constructor(modules: DataplaneModules, options: DataplaneOptions = {}) {
		this.#modules = modules;
		this.#options = resolveOptions(options);
		this.#tables = new DesiredTables(this.#options.render);
		this.#writer = new TableWriter(modules, this.#tables.models);
		this.#network = new WorkloadNetwork(modules, this.#options.network);
		const namespace = options.namespaceFd === undefined ? {} : { namespaceFd: options.namespaceFd };
		try {
			this.#monitors.push(
				new NftMonitor({ ...namespace, ownPortIds: [modules.nft.portId], onEvents: (events) => this.#onNftEvents(events) }),
			);
			this.#monitors.push(
				new RtnetlinkMonitor({
					...namespace,
					groups: ['link', 'route', 'neighbour'],
					onEvents: (events) => {
						if (this.#network.onEvents(events)) this.#networkChanged();
					},
				}),
			);
		} catch (error) {
			for (const monitor of this.#monitors) monitor[Symbol.dispose]();
			throw error;
		}
		this.#scheduleRefresh();
	}

	/**
	 * Takes a change of desired state over.
	 *
	 * @returns when it is in the kernel; at once while desired state is not in sync
	 * @throws DATAPLANE_APPLY_FAILED, DATAPLANE_UNSTABLE_LISTING, DATAPLANE_CLOSED. The change stays taken over, and is
	 *   tried again without being asked.
	 */
	async apply(delta: PolicyDelta): Promise<ApplyResult> {
		if (this.#isClosed) throw closed();
		this.#tables.apply(delta);
		this.#deltas++;
		this.#isInSync ||= delta.inSync;
		this.#areTablesDirty = true;
		for (const [id, endpoint] of delta.endpoints) {
			if (endpoint === null) this.#states.delete(id);
			this.#unwritten.add(id);
		}
		const endpoints = [...delta.endpoints].filter(([, endpoint]) => endpoint !== null).map(([id]) => id);
		if (!this.#isInSync) return { written: false, endpoints: new Map(endpoints.map((id) => [id, this.#stateOf(id)])) };
		const { promise, resolve, reject } = Promise.withResolvers<ApplyResult>();
		this.#waiters.push({ endpoints, resolve, reject });
		this.#kick();
		return promise;
	}

	status(): DataplaneStatus {
		const { models } = this.#tables;
		const sum = (count: (model: (typeof models)[number]) => number): number => models.reduce((total, model) => total + count(model), 0);
		return {
			inSync: this.#isInSync && this.#deltasWritten === this.#deltas && this.#lastError() === undefined,
			deltas: this.#deltas,
			deltasWritten: this.#deltasWritten,
			counts: {
				endpoints: this.#tables.endpoints.size,
				chains: sum(({ chains }) => chains.size),
				sets: sum(({ sets }) => sets.size),
				setMembers: sum(({ sets }) => [...sets.values()].reduce((total, { members }) => total + members.size, 0)),
				routes: this.#network.routeCount,
			},
			totals: { ...this.#totals },
			lastError: this.#lastError(),
			endpoints: new Map(this.#states),
		};
	}

	/** Stops watching and writing, and leaves the kernel as it is. */
	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#isClosed) return;
		this.#isClosed = true;
		for (const monitor of this.#monitors) monitor[Symbol.dispose]();
		await this.#running;
		for (const cancel of this.#timers.values()) cancel();
		this.#timers.clear();
		for (const { reject } of this.#waiters.splice(0)) reject(closed());
	}

	#kick(): void {
		this.#running ??= this.#run().finally(() => {
			this.#running = undefined;
			if (this.#hasWork()) this.#kick();
		});
	}

	#hasWork(): boolean {
		const mayWrite = this.#isInSync && !this.#isClosed && !this.#timers.has('retry');
		return mayWrite && (this.#areTablesDirty || this.#isRepairTime() || this.#isNetworkDirty);
	}

	/** Writes until there is nothing more to write, or a failure. */
	async #run(): Promise<void> {
		// what is applied in the same turn goes into the same transaction
		await Promise.resolve();
		if (!this.#isInSync) return;
		// a new delta is a reason to try at once
		this.#cancel('retry');
		while (this.#hasWork()) {
			const waiters = this.#waiters.splice(0);
			const tableFailure = this.#writeTables();
			await this.#writeNetwork();
			this.#publishStates();
			for (const { endpoints, resolve, reject } of waiters) {
				if (tableFailure !== undefined) reject(tableFailure);
				else resolve({ written: true, endpoints: new Map(endpoints.map((id) => [id, this.#stateOf(id)])) });
			}
		}
	}

	/** Returns the failure, if there was one. */
	#writeTables(): unknown {
		const suspects = this.#isRepairTime() ? this.#suspects : undefined;
		if (suspects === undefined && !this.#areTablesDirty) return undefined;
		try {
			this.#count(this.#writer.write(), false);
			if (suspects !== undefined) {
				this.#lastRepairMs = this.#modules.clock.nowMs();
				this.#count(this.#writer.reconcile(suspects), true);
			}
		} catch (error) {
			this.#areTablesDirty = true;
			this.#tableError = this.#retryLater(error, 'desired state could not be written to nftables');
			return error;
		}
		this.#areTablesDirty = false;
		if (suspects !== undefined) this.#suspects = undefined;
		this.#deltasWritten = this.#deltas;
		if (this.#unwritten.size > 0) {
			// only now: an endpoint gets its route when it is protected
			this.#network.setEndpoints(this.#tables.installed);
			this.#isNetworkDirty = true;
			this.#unwritten.clear();
		}
		this.#tableError = undefined;
		this.#succeeded();
		return undefined;
	}

	#count({ operations, isReplacement }: WriteResult, isRepair: boolean): void {
		if (operations === 0) return;
		this.#totals.transactions++;
		this.#totals.operations += operations;
		if (isReplacement) this.#totals.replacements++;
		if (!isRepair) return;
		this.#totals.repairs++;
		this.#modules.logger.warn({ operations }, 'somebody else changed our nftables; undone');
	}

	async #writeNetwork(): Promise<void> {
		if (!this.#isNetworkDirty) return;
		this.#isNetworkDirty = false;
		try {
			const againMs = await this.#network.sync();
			if (againMs !== undefined) this.#schedule('network', againMs, () => this.#networkChanged());
			this.#networkError = undefined;
			this.#succeeded();
		} catch (error) {
			this.#isNetworkDirty = true;
			this.#network.expire();
			this.#networkError = this.#retryLater(error, 'routes and settings of workloads could not be written');
		}
	}

	#lastError(): string | undefined {
		return this.#tableError ?? this.#networkError;
	}

	#succeeded(): void {
		if (this.#lastError() === undefined) this.#retryMs = FIRST_RETRY_MS;
	}

	/** Returns the error in words. */
	#retryLater(error: unknown, message: string): string {
		this.#totals.failures++;
		const words = explainError(error);
		this.#modules.logger.error({ error: words, retryMs: this.#retryMs }, message);
		this.#schedule('retry', this.#retryMs * (0.75 + Math.random() / 2), () => this.#kick());
		this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
		return words;
	}

	#onNftEvents(events: readonly NftEvent[]): void {
		let isConcerned = false;
		for (const event of events) {
			if (event.kind === 'generation' || (event.kind !== 'resync' && event.table !== this.#options.render.tableName)) continue;
			isConcerned = true;
			if (event.kind === 'resync' || event.kind === 'table' || event.name === undefined) this.#suspects = 'all';
			else if (this.#suspects !== 'all') this.#suspects = (this.#suspects ?? new Set()).add(event.name);
		}
		if (!isConcerned || this.#timers.has('repair')) return;
		const pauseMs = this.#lastRepairMs + REPAIR_SPACING_MS - this.#modules.clock.nowMs();
		this.#schedule('repair', Math.max(REPAIR_DELAY_MS, pauseMs), () => this.#kick());
	}

	#isRepairTime(): boolean {
		return this.#suspects !== undefined && !this.#timers.has('repair');
	}

	#networkChanged(): void {
		this.#isNetworkDirty = true;
		if (this.#isInSync) this.#kick();
	}

	#scheduleRefresh(): void {
		this.#schedule('refresh', this.#options.refreshIntervalMs * (0.9 + Math.random() / 5), () => {
			this.#scheduleRefresh();
			this.#network.expire();
			this.#isNetworkDirty = true;
			// the elements of sets are large, and whatever changes them is reported
			this.#suspects ??= new Set();
			this.#kick();
		});
	}

	#schedule(what: 'refresh' | 'repair' | 'retry' | 'network', delayMs: number, run: () => void): void {
		this.#cancel(what);
		const cancel = this.#modules.clock.schedule(delayMs, () => {
			this.#timers.delete(what);
			run();
		});
		this.#timers.set(what, cancel);
	}

	#cancel(what: 'refresh' | 'repair' | 'retry' | 'network'): void {
		this.#timers.get(what)?.();
		this.#timers.delete(what);
	}

	#stateOf(id: EndpointId): EndpointState {
		const endpoint = this.#tables.endpoints.get(id);
		if (endpoint === undefined || this.#unwritten.has(id))
			return { ready: false, reason: 'not-written', message: this.#tableError ?? 'nothing is written before desired state is in sync' };
		const problem = this.#tables.problem(id);
		if (problem !== undefined) return { ready: false, reason: 'refused', message: problem };
		if (this.#networkError !== undefined) return { ready: false, reason: 'failed', message: this.#networkError };
		return this.#network.state(endpoint);
	}

	#publishStates(): void {
		for (const id of this.#tables.endpoints.keys()) {
			const before = this.#states.get(id);
			const now = this.#stateOf(id);
			if (before !== undefined && isSameState(before, now)) continue;
			this.#states.set(id, now);
			this.#options.onEndpointState(id, now);
		}
	}
}

function isSameState(a: EndpointState, b: EndpointState): boolean {
	if (a.ready || b.ready) return a.ready === b.ready;
	return a.reason === b.reason && a.message === b.message;
}

function closed(): Error {
	return dataplaneError('DATAPLANE_CLOSED', { message: 'the dataplane was closed' });
}
