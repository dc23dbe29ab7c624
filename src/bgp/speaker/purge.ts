import { REJECTED } from '../policy/filter.ts';
import type { Rib } from '../rib/rib.ts';
import type { Source, SourceTable } from '../rib/source.ts';
import type { PeerFamily } from './peer.ts';

/** Paths looked at in one go. */
const SLICE = 16384;

interface Job {
	readonly rib: Rib;
	readonly family: PeerFamily;
	/** Whose paths are looked at. */
	readonly sources: ReadonlySet<Source>;
	readonly goes: (path: number, source: Source) => boolean;
	/** Whether the sources themselves are given up afterwards. */
	readonly endsSources: boolean;
	cursor: number;
}

/** Removes many paths of a peer in slices. */
export class Purger {
	readonly #sources: SourceTable;
	readonly #jobs: Job[] = [];

	constructor(sources: SourceTable) {
		this.#sources = sources;
	}

	/** Removes every path of the family as it is; routes that the peer announces from now on are not affected. */
	removeAll(rib: Rib, family: PeerFamily): void {
		family.staleUntilMs = undefined;
		if (family.sources.size === 0) return;
		this.#jobs.push({ rib, family, sources: new Set(family.sources.values()), goes: () => true, endsSources: true, cursor: 0 });
		family.sources = new Map();
	}

	/** Removes the paths that are marked stale. */
	removeStale(rib: Rib, family: PeerFamily): void {
		family.staleUntilMs = undefined;
		this.#removeSome(rib, family, (path) => rib.isStale(path));
	}

	/** Removes the paths that the import filter does not accept any more. */
	removeRejected(rib: Rib, family: PeerFamily): void {
		const { importFilter } = family;
		this.#removeSome(rib, family, (path, source) => importFilter.evaluate(rib.index, rib.prefixOf(path), source) === REJECTED);
	}

	/** Does one slice; says whether there is more. */
	work(): boolean {
		const job = this.#jobs[0];
		if (job === undefined) return false;
		const { rib } = job;
		const end = Math.min(rib.pathHighWater, job.cursor + SLICE);
		for (; job.cursor < end; job.cursor++) {
			const source = rib.sourceAt(job.cursor);
			if (source === undefined || !job.sources.has(source) || !job.goes(job.cursor, source)) continue;
			rib.removePath(job.cursor);
			job.family.received--;
		}
		if (job.cursor === rib.pathHighWater) {
			this.#jobs.shift();
			if (job.endsSources) for (const source of job.sources) this.#sources.remove(source);
		}
		return this.#jobs.length > 0;
	}

	#removeSome(rib: Rib, family: PeerFamily, goes: Job['goes']): void {
		this.#jobs.push({ rib, family, sources: new Set(family.sources.values()), goes, endsSources: false, cursor: 0 });
	}
}

/**
 * Marks every path of a peer's family stale.
 *
 * @param alreadyStale what happens to paths that were stale before
 * @returns whether there is a stale path now
 */
export function markStale(rib: Rib, family: PeerFamily, alreadyStale: 'keep' | 'remove'): boolean {
	const sources = new Set(family.sources.values());
	let found = false;
	for (let path = 0; path < rib.pathHighWater; path++) {
		const source = rib.sourceAt(path);
		if (source === undefined || !sources.has(source)) continue;
		if (alreadyStale === 'remove' && rib.isStale(path)) {
			rib.removePath(path);
			family.received--;
			continue;
		}
		rib.markStale(path);
		found = true;
	}
	return found;
}
