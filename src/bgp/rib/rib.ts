import type { Family } from '#net';
import type { AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import { type Candidate, isEligible, isMultipath, selectBest } from './best-path.ts';
import { growInt32, grownLength, growUint8, PrefixIndex } from './prefix-index.ts';
import type { Source, SourceTable } from './source.ts';

/** Small: columns that are replaced early on are not taken for constants by the compiler, which would cost its work again later. */
const INITIAL = 256;
const Flag = { stale: 1 } as const;

export interface RibModules {
	readonly attributes: AttributeTable;
	readonly sources: SourceTable;
}

/**
 * The routes of one family: all paths of each prefix, the best one first. Everything lives in columns indexed by the number of a
 * prefix or path; prefixes whose paths changed are queued once, for those who follow the RIB.
 */
export class Rib {
	readonly index: PrefixIndex;
	readonly #attributes: AttributeTable;
	readonly #sources: SourceTable;
	/** Per prefix: number + 1 of the first path, or 0. */
	#first = new Int32Array(INITIAL);
	#isDirty = new Uint8Array(INITIAL);
	/** Per path: number + 1 of the next path of the prefix; of the next free one in the free list. */
	#next = new Int32Array(INITIAL);
	#prefixOf = new Int32Array(INITIAL);
	/** Per path: number of the source, 0 for a free entry. */
	#sourceOf = new Int32Array(INITIAL);
	#attributesOf = new Int32Array(INITIAL);
	#flags = new Uint8Array(INITIAL);
	#freePath = 0;
	#pathHighWater = 0;
	#pathCount = 0;
	#dirty = new Int32Array(INITIAL);
	#dirtyStart = 0;
	#dirtyEnd = 0;

	constructor(family: Family, modules: RibModules) {
		this.index = new PrefixIndex(family);
		this.#attributes = modules.attributes;
		this.#sources = modules.sources;
	}

	get pathCount(): number {
		return this.#pathCount;
	}

	/** Paths have numbers below this one; see {@link Rib.sourceAt}. */
	get pathHighWater(): number {
		return this.#pathHighWater;
	}

	get hasDirty(): boolean {
		return this.#dirtyEnd > this.#dirtyStart;
	}

	/**
	 * Adds or replaces the path of a source.
	 *
	 * @returns whether the source had no path for the prefix before
	 */
	announce(prefix: number, source: Source, attributes: AttributeSet): boolean {
		if (prefix >= this.#first.length) this.#growPrefixes();
		const { id } = source;
		for (let entry = this.#first[prefix] as number; entry > 0; entry = this.#next[entry - 1] as number) {
			const path = entry - 1;
			if (this.#sourceOf[path] !== id) continue;
			this.#flags[path] = 0;
			const old = this.#attributesOf[path] as number;
			if (old === attributes.id) return false;
			this.#attributes.retain(attributes);
			this.#attributesOf[path] = attributes.id;
			this.#attributes.release(this.#attributes.get(old));
			this.#reselect(prefix);
			return false;
		}
		this.#attributes.retain(attributes);
		source.pathCount++;
		const path = this.#allocate();
		this.#prefixOf[path] = prefix;
		this.#sourceOf[path] = id;
		this.#attributesOf[path] = attributes.id;
		this.#flags[path] = 0;
		this.#next[path] = this.#first[prefix] as number;
		this.#first[prefix] = path + 1;
		this.#reselect(prefix);
		return true;
	}

	/** Removes the path of a source; says whether there was one. */
	withdraw(prefix: number, source: Source): boolean {
		if (prefix >= this.#first.length) return false;
		let before = -1;
		for (let entry = this.#first[prefix] as number; entry > 0; entry = this.#next[entry - 1] as number) {
			const path = entry - 1;
			if (this.#sourceOf[path] === source.id) {
				this.#unlink(prefix, path, before);
				return true;
			}
			before = path;
		}
		return false;
	}

	/** Removes a path by number. */
	removePath(path: number): void {
		this.withdraw(this.#prefixOf[path] as number, this.#sources.get(this.#sourceOf[path] as number));
	}

	/** Number of the best path, -1 if the prefix has no eligible one. */
	best(prefix: number): number {
		const path = (this.#first[prefix] as number) - 1;
		return path >= 0 && isEligible(this.#attributes.get(this.#attributesOf[path] as number)) ? path : -1;
	}

	/** The best path and those that share traffic with it, best first. */
	multipath(prefix: number): readonly Candidate[] {
		const best = this.best(prefix);
		if (best < 0) return [];
		const [first, ...others] = this.paths(prefix);
		return first === undefined ? [] : [first, ...others.filter((path) => isMultipath(path, first))];
	}

	/** Every path of a prefix; the first is the best one if any is eligible. */
	paths(prefix: number): Candidate[] {
		const paths: Candidate[] = [];
		for (let entry = this.#first[prefix] ?? 0; entry > 0; entry = this.#next[entry - 1] as number)
			paths.push({ attributes: this.attributesOf(entry - 1), source: this.sourceOf(entry - 1) });
		return paths;
	}

	hasPaths(prefix: number): boolean {
		return (this.#first[prefix] ?? 0) > 0;
	}

	attributesOf(path: number): AttributeSet {
		return this.#attributes.get(this.#attributesOf[path] as number);
	}

	sourceOf(path: number): Source {
		return this.#sources.get(this.#sourceOf[path] as number);
	}

	/** The source of a path, undefined where the number is free. */
	sourceAt(path: number): Source | undefined {
		const id = this.#sourceOf[path] as number;
		return id === 0 ? undefined : this.#sources.get(id);
	}

	prefixOf(path: number): number {
		return this.#prefixOf[path] as number;
	}

	isStale(path: number): boolean {
		return ((this.#flags[path] as number) & Flag.stale) !== 0;
	}

	/** Marks a path as not confirmed since the peer's restart or refresh; a new announcement clears the mark. */
	markStale(path: number): void {
		this.#flags[path] = (this.#flags[path] as number) | Flag.stale;
	}

	/** Chooses the best path again after something outside, such as the reach of a next hop, changed. */
	reconsider(prefix: number): void {
		this.#reselect(prefix);
	}

	/** Queues a prefix. */
	markDirty(prefix: number): void {
		if (prefix >= this.#first.length) this.#growPrefixes();
		if (this.#isDirty[prefix] === 1) return;
		this.#isDirty[prefix] = 1;
		if (this.#dirtyEnd === this.#dirty.length) {
			this.#dirty.copyWithin(0, this.#dirtyStart, this.#dirtyEnd);
			this.#dirtyEnd -= this.#dirtyStart;
			this.#dirtyStart = 0;
			if (this.#dirtyEnd > this.#dirty.length / 2) this.#dirty = growInt32(this.#dirty, grownLength(this.#dirty.length));
		}
		this.#dirty[this.#dirtyEnd++] = prefix;
	}

	/** Takes queued prefixes, oldest first; returns how many were put into the array. */
	takeDirty(into: Int32Array): number {
		const count = Math.min(into.length, this.#dirtyEnd - this.#dirtyStart);
		for (let index = 0; index < count; index++) {
			const prefix = this.#dirty[this.#dirtyStart + index] as number;
			into[index] = prefix;
			this.#isDirty[prefix] = 0;
		}
		this.#dirtyStart += count;
		if (this.#dirtyStart === this.#dirtyEnd) this.#dirtyStart = this.#dirtyEnd = 0;
		return count;
	}

	/** Forgets a prefix that has no paths; nobody may hold its number any more. */
	forget(prefix: number): void {
		this.index.remove(prefix);
	}

	#unlink(prefix: number, path: number, before: number): void {
		const next = this.#next[path] as number;
		if (before < 0) this.#first[prefix] = next;
		else this.#next[before] = next;
		this.#attributes.release(this.attributesOf(path));
		this.sourceOf(path).pathCount--;
		this.#sourceOf[path] = 0;
		this.#next[path] = this.#freePath;
		this.#freePath = path + 1;
		this.#pathCount--;
		this.#reselect(prefix);
	}

	#reselect(prefix: number): void {
		this.markDirty(prefix);
		const first = this.#first[prefix] as number;
		if (first === 0 || this.#next[first - 1] === 0) return;
		const best = selectBest(this.paths(prefix));
		if (best <= 0) return;
		let before = first - 1;
		for (let step = 1; step < best; step++) before = (this.#next[before] as number) - 1;
		const entry = this.#next[before] as number;
		this.#next[before] = this.#next[entry - 1] as number;
		this.#next[entry - 1] = first;
		this.#first[prefix] = entry;
	}

	#allocate(): number {
		this.#pathCount++;
		if (this.#freePath > 0) {
			const path = this.#freePath - 1;
			this.#freePath = this.#next[path] as number;
			return path;
		}
		if (this.#pathHighWater === this.#next.length) {
			const length = grownLength(this.#next.length);
			this.#next = growInt32(this.#next, length);
			this.#prefixOf = growInt32(this.#prefixOf, length);
			this.#sourceOf = growInt32(this.#sourceOf, length);
			this.#attributesOf = growInt32(this.#attributesOf, length);
			this.#flags = growUint8(this.#flags, length);
		}
		return this.#pathHighWater++;
	}

	#growPrefixes(): void {
		this.#first = growInt32(this.#first, this.index.capacity);
		this.#isDirty = growUint8(this.#isDirty, this.index.capacity);
	}
}
