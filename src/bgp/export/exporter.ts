import type { AttributeTable } from '../attributes/attribute-set.ts';
import type { AttributeRewriter } from '../attributes/rewrite.ts';
import type { Rib } from '../rib/rib.ts';
import { encodeEndOfRib } from '../wire/end-of-rib.ts';
import { encodeRouteRefresh } from '../wire/route-refresh.ts';
import { ExportPolicy, type ExportSettings } from './export-policy.ts';
import type { Member, MemberSink } from './member.ts';
import { UpdateBatch } from './update-batch.ts';
import { UpdateGroup } from './update-group.ts';

/** Prefixes handled in one go; well under 5 ms. */
export const SLICE = 8192;

export interface ExporterModules {
	readonly rib: Rib;
	readonly attributes: AttributeTable;
	readonly rewriter: AttributeRewriter;
	/** Whether routes learned by BGP must not be announced yet (RFC 4724 §4.1). */
	readonly deferLearned: () => boolean;
}

/** A peer's place among the update groups of a family. */
export interface Placement {
	readonly group: UpdateGroup;
	readonly member: Member;
}

/** All update groups of one family. */
export class Exporter {
	readonly #modules: ExporterModules;
	readonly #groups = new Map<string, UpdateGroup>();
	readonly #batch: UpdateBatch;
	readonly #scratch = new Int32Array(SLICE);

	constructor(modules: ExporterModules) {
		this.#modules = modules;
		this.#batch = new UpdateBatch(modules.rib.index, modules.attributes, SLICE);
	}

	/**
	 * Adds a newly established peer.
	 *
	 * @param key equal exactly for equal settings
	 */
	join(key: string, settings: ExportSettings, peer: number, sink: MemberSink): Placement {
		const group = this.#group(key, settings);
		return { group, member: group.join(peer, sink) };
	}

	/** Moves an established peer to the group of other settings; it is sent the difference only. */
	move(from: Placement, key: string, settings: ExportSettings): Placement {
		const group = this.#group(key, settings);
		if (group === from.group) return from;
		const member = group.transfer(from.member, from.group);
		this.#disposeEmpty();
		return { group, member };
	}

	leave(placement: Placement): void {
		placement.group.leave(placement.member);
		this.#disposeEmpty();
	}

	/** Tells all groups about changed prefixes. */
	process(prefixes: Int32Array, count: number): void {
		for (const group of this.#groups.values()) group.process(prefixes, count);
	}

	/** Whether any group still needs the number of a prefix. */
	holds(prefix: number): boolean {
		for (const group of this.#groups.values()) if (group.holds(prefix)) return true;
		return false;
	}

	/** Does one slice of what is owed to new and slow peers; says whether more can be done at once. */
	work(): boolean {
		let more = false;
		for (const group of this.#groups.values()) {
			if (group.isWalking) group.walk(SLICE);
			for (const member of group.members.values()) {
				if (!member.inSync && member.sink.writable) group.catchUp(member, this.#scratch);
				more ||= !member.inSync && member.sink.writable;
				if (member.inSync && !group.isWalking && !this.#modules.deferLearned()) this.#sendMarkers(member);
			}
			more ||= group.isWalking;
		}
		return more;
	}

	/** Says that everything owed has been sent. */
	#sendMarkers(member: Member): void {
		const { family } = this.#modules.rib.index;
		if (member.endOfRibDue) member.sink.send(encodeEndOfRib(family));
		if (member.endOfRefreshDue) member.sink.send(encodeRouteRefresh(family, 'end'));
		member.endOfRibDue = false;
		member.endOfRefreshDue = false;
	}

	#group(key: string, settings: ExportSettings): UpdateGroup {
		let group = this.#groups.get(key);
		if (group === undefined) {
			const { rib, attributes, rewriter, deferLearned } = this.#modules;
			const policy = new ExportPolicy(settings, rib.index, rewriter);
			group = new UpdateGroup({ rib, attributes, policy, batch: this.#batch }, { as4: settings.as4, deferLearned });
			this.#groups.set(key, group);
		}
		return group;
	}

	#disposeEmpty(): void {
		for (const [key, group] of this.#groups) {
			if (group.members.size > 0) continue;
			group.dispose();
			this.#groups.delete(key);
		}
	}
}
