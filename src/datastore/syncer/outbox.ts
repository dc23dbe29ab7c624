import { keyId } from '../key.ts';
import type { InvalidEntry, Key, Revision, ValueOf } from '../types.ts';

/** `wait`: the datastore does not answer; `resync`: a snapshot is being taken; `in-sync`: everything stored has been given out. */
export type SyncStatus = 'wait' | 'resync' | 'in-sync';

/** The latest of one object. */
export interface SyncUpdate {
	readonly key: Key;
	/** Null when the object is gone. */
	readonly value: ValueOf<Key> | null;
	readonly revision: Revision;
}

export interface SyncBatch {
	/** The state once this batch has been taken in. */
	readonly status: SyncStatus;
	/** At most one per key. */
	readonly updates: readonly SyncUpdate[];
	/** Stored objects that can't be used, each told once; what was given out of them before stays in force. */
	readonly invalid: readonly InvalidEntry[];
	/** Why the status is `wait`. */
	readonly reason?: Error | undefined;
}

const MAX_BATCH = 5_000;

/**
 * What the consumer has still to take: one entry per key however slow it is, so that memory is bounded by the data and
 * not by the number of changes. Orders per key, latest wins.
 */
export class Outbox {
	readonly #updates = new Map<string, SyncUpdate>();
	readonly #invalid = new Map<string, InvalidEntry>();
	#status: SyncStatus = 'wait';
	#reason: Error | undefined;
	#statusTaken = true;
	#wake: (() => void) | undefined;
	#closed = false;

	/** Lets a waiting consumer go. */
	close(): void {
		this.#closed = true;
		this.#wake?.();
	}

	put(update: SyncUpdate): void {
		const id = keyId(update.key);
		this.#updates.delete(id);
		this.#updates.set(id, update);
		this.#wake?.();
	}

	report(entry: InvalidEntry): void {
		this.#invalid.set(entry.storedName, entry);
		this.#wake?.();
	}

	setStatus(status: SyncStatus, reason?: Error): void {
		if (status === this.#status && reason?.message === this.#reason?.message) return;
		this.#status = status;
		this.#reason = reason;
		this.#statusTaken = false;
		this.#wake?.();
	}

	/** Waits until there is something to take; false once the outbox is closed. */
	async ready(): Promise<boolean> {
		while (!this.#closed && this.#updates.size === 0 && this.#invalid.size === 0 && this.#statusTaken) {
			const { promise, resolve } = Promise.withResolvers<void>();
			this.#wake = resolve;
			await promise;
			this.#wake = undefined;
		}
		return !this.#closed;
	}

	take(): SyncBatch {
		const updates: SyncUpdate[] = [];
		for (const [id, update] of this.#updates) {
			if (updates.length === MAX_BATCH) break;
			updates.push(update);
			this.#updates.delete(id);
		}
		const invalid = [...this.#invalid.values()];
		this.#invalid.clear();
		// in sync is told with the batch that ends the snapshot
		if (this.#updates.size > 0 && this.#status === 'in-sync' && !this.#statusTaken) return { status: 'resync', updates, invalid };
		this.#statusTaken = true;
		return { status: this.#status, updates, invalid, reason: this.#reason };
	}
}
