import { type Cidr, cidrParts } from '#net';
import { LabelIndex, type LabelRecord } from '#selector';
import type { IpSetView } from './evaluate.ts';
import type { PortProtocol } from './ids.ts';
import { IpSet } from './ip-set.ts';
import type { IpSetDefinition } from './rule-compiler.ts';
import type { IpSetChange, IpSetId, IpSetMember } from './types.ts';

/** Something that selectors can select: a workload endpoint of any node, or a network set. */
export interface Selectable {
	readonly labels: LabelRecord;
	/** Profiles, from which labels are inherited in this order. */
	readonly parents: readonly string[];
	readonly nets: readonly Cidr[];
	readonly ports: readonly NamedPort[];
}

export interface NamedPort {
	readonly name: string;
	readonly protocol: PortProtocol;
	readonly port: number;
}

interface UsedSet {
	readonly definition: IpSetDefinition;
	readonly set: IpSet;
	users: number;
	/** Whether it was given out. */
	known: boolean;
}

/** The IP sets that active rules refer to, kept equal to what their selectors select in the whole cluster. */
export class IpSets {
	readonly #sets = new Map<IpSetId, UsedSet>();
	readonly #selectables = new Map<string, Selectable>();
	readonly #index: LabelIndex<IpSetId, string>;
	/** Sets that differ from what was given out, or may no longer have a user. */
	readonly #dirty = new Set<IpSetId>();

	constructor() {
		this.#index = new LabelIndex<IpSetId, string>({
			onMatchStarted: (id, key) => this.#contribute(id, this.#selectables.get(key), 'add'),
			onMatchStopped: (id, key) => this.#contribute(id, this.#selectables.get(key), 'remove'),
		});
	}

	get(id: IpSetId): IpSetView | undefined {
		const used = this.#sets.get(id);
		if (used === undefined) return undefined;
		return {
			holds: (address, protocol, port) => used.set.holds(address, protocol, port),
			description: describe(used.definition),
		};
	}

	/** Adds something selectable, or replaces what was there under this key. */
	setSelectable(key: string, next: Selectable): void {
		const before = this.#selectables.get(key);
		this.#selectables.set(key, next);
		if (before !== undefined && !sameContribution(before, next))
			for (const id of this.#index.selectorsMatching(key)) {
				this.#contribute(id, before, 'remove');
				this.#contribute(id, next, 'add');
			}
		this.#index.setItem(key, next.labels, next.parents);
	}

	removeSelectable(key: string): void {
		this.#index.removeItem(key);
		this.#selectables.delete(key);
	}

	setProfileLabels(profile: string, labels: LabelRecord): void {
		this.#index.setParentLabels(profile, labels);
	}

	/** Makes sure that a set is there, for one more user. */
	acquire(definition: IpSetDefinition): void {
		const { id, selector, namedPort } = definition;
		const used = this.#sets.get(id);
		this.#dirty.add(id);
		if (used !== undefined) {
			used.users++;
			return;
		}
		this.#sets.set(id, { definition, set: new IpSet(namedPort === undefined ? 'net' : 'ip-port'), users: 1, known: false });
		this.#index.setSelector(id, selector);
	}

	/** Takes back one {@link acquire}; the set goes with the next {@link takeChanges} unless it is acquired again. */
	release(id: IpSetId): void {
		const used = this.#sets.get(id);
		if (used === undefined) return;
		used.users--;
		this.#dirty.add(id);
	}

	/** What changed since the last call: null for sets that nobody uses any more. */
	takeChanges(): Map<IpSetId, IpSetChange | null> {
		const changes = new Map<IpSetId, IpSetChange | null>();
		for (const id of this.#dirty) {
			const used = this.#sets.get(id);
			if (used === undefined) continue;
			if (used.users > 0) {
				if (used.set.isDirty) changes.set(id, used.set.takeChange());
				used.known = true;
				continue;
			}
			// Gone first, so that the matches that stop with the selector find no set to leave one by one.
			this.#sets.delete(id);
			this.#index.removeSelector(id);
			if (used.known) changes.set(id, null);
		}
		this.#dirty.clear();
		return changes;
	}

	#contribute(id: IpSetId, selectable: Selectable | undefined, operation: 'add' | 'remove'): void {
		const used = this.#sets.get(id);
		if (used === undefined || selectable === undefined) return;
		for (const member of membersOf(selectable, used.definition)) used.set[operation](member);
		if (used.set.isDirty) this.#dirty.add(id);
	}
}

function* membersOf({ nets, ports }: Selectable, { namedPort }: IpSetDefinition): Generator<IpSetMember> {
	if (namedPort === undefined) {
		yield* nets;
		return;
	}
	for (const { name, protocol, port } of ports) {
		if (name !== namedPort.name || (namedPort.protocol !== 'any' && protocol !== namedPort.protocol)) continue;
		for (const net of nets) yield `${cidrParts(net).address},${protocol}:${port}`;
	}
}

function sameContribution(a: Selectable, b: Selectable): boolean {
	return (
		a.nets.length === b.nets.length &&
		a.ports.length === b.ports.length &&
		a.nets.every((net, index) => net === b.nets[index]) &&
		a.ports.every((port, index) => {
			const other = b.ports[index];
			return port.name === other?.name && port.protocol === other.protocol && port.port === other.port;
		})
	);
}

function describe({ selector, namedPort }: IpSetDefinition): string {
	if (namedPort === undefined) return selector.text;
	return `port ${JSON.stringify(namedPort.name)} (${namedPort.protocol}) of ${selector.text}`;
}
