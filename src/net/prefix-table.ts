import { type Family, type Ip, ipBytes, ipFamily } from './address.ts';
import { type Cidr, cidrParts } from './prefix.ts';

interface TrieNode<T> {
	zero: TrieNode<T> | undefined;
	one: TrieNode<T> | undefined;
	entry: { readonly prefix: Cidr; value: T } | undefined;
}

/** A map from prefixes to values with longest-match look-up; both families live in it side by side. */
export class PrefixTable<T> {
	readonly #roots: Record<Family, TrieNode<T>> = { 4: emptyNode(), 6: emptyNode() };
	#size = 0;

	get size(): number {
		return this.#size;
	}

	/** Sets the value of exactly this prefix. */
	set(prefix: Cidr, value: T): void {
		const { family, address, length } = cidrParts(prefix);
		const bytes = ipBytes(address);
		let node = this.#roots[family];
		for (let bit = 0; bit < length; bit++) {
			if (bitAt(bytes, bit)) node = node.one ??= emptyNode();
			else node = node.zero ??= emptyNode();
		}
		if (node.entry === undefined) this.#size++;
		node.entry = { prefix, value };
	}

	/** The value of exactly this prefix. */
	get(prefix: Cidr): T | undefined {
		return this.#path(prefix).at(-1)?.entry?.value;
	}

	/** Removes exactly this prefix; says whether it was there. */
	delete(prefix: Cidr): boolean {
		const { length } = cidrParts(prefix);
		const path = this.#path(prefix);
		const last = path.at(-1);
		if (path.length !== length + 1 || last?.entry === undefined) return false;
		last.entry = undefined;
		this.#size--;
		for (let depth = path.length - 1; depth > 0; depth--) {
			const node = path[depth] as TrieNode<T>;
			if (node.entry !== undefined || node.zero !== undefined || node.one !== undefined) break;
			const parent = path[depth - 1] as TrieNode<T>;
			if (parent.zero === node) parent.zero = undefined;
			else parent.one = undefined;
		}
		return true;
	}

	/** The most specific prefix that holds the address. */
	longestMatch(address: Ip): { readonly prefix: Cidr; readonly value: T } | undefined {
		const bytes = ipBytes(address);
		let node: TrieNode<T> | undefined = this.#roots[ipFamily(address)];
		let best = node.entry;
		for (let bit = 0; bit < bytes.length * 8; bit++) {
			node = bitAt(bytes, bit) ? node.one : node.zero;
			if (node === undefined) break;
			if (node.entry !== undefined) best = node.entry;
		}
		return best;
	}

	/** Every entry whose prefix holds the given one, itself included, from the shortest to the longest. */
	*covering(prefix: Cidr): Generator<{ readonly prefix: Cidr; readonly value: T }> {
		for (const node of this.#walk(prefix)) if (node.entry !== undefined) yield node.entry;
	}

	/** Every entry inside the given prefix, itself included, in address order with shorter prefixes first. */
	*coveredBy(prefix: Cidr): Generator<{ readonly prefix: Cidr; readonly value: T }> {
		const last = this.#path(prefix);
		const top = last.length === cidrParts(prefix).length + 1 ? last.at(-1) : undefined;
		if (top !== undefined) yield* entriesBelow(top);
	}

	/** Every entry, IPv4 first, in address order with shorter prefixes first. */
	*[Symbol.iterator](): Generator<{ readonly prefix: Cidr; readonly value: T }> {
		yield* entriesBelow(this.#roots[4]);
		yield* entriesBelow(this.#roots[6]);
	}

	/** The nodes from the root to the prefix's place; shorter than length + 1 where the trie ends early. */
	#path(prefix: Cidr): TrieNode<T>[] {
		const nodes = [...this.#walk(prefix)];
		return nodes.length === cidrParts(prefix).length + 1 ? nodes : [];
	}

	*#walk(prefix: Cidr): Generator<TrieNode<T>> {
		const { family, address, length } = cidrParts(prefix);
		const bytes = ipBytes(address);
		let node: TrieNode<T> | undefined = this.#roots[family];
		yield node;
		for (let bit = 0; bit < length; bit++) {
			node = bitAt(bytes, bit) ? node.one : node.zero;
			if (node === undefined) return;
			yield node;
		}
	}
}

function emptyNode<T>(): TrieNode<T> {
	return { zero: undefined, one: undefined, entry: undefined };
}

function bitAt(bytes: Uint8Array, bit: number): boolean {
	return ((bytes[bit >> 3] as number) & (0x80 >> (bit & 7))) !== 0;
}

function* entriesBelow<T>(node: TrieNode<T>): Generator<{ readonly prefix: Cidr; readonly value: T }> {
	if (node.entry !== undefined) yield node.entry;
	if (node.zero !== undefined) yield* entriesBelow(node.zero);
	if (node.one !== undefined) yield* entriesBelow(node.one);
}
