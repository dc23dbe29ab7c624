import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import { keyId } from '../key.ts';
import type { Backend, InvalidEntry, Key, ListResult, ListScope, Revision, WatchEvent } from '../types.ts';
import type { Outbox, SyncStatus } from './outbox.ts';

export interface SyncerModules {
	readonly backend: Backend;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

const MAX_RETRY_DELAY_MS = 10_000;
const FIRST_RETRY_DELAY_MS = 100;
/** After so long without the datastore it may have been restored or replaced, which a resumed watch would not tell. */
const RELIST_AFTER_MS = 60_000;

/** Keeps one scope in step: lists it, watches it, and after a gap lists again and gives out the difference. */
export class ScopeFeed {
	readonly #modules: SyncerModules;
	readonly #scope: ListScope;
	readonly #outbox: Outbox;
	readonly #changed: () => void;
	/** What has been given out, so that a later snapshot shows what is gone; no revision if the one known means nothing any more. */
	readonly #given = new Map<string, { readonly key: Key; readonly revision: Revision | undefined }>();
	readonly #invalid = new Map<string, string>();
	#status: SyncStatus = 'resync';
	#reason: Error | undefined;

	/** @param changed called when status or reason are others than before */
	constructor(modules: SyncerModules, scope: ListScope, outbox: Outbox, changed: () => void) {
		this.#modules = modules;
		this.#scope = scope;
		this.#outbox = outbox;
		this.#changed = changed;
	}

	get status(): SyncStatus {
		return this.#status;
	}

	get reason(): Error | undefined {
		return this.#reason;
	}

	/** Runs until the signal fires. */
	async run(signal: AbortSignal): Promise<void> {
		const { backend, clock, random } = this.#modules;
		let revision: Revision | undefined;
		let failures = 0;
		let lastHeard = clock.now();
		while (!signal.aborted) {
			try {
				if (revision === undefined) {
					const snapshot = await backend.list(this.#scope, { signal });
					this.#takeSnapshot(snapshot);
					revision = snapshot.revision;
					lastHeard = clock.now();
					this.#setStatus('in-sync');
				}
				for await (const events of backend.watch(this.#scope, revision, { signal })) {
					for (const event of events) revision = this.#takeEvent(event);
					failures = 0;
					lastHeard = clock.now();
					this.#setStatus('in-sync');
				}
			} catch (error) {
				if (signal.aborted) return;
				failures++;
				const mayBeReplaced = datastoreError.is(error, 'DATASTORE_REPLACED') || clock.now() - lastHeard > RELIST_AFTER_MS;
				if (mayBeReplaced) this.#given.forEach(({ key }, id) => this.#given.set(id, { key, revision: undefined }));
				if (mayBeReplaced || datastoreError.is(error, 'DATASTORE_COMPACTED')) revision = undefined;
				// a watch that only moves to another member is no news
				if (failures > 1 || this.#status !== 'in-sync') this.#setStatus('wait', error as Error);
				else if (revision === undefined) this.#setStatus('resync');
			}
			const limit = Math.min(MAX_RETRY_DELAY_MS, FIRST_RETRY_DELAY_MS * 2 ** failures);
			await clock.sleep(limit * (0.5 + random() / 2), signal);
		}
	}

	#takeSnapshot({ items, invalid, revision }: ListResult): void {
		const present = new Set<string>();
		for (const { key, value, revision } of items) {
			const id = keyId(key);
			present.add(id);
			if (this.#given.get(id)?.revision === revision) continue;
			this.#given.set(id, { key, revision });
			this.#outbox.put({ key, value, revision });
		}
		for (const entry of invalid) {
			if (entry.key !== undefined) present.add(keyId(entry.key));
			this.#report(entry);
		}
		const stillInvalid = new Set(invalid.map(({ storedName }) => storedName));
		for (const name of this.#invalid.keys()) if (!stillInvalid.has(name)) this.#invalid.delete(name);
		for (const [id, { key }] of this.#given)
			if (!present.has(id)) {
				this.#given.delete(id);
				this.#outbox.put({ key, value: null, revision });
			}
	}

	#takeEvent(event: WatchEvent): Revision {
		switch (event.type) {
			case 'set': {
				const { key, value, revision } = event.entry;
				this.#given.set(keyId(key), { key, revision });
				this.#outbox.put({ key, value, revision });
				return revision;
			}
			case 'delete':
				if (this.#given.delete(keyId(event.key))) this.#outbox.put({ key: event.key, value: null, revision: event.revision });
				return event.revision;
			case 'invalid':
				this.#report(event.entry);
				return event.revision;
			case 'progress':
				return event.revision;
			default:
				return event satisfies never;
		}
	}

	#report(entry: InvalidEntry): void {
		if (this.#invalid.get(entry.storedName) === entry.error.message) return;
		this.#invalid.set(entry.storedName, entry.error.message);
		this.#outbox.report(entry);
	}

	#setStatus(status: SyncStatus, reason?: Error): void {
		if (status === this.#status && reason?.message === this.#reason?.message) return;
		this.#status = status;
		this.#reason = reason;
		this.#changed();
	}
}
