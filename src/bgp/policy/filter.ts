import { type Cidr, cidrFamily, cidrParts, type Family, ipBytes } from '#net';
import { type Communities, parseCommunities } from '../attributes/community.ts';
import type { PrefixIndex } from '../rib/prefix-index.ts';
import type { Source } from '../rib/source.ts';
import type { FilterRule, RouteFilter } from '../router-config.ts';
import { uint32 } from '../wire/bytes.ts';

/** Outcome number of a rejected route. */
export const REJECTED = 0;
/** Outcome number of a route that is accepted as it is. */
export const UNCHANGED = 1;

/** What an accepting filter changes on a route. */
export interface FilterChange {
	readonly localPreference: number | undefined;
	readonly communities: Communities | undefined;
	/** Leftmost first. */
	readonly prepend: readonly number[];
}

interface Range {
	readonly family: Family;
	readonly words: Int32Array;
	readonly masks: Int32Array;
	readonly length: number;
}

interface CompiledRule {
	readonly within: Range | undefined;
	readonly equals: Range | undefined;
	readonly notWithin: Range | undefined;
	readonly minLength: number;
	readonly maxLength: number;
	readonly source: string | undefined;
	readonly interface: RegExp | undefined;
	readonly family: Family | undefined;
	readonly change: FilterChange | undefined;
	readonly action: 'accept' | 'reject' | undefined;
}

const NO_CHANGE: FilterChange = { localPreference: undefined, communities: undefined, prepend: [] };

/**
 * A {@link RouteFilter} compiled to integer comparisons. Outcomes are numbered, so that whatever follows from one can be kept
 * per outcome instead of per route.
 */
export class CompiledFilter {
	/** The outcome when it is the same for every route, which saves asking; undefined otherwise. */
	readonly constant: number | undefined;
	readonly #rules: readonly CompiledRule[];
	readonly #otherwise: boolean;
	/** By outcome number; {@link REJECTED} has no meaning there. */
	readonly #changes: FilterChange[] = [NO_CHANGE, NO_CHANGE];
	/** By outcome number: rule position → outcome number after its change. */
	readonly #successors: Map<number, number>[] = [new Map(), new Map()];

	/** @throws BGP_BAD_CONFIG for communities that are none */
	constructor(filter: RouteFilter) {
		this.#rules = filter.rules.map(compileRule);
		this.#otherwise = filter.otherwise === 'accept';
		this.constant = filter.rules.length > 0 ? undefined : this.#otherwise ? UNCHANGED : REJECTED;
	}

	/** Decides about a prefix, by number in its index, that comes from a source. */
	evaluate(index: PrefixIndex, prefix: number, source: Source): number {
		let outcome = UNCHANGED;
		for (let position = 0; position < this.#rules.length; position++) {
			const rule = this.#rules[position] as CompiledRule;
			if (!matches(rule, index, prefix, source)) continue;
			if (rule.action === 'reject') return REJECTED;
			if (rule.change !== undefined) outcome = this.#successor(outcome, position, rule.change);
			if (rule.action === 'accept') return outcome;
		}
		return this.#otherwise ? outcome : REJECTED;
	}

	/** What an outcome other than {@link REJECTED} changes. */
	change(outcome: number): FilterChange {
		return this.#changes[outcome] ?? NO_CHANGE;
	}

	#successor(outcome: number, position: number, change: FilterChange): number {
		const successors = this.#successors[outcome] as Map<number, number>;
		const known = successors.get(position);
		if (known !== undefined) return known;
		const created = this.#changes.push(combine(this.change(outcome), change)) - 1;
		this.#successors.push(new Map());
		successors.set(position, created);
		return created;
	}
}

const keys = new WeakMap<RouteFilter, string>();

/** The content of a filter as text: equal for equal filters. Filters are never changed, so each is written out once. */
export function filterKey(filter: RouteFilter): string {
	let key = keys.get(filter);
	if (key === undefined) {
		key = JSON.stringify(filter);
		keys.set(filter, key);
	}
	return key;
}

/** Compiles filters, each content once. */
export class FilterCache {
	readonly #compiled = new Map<string, CompiledFilter>();

	get(filter: RouteFilter): CompiledFilter {
		const key = filterKey(filter);
		let compiled = this.#compiled.get(key);
		if (compiled === undefined) {
			compiled = new CompiledFilter(filter);
			this.#compiled.set(key, compiled);
		}
		return compiled;
	}

	/** Forgets filters that a configuration no longer has. */
	retainOnly(filters: Iterable<RouteFilter>): void {
		const wanted = new Set([...filters].map(filterKey));
		for (const key of this.#compiled.keys()) if (!wanted.has(key)) this.#compiled.delete(key);
	}
}

function compileRule(rule: FilterRule): CompiledRule {
	const { match, set } = rule;
	return {
		within: match.within && compileRange(match.within),
		equals: match.equals && compileRange(match.equals),
		notWithin: match.notWithin && compileRange(match.notWithin),
		minLength: match.minLength ?? 0,
		maxLength: match.maxLength ?? 128,
		source: match.source,
		interface: match.interface === undefined ? undefined : interfacePattern(match.interface),
		family: match.family,
		change: set && {
			localPreference: set.localPreference,
			communities: set.addCommunities && parseCommunities(set.addCommunities),
			prepend: set.prependAsPath ?? [],
		},
		action: rule.action,
	};
}

/** An interface name pattern: `*` stands for any characters. */
export function interfacePattern(pattern: string): RegExp {
	return new RegExp(`^${pattern.replace(/[\\^$.+?()[\]{}|]/g, String.raw`\$&`).replaceAll('*', '.*')}$`);
}

function compileRange(prefix: Cidr): Range {
	const { address, length } = cidrParts(prefix);
	const bytes = ipBytes(address);
	const words = new Int32Array(bytes.length / 4);
	const masks = new Int32Array(words.length);
	for (let word = 0; word < words.length; word++) {
		const bits = Math.min(32, Math.max(0, length - word * 32));
		masks[word] = bits === 0 ? 0 : -1 << (32 - bits);
		words[word] = uint32(bytes, word * 4);
	}
	return { family: cidrFamily(prefix), words, masks, length };
}

function matches(rule: CompiledRule, index: PrefixIndex, prefix: number, source: Source): boolean {
	const length = index.lengthOf(prefix);
	if (length < rule.minLength || length > rule.maxLength) return false;
	if (rule.family !== undefined && rule.family !== index.family) return false;
	if (rule.source !== undefined && rule.source !== source.kind) return false;
	if (rule.interface !== undefined && (source.interface === undefined || !rule.interface.test(source.interface))) return false;
	if (rule.within !== undefined && !isWithin(rule.within, index, prefix, length)) return false;
	if (rule.equals !== undefined && (length !== rule.equals.length || !isWithin(rule.equals, index, prefix, length))) return false;
	return rule.notWithin === undefined || !isWithin(rule.notWithin, index, prefix, length);
}

function isWithin(range: Range, index: PrefixIndex, prefix: number, length: number): boolean {
	if (range.family !== index.family || length < range.length) return false;
	for (let word = 0; word < range.words.length; word++)
		if (((index.wordOf(prefix, word) ^ (range.words[word] as number)) & (range.masks[word] as number)) !== 0) return false;
	return true;
}

/** The change of two rules one after the other. */
function combine(first: FilterChange, second: FilterChange): FilterChange {
	return {
		localPreference: second.localPreference ?? first.localPreference,
		communities: {
			standard: [...(first.communities?.standard ?? []), ...(second.communities?.standard ?? [])],
			large: [...(first.communities?.large ?? []), ...(second.communities?.large ?? [])],
		},
		prepend: [...second.prepend, ...first.prepend],
	};
}
