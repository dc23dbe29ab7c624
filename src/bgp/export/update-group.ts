import type { AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import { growInt32 } from '../rib/prefix-index.ts';
import type { Rib } from '../rib/rib.ts';
import type { ExportPolicy } from './export-policy.ts';
import { Member, type MemberSink } from './member.ts';
import type { UpdateBatch } from './update-batch.ts';

export interface UpdateGroupModules {
	readonly rib: Rib;
	readonly attributes: AttributeTable;
	readonly policy: ExportPolicy;
	readonly batch: UpdateBatch;
}

export interface UpdateGroupOptions {
	readonly as4: boolean;
	/** Whether routes learned by BGP may be announced yet (RFC 4724 §4.1). */
	readonly deferLearned: () => boolean;
}

/**
 * Peers that are sent the same bytes. They share one Adj-RIB-Out: per prefix the attributes announced, and the peer that is left
 * out because the route is its own.
 */
export class UpdateGroup {
	readonly #rib: Rib;
	readonly #attributes: AttributeTable;
	readonly #policy: ExportPolicy;
	readonly #batch: UpdateBatch;
	readonly #options: UpdateGroupOptions;
	readonly #members = new Map<number, Member>();
	/** Per prefix: number of the announced attribute set, 0 for none. */
	#announced = new Int32Array(0);
	/** Per prefix: index of the peer the route comes from, 0 for none. */
	#origin = new Int32Array(0);
	#count = 0;
	/** Prefixes below this one have been looked at since the group was made. */
	#walked = 0;

	constructor(modules: UpdateGroupModules, options: UpdateGroupOptions) {
		this.#rib = modules.rib;
		this.#attributes = modules.attributes;
		this.#policy = modules.policy;
		this.#batch = modules.batch;
		this.#options = options;
	}

	get members(): ReadonlyMap<number, Member> {
		return this.#members;
	}

	/** Whether prefixes that were there before the group are still to be looked at. */
	get isWalking(): boolean {
		return this.#walked < this.#rib.index.highWater;
	}

	/** How many prefixes a member is announced. */
	advertisedTo(member: Member): number {
		return this.#count - member.excluded;
	}

	/** Whether the group or one of its members still needs the number of a prefix. */
	holds(prefix: number): boolean {
		if ((this.#announced[prefix] ?? 0) !== 0) return true;
		for (const member of this.#members.values()) if (member.isMarked(prefix)) return true;
		return false;
	}

	/** Adds a peer that has been sent nothing yet; it is owed the whole Adj-RIB-Out and an End-of-RIB marker. */
	join(peer: number, sink: MemberSink): Member {
		const member = new Member(peer, sink, true);
		for (let prefix = 0; prefix < this.#announced.length; prefix++) {
			if (this.#announced[prefix] === 0) continue;
			if (this.#origin[prefix] === peer) member.excluded++;
			else member.mark(prefix);
		}
		this.#members.set(peer, member);
		return member;
	}

	/** Adds a peer that was in another group: it is owed the difference. */
	transfer(member: Member, from: UpdateGroup): Member {
		this.walk(Number.POSITIVE_INFINITY);
		from.#leave(member);
		const moved = new Member(member.peer, member.sink, member.endOfRibDue);
		moved.endOfRefreshDue = member.endOfRefreshDue;
		const end = Math.max(this.#announced.length, from.#announced.length);
		for (let prefix = 0; prefix < end; prefix++) {
			const now = this.#shownTo(member.peer, prefix);
			if (now === 0 && this.#announced[prefix] !== 0 && this.#announced[prefix] !== undefined) moved.excluded++;
			if (now !== from.#shownTo(member.peer, prefix) || member.isMarked(prefix)) moved.mark(prefix);
		}
		this.#members.set(member.peer, moved);
		return moved;
	}

	/** Removes a peer whose session ended. */
	leave(member: Member): void {
		this.#leave(member);
	}

	/** Looks at prefixes the group has not seen yet, at most `limit` of them. */
	walk(limit: number): void {
		const end = Math.min(this.#rib.index.highWater, this.#walked + limit);
		if (end <= this.#walked) return;
		const prefixes = new Int32Array(Math.min(end - this.#walked, 4096));
		while (this.#walked < end) {
			const count = Math.min(prefixes.length, end - this.#walked);
			for (let index = 0; index < count; index++) prefixes[index] = this.#walked + index;
			this.#walked += count;
			this.process(prefixes, count);
		}
	}

	/** Brings the Adj-RIB-Out in line with the RIB for some prefixes and tells the members. */
	process(prefixes: Int32Array, count: number): void {
		if (this.#announced.length < this.#rib.index.highWater) this.#grow();
		const behind = [...this.#members.values()].filter((member) => !member.inSync || !member.sink.writable);
		const before = new Set(behind);
		for (let position = 0; position < count; position++) {
			const prefix = prefixes[position] as number;
			const path = this.#rib.best(prefix);
			if (path >= 0) {
				const source = this.#rib.sourceOf(path);
				if (source.peer !== undefined && this.#options.deferLearned()) continue;
				const set = this.#policy.decide(prefix, this.#rib.attributesOf(path), source);
				this.#change(prefix, set, set === undefined ? 0 : (source.peer?.index ?? 0), behind);
			} else this.#change(prefix, undefined, 0, behind);
		}
		const segments = this.#batch.build(this.#options.as4);
		if (segments.length === 0) return;
		for (const member of this.#members.values())
			if (!before.has(member)) for (const segment of segments) if (segment.except !== member.peer) member.sink.send(segment.bytes);
	}

	/** Sends a member, alone, up to `scratch.length` of the prefixes marked for it. */
	catchUp(member: Member, scratch: Int32Array): void {
		const count = member.take(scratch);
		for (let position = 0; position < count; position++) {
			const prefix = scratch[position] as number;
			this.#batch.add(prefix, this.#shownTo(member.peer, prefix), 0);
		}
		for (const segment of this.#batch.build(this.#options.as4)) member.sink.send(segment.bytes);
		for (let position = 0; position < count; position++) {
			const prefix = scratch[position] as number;
			if (!this.#rib.hasPaths(prefix)) this.#rib.markDirty(prefix);
		}
	}

	/** Owes a member the whole Adj-RIB-Out again (RFC 2918). */
	refresh(member: Member): void {
		for (let prefix = 0; prefix < this.#announced.length; prefix++) if (this.#shownTo(member.peer, prefix) !== 0) member.mark(prefix);
	}

	/** Gives up all attribute sets; the group must not be used any more. */
	dispose(): void {
		for (const id of this.#announced) if (id !== 0) this.#attributes.release(this.#attributes.get(id));
		this.#announced = new Int32Array(0);
	}

	#shownTo(peer: number, prefix: number): number {
		return this.#origin[prefix] === peer ? 0 : (this.#announced[prefix] ?? 0);
	}

	#leave(member: Member): void {
		this.#members.delete(member.peer);
		if (!member.inSync) this.#releaseMarks(member);
	}

	/** Prefixes without paths may have waited for this member only. */
	#releaseMarks(member: Member): void {
		for (let prefix = 0; prefix < this.#announced.length; prefix++)
			if (member.isMarked(prefix) && !this.#rib.hasPaths(prefix)) this.#rib.markDirty(prefix);
	}

	#change(prefix: number, set: AttributeSet | undefined, origin: number, behind: readonly Member[]): void {
		const id = set?.id ?? 0;
		const oldId = this.#announced[prefix] as number;
		const oldOrigin = this.#origin[prefix] as number;
		if (id === oldId && origin === oldOrigin) return;
		if (id !== oldId) {
			if (set !== undefined) this.#attributes.retain(set);
			if (oldId !== 0) this.#attributes.release(this.#attributes.get(oldId));
			this.#announced[prefix] = id;
			this.#count += (id === 0 ? 0 : 1) - (oldId === 0 ? 0 : 1);
			this.#batch.add(prefix, id, id === 0 ? oldOrigin : origin);
			for (const member of behind) member.mark(prefix);
		}
		if (origin === oldOrigin) return;
		this.#origin[prefix] = origin;
		const gaining = this.#members.get(oldOrigin);
		if (gaining !== undefined) {
			gaining.excluded--;
			if (id === oldId) gaining.mark(prefix);
		}
		const losing = this.#members.get(origin);
		if (losing !== undefined) {
			losing.excluded++;
			if (oldId !== 0) losing.mark(prefix);
		}
	}

	#grow(): void {
		const capacity = this.#rib.index.capacity;
		this.#announced = growInt32(this.#announced, capacity);
		this.#origin = growInt32(this.#origin, capacity);
	}
}
