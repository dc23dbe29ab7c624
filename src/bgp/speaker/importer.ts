import { addressBits, type Family } from '#net';
import type { AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import { type AttributeContext, AttributeParser, type NlriRange } from '../attributes/parse.ts';
import type { AttributeRewriter } from '../attributes/rewrite.ts';
import { REJECTED, UNCHANGED } from '../policy/filter.ts';
import type { Rib } from '../rib/rib.ts';
import type { Source, SourceTable } from '../rib/source.ts';
import { uint16, uint32 } from '../wire/bytes.ts';
import { countNlri } from '../wire/nlri.ts';
import { ErrorCode, type Notification, notification, UpdateError } from '../wire/notification.ts';
import type { Peer, PeerFamily } from './peer.ts';

/** Paths accepted from one peer in one family; a peer that sends more is broken or hostile (RFC 4486 §4, subcode 1). */
const MAX_PATHS_PER_PEER = 4_000_000;
const MAXIMUM_PREFIXES_REACHED = 1;

export interface ImporterModules {
	readonly ribs: Readonly<Record<Family, Rib>>;
	readonly attributes: AttributeTable;
	readonly rewriter: AttributeRewriter;
	readonly sources: SourceTable;
}

/** What an UPDATE meant beside its routes. */
export interface UpdateResult {
	/** End-of-RIB marker for a family. */
	readonly endOfRib: Family | undefined;
	/** The sender's mistake in words, for the log; its routes were treated as withdrawn. */
	readonly problem: string | undefined;
}

/** Brings received UPDATE messages into the RIB. */
export class Importer {
	readonly #modules: ImporterModules;
	readonly #parser: AttributeParser;

	constructor(modules: ImporterModules) {
		this.#modules = modules;
		this.#parser = new AttributeParser(modules.attributes);
	}

	/**
	 * Takes an UPDATE body. Nothing of it is used before all of it is known to be readable.
	 *
	 * @returns a notification if the session has to end (RFC 7606)
	 */
	update(peer: Peer, context: AttributeContext, bytes: Uint8Array, start: number, end: number): UpdateResult | Notification {
		const malformed = notification(ErrorCode.update, UpdateError.malformedAttributes);
		const withdrawnEnd = start + 2 + uint16(bytes, start);
		if (withdrawnEnd + 2 > end) return malformed;
		const attributesEnd = withdrawnEnd + 2 + uint16(bytes, withdrawnEnd);
		if (attributesEnd > end) return malformed;
		const withdrawn: NlriRange = { family: 4, start: start + 2, end: withdrawnEnd };
		const announced: NlriRange = { family: 4, start: attributesEnd, end };
		if (withdrawn.start === withdrawn.end && attributesEnd === withdrawnEnd + 2 && announced.start === end)
			return { endOfRib: 4, problem: undefined };
		const parsed = this.#parser.parse(bytes, withdrawnEnd + 2, attributesEnd, announced.end > announced.start, context);
		if ('type' in parsed) return parsed;
		const { plain, reach, unreach } = parsed;
		const sets = [plain, reach?.attributes].filter((set) => set !== undefined);
		for (const set of sets) this.#modules.attributes.retain(set);
		let problem: Notification | undefined;
		if ([withdrawn, announced, reach, unreach].every((range) => range === undefined || this.#isReadable(peer, bytes, range))) {
			this.#withdraw(peer, bytes, withdrawn);
			if (unreach !== undefined) this.#withdraw(peer, bytes, unreach);
			problem = this.#announce(peer, bytes, announced, plain) ?? (reach && this.#announce(peer, bytes, reach, reach.attributes));
		} else problem = notification(ErrorCode.update, UpdateError.invalidNetwork);
		for (const set of sets) this.#modules.attributes.release(set);
		if (problem !== undefined) return problem;
		const isMarker = unreach !== undefined && unreach.start === unreach.end && reach === undefined && attributesEnd === end;
		return { endOfRib: isMarker ? unreach.family : undefined, problem: parsed.loop ? undefined : parsed.withdraw };
	}

	#isReadable(peer: Peer, bytes: Uint8Array, range: NlriRange): boolean {
		return countNlri(bytes, range.start, range.end, addressBits(range.family), hasPathIds(peer, range.family)) >= 0;
	}

	#withdraw(peer: Peer, bytes: Uint8Array, range: NlriRange): void {
		const family = peer.families.get(range.family);
		if (family === undefined) return;
		const rib = this.#modules.ribs[range.family];
		const pathIds = hasPathIds(peer, range.family);
		for (let offset = range.start; offset < range.end; ) {
			const pathId = pathIds ? uint32(bytes, offset) : 0;
			if (pathIds) offset += 4;
			const length = bytes[offset] as number;
			const prefix = rib.index.find(bytes, offset + 1, length);
			offset += 1 + ((length + 7) >> 3);
			const source = family.sources.get(pathId);
			if (prefix < 0 || source === undefined || !rib.withdraw(prefix, source)) continue;
			family.received--;
			if (pathIds) this.#dropUnused(family, source);
		}
	}

	/** @param attributes undefined treats the routes as withdrawn */
	#announce(peer: Peer, bytes: Uint8Array, range: NlriRange, attributes: AttributeSet | undefined): Notification | undefined {
		const family = peer.families.get(range.family);
		if (family === undefined || range.start === range.end) return undefined;
		if (attributes === undefined) {
			this.#withdraw(peer, bytes, range);
			return undefined;
		}
		const rib = this.#modules.ribs[range.family];
		const pathIds = hasPathIds(peer, range.family);
		const { importFilter } = family;
		const { constant } = importFilter;
		let source = this.#source(peer, family, 0);
		let outcome = UNCHANGED;
		let changed: AttributeSet | undefined = attributes;
		for (let offset = range.start; offset < range.end; ) {
			if (pathIds) {
				source = this.#source(peer, family, uint32(bytes, offset));
				offset += 4;
			}
			const length = bytes[offset] as number;
			const prefix = rib.index.intern(bytes, offset + 1, length);
			offset += 1 + ((length + 7) >> 3);
			const verdict = constant ?? importFilter.evaluate(rib.index, prefix, source);
			if (verdict !== outcome && verdict !== REJECTED) {
				outcome = verdict;
				changed = verdict === UNCHANGED ? attributes : this.#apply(attributes, importFilter.change(verdict));
			}
			if (verdict === REJECTED || changed === undefined) {
				if (rib.withdraw(prefix, source)) family.received--;
				else rib.markDirty(prefix);
				if (pathIds) this.#dropUnused(family, source);
			} else if (rib.announce(prefix, source, changed)) family.received++;
		}
		return family.received > MAX_PATHS_PER_PEER ? notification(ErrorCode.cease, MAXIMUM_PREFIXES_REACHED) : undefined;
	}

	#apply(attributes: AttributeSet, change: ReturnType<PeerFamily['importFilter']['change']>): AttributeSet | undefined {
		return this.#modules.rewriter.rewrite(attributes, {
			...(change.localPreference === undefined ? {} : { localPreference: change.localPreference }),
			...(change.communities === undefined ? {} : { addCommunities: change.communities }),
			...(change.prepend.length === 0 ? {} : { prepend: change.prepend }),
		});
	}

	#source(peer: Peer, family: PeerFamily, pathId: number): Source {
		let source = family.sources.get(pathId);
		if (source === undefined) {
			source = this.#modules.sources.create({ kind: 'bgp', peer: peer.facts, pathId, interface: undefined });
			family.sources.set(pathId, source);
		}
		return source;
	}

	/** Path identifiers come and go; their sources must not pile up. */
	#dropUnused(family: PeerFamily, source: Source): void {
		if (source.pathCount > 0) return;
		family.sources.delete(source.pathId);
		this.#modules.sources.remove(source);
	}
}

function hasPathIds(peer: Peer, family: Family): boolean {
	return peer.established?.negotiated.addPathReceive.has(family) === true;
}
