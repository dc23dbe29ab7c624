import type { SyncUpdate } from '#datastore';

/** How long an update that is not the expected one waits to be told older or newer. */
const HOLD_MS = 1000;
/** A handed-over object that the watch has not shown after this long is treated like any other again. */
const FORGET_MS = 60_000;

interface Pending {
	readonly revision: string;
	readonly sinceMs: number;
	held: { readonly update: SyncUpdate; readonly sinceMs: number } | undefined;
}

/**
 * Objects that came directly, ahead of the datastore's watch. The watch is behind at that moment: it may still bring an older version,
 * which must not undo the newer one, and revisions can only be compared for equality. So updates of such an object wait until
 * the handed-over revision has come by, or, if it was skipped for a newer one, for a moment.
 */
export class HandOver {
	readonly #pending = new Map<string, Pending>();

	/** Notes that this revision of the object is in force already. */
	expect(id: string, revision: string, nowMs: number): void {
		this.#pending.set(id, { revision, sinceMs: nowMs, held: undefined });
	}

	/** The update if it may be taken in now. */
	admit(id: string, update: SyncUpdate, nowMs: number): SyncUpdate | undefined {
		const pending = this.#pending.get(id);
		if (pending === undefined) return update;
		if (update.revision === pending.revision) {
			// What was held before it is older.
			this.#pending.delete(id);
			return undefined;
		}
		pending.held = { update, sinceMs: nowMs };
		return undefined;
	}

	/** Updates that have waited long enough: the expected revision was skipped, so they are newer. */
	release(nowMs: number): SyncUpdate[] {
		const released: SyncUpdate[] = [];
		for (const [id, { held, sinceMs }] of this.#pending) {
			if (held !== undefined && nowMs - held.sinceMs >= HOLD_MS) {
				released.push(held.update);
				this.#pending.delete(id);
			} else if (held === undefined && nowMs - sinceMs >= FORGET_MS) this.#pending.delete(id);
		}
		return released;
	}
}
