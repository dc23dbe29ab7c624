import type { Selectable } from './ip-sets.ts';

/** More different ones than this are not looked for; what was shared stays so. */
const MAX_KNOWN = 10_000;

/** Gives equal parts of selectables one object, as most pods of a cluster are copies of another. */
export class Sharing {
	readonly #known = new Map<string, unknown>();

	of({ labels, parents, nets, ports }: Selectable): Selectable {
		return { labels: this.#shared(labels), parents: this.#shared(parents), nets, ports: this.#shared(ports) };
	}

	#shared<T>(value: T): T {
		const text = JSON.stringify(value);
		const known = this.#known.get(text);
		if (known !== undefined) return known as T;
		if (this.#known.size >= MAX_KNOWN) this.#known.clear();
		this.#known.set(text, value);
		return value;
	}
}
