import { type Cidr, cidrContains, hostCidr, type Ip, PrefixTable } from '#net';
import { portProtocol } from './ids.ts';
import type { IpSetChange, IpSetMember, IpSetType } from './types.ts';

/**
 * The members of one IP set. Each member is counted by its contributors, and stays until the last of them is gone.
 * Of a `net` set only the widest prefixes are given out, since interval sets of nftables refuse overlapping elements:
 * what a wider prefix covers is withdrawn, and comes back when the cover goes.
 */
export class IpSet {
	readonly type: IpSetType;
	readonly #counts = new Map<IpSetMember, number>();
	/** Every member, while at least one is wider than a host; nearly all sets hold hosts only and need no table. */
	#table: PrefixTable<true> | undefined;
	#wideCount = 0;
	#isNew = true;
	/** What was given out or withdrawn since the last {@link takeChange}; nothing before the first, which gives out everything. */
	readonly #changes = new Map<IpSetMember, 'added' | 'removed'>();

	constructor(type: IpSetType) {
		this.type = type;
	}

	/** Whether {@link takeChange} would return something. */
	get isDirty(): boolean {
		return this.#isNew || this.#changes.size > 0;
	}

	add(member: IpSetMember): void {
		const count = this.#counts.get(member) ?? 0;
		this.#counts.set(member, count + 1);
		if (count > 0) return;
		if (this.type === 'ip-port') this.#giveOut(member);
		else this.#addNet(member as Cidr);
	}

	/** Takes back one {@link add} of the member. */
	remove(member: IpSetMember): void {
		const count = this.#counts.get(member) ?? 0;
		if (count > 1) this.#counts.set(member, count - 1);
		if (count !== 1) return;
		this.#counts.delete(member);
		if (this.type === 'ip-port') this.#withdraw(member);
		else this.#removeNet(member as Cidr);
	}

	/** The difference since the last call; the first one has the whole set. */
	takeChange(): IpSetChange {
		const { type } = this;
		if (this.#isNew) {
			this.#isNew = false;
			return { type, isNew: true, added: [...(this.#table === undefined ? this.#counts.keys() : outermost(this.#table))], removed: [] };
		}
		const added: IpSetMember[] = [];
		const removed: IpSetMember[] = [];
		for (const [member, change] of this.#changes) (change === 'added' ? added : removed).push(member);
		this.#changes.clear();
		return { type, isNew: false, added, removed };
	}

	/** Whether an address, or for an `ip-port` set an address with protocol and port, is in the set. */
	holds(address: Ip, protocol: number, port: number | undefined): boolean {
		if (this.type === 'ip-port') {
			const name = portProtocol(protocol);
			return name !== undefined && port !== undefined && this.#counts.has(`${address},${name}:${port}`);
		}
		return this.#table === undefined ? this.#counts.has(hostCidr(address)) : this.#table.longestMatch(address) !== undefined;
	}

	#addNet(member: Cidr): void {
		if (!isHost(member) && this.#wideCount++ === 0) {
			this.#table = new PrefixTable();
			for (const other of this.#counts.keys()) this.#table.set(other as Cidr, true);
		}
		if (this.#table === undefined) return this.#giveOut(member);
		this.#table.set(member, true);
		if (isCovered(this.#table, member)) return;
		for (const covered of widestBelow(this.#table, member)) this.#withdraw(covered);
		this.#giveOut(member);
	}

	#removeNet(member: Cidr): void {
		if (this.#table === undefined) return this.#withdraw(member);
		if (!isCovered(this.#table, member)) {
			this.#withdraw(member);
			for (const covered of widestBelow(this.#table, member)) this.#giveOut(covered);
		}
		this.#table.delete(member);
		if (!isHost(member) && --this.#wideCount === 0) this.#table = undefined;
	}

	#giveOut(member: IpSetMember): void {
		if (this.#isNew) return;
		if (this.#changes.get(member) === 'removed') this.#changes.delete(member);
		else this.#changes.set(member, 'added');
	}

	#withdraw(member: IpSetMember): void {
		if (this.#isNew) return;
		if (this.#changes.get(member) === 'added') this.#changes.delete(member);
		else this.#changes.set(member, 'removed');
	}
}

/** The prefixes that no other of them covers, without duplicates, in address order. */
export function widestOf(prefixes: Iterable<Cidr>): Cidr[] {
	const table = new PrefixTable<true>();
	for (const prefix of prefixes) table.set(prefix, true);
	return [...outermost(table)];
}

function isHost(prefix: Cidr): boolean {
	return prefix.endsWith(prefix.includes(':') ? '/128' : '/32');
}

/** Whether a wider prefix of the table covers this one, which is in it. */
function isCovered(table: PrefixTable<true>, member: Cidr): boolean {
	for (const { prefix } of table.covering(member)) return prefix !== member;
	return false;
}

function* widestBelow(table: PrefixTable<true>, member: Cidr): Generator<Cidr> {
	const below = table.coveredBy(member);
	below.next(); // the prefix itself comes first
	yield* outermost(below);
}

/** Of entries in address order with shorter prefixes first, those that no other covers. */
function* outermost(entries: Iterable<{ readonly prefix: Cidr }>): Generator<Cidr> {
	let last: Cidr | undefined;
	for (const { prefix } of entries) {
		if (last !== undefined && cidrContains(last, prefix)) continue;
		last = prefix;
		yield prefix;
	}
}
