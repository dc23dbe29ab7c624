import type { LabelCondition } from './requirement.ts';

/** Labels as a resource holds them. */
export type LabelRecord = Readonly<Record<string, string>>;

/** Finds things by a label they have, with its value or whatever its value. */
export class LabelTable<T> {
	readonly #byLabel = new Map<string, Map<string, Set<T>>>();

	add(labels: LabelRecord, thing: T): void {
		for (const label of Object.keys(labels)) {
			const value = labels[label] as string;
			let byValue = this.#byLabel.get(label);
			if (byValue === undefined) this.#byLabel.set(label, (byValue = new Map()));
			const things = byValue.get(value);
			if (things === undefined) byValue.set(value, new Set([thing]));
			else things.add(thing);
		}
	}

	delete(labels: LabelRecord, thing: T): void {
		for (const label of Object.keys(labels)) {
			const value = labels[label] as string;
			const byValue = this.#byLabel.get(label);
			const things = byValue?.get(value);
			if (byValue === undefined || things === undefined) continue;
			things.delete(thing);
			if (things.size > 0) continue;
			byValue.delete(value);
			if (byValue.size === 0) this.#byLabel.delete(label);
		}
	}

	/** Whatever fulfils a condition. */
	*find({ label, value }: LabelCondition): Generator<T> {
		const byValue = this.#byLabel.get(label);
		if (byValue === undefined) return;
		if (value !== undefined) yield* byValue.get(value) ?? [];
		else for (const things of byValue.values()) yield* things;
	}

	/** How many fulfil a condition; of one without a value, at least how many. */
	count({ label, value }: LabelCondition): number {
		const byValue = this.#byLabel.get(label);
		if (byValue === undefined) return 0;
		return value === undefined ? byValue.size : (byValue.get(value)?.size ?? 0);
	}
}
