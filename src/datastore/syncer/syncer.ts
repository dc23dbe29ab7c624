import type { ListScope } from '../types.ts';
import { Outbox, type SyncBatch } from './outbox.ts';
import { ScopeFeed, type SyncerModules } from './scope-feed.ts';

export interface SyncerOptions {
	/** What to keep in step; no two of them may cover the same object. */
	readonly scopes: readonly ListScope[];
	/** Ends the iteration. */
	readonly signal: AbortSignal;
}

/**
 * A consumer's copy of a part of the datastore, as batches of changes: first a snapshot, then what changes. Compaction,
 * lost connections and a datastore that is not there yet show only as the status; what went missing meanwhile is made up
 * by a new snapshot, of which only the differences are given out.
 *
 *     for await (const { status, updates } of new Syncer({ backend, clock, random }, { scopes, signal })) …
 */
export class Syncer implements AsyncIterable<SyncBatch> {
	readonly #modules: SyncerModules;
	readonly #options: SyncerOptions;

	constructor(modules: SyncerModules, options: SyncerOptions) {
		this.#modules = modules;
		this.#options = options;
	}

	/** Each iteration starts with a snapshot of its own. It ends when the signal fires or the consumer leaves the loop. */
	async *[Symbol.asyncIterator](): AsyncGenerator<SyncBatch> {
		const { scopes, signal } = this.#options;
		const stop = new AbortController();
		const ended = AbortSignal.any([signal, stop.signal]);
		const outbox = new Outbox();
		const feeds: readonly ScopeFeed[] = scopes.map((scope) => new ScopeFeed(this.#modules, scope, outbox, () => showStatus()));
		const showStatus = (): void => {
			const waiting = feeds.find(({ status }) => status === 'wait');
			if (waiting !== undefined) outbox.setStatus('wait', waiting.reason);
			else outbox.setStatus(feeds.every(({ status }) => status === 'in-sync') ? 'in-sync' : 'resync');
		};
		const close = (): void => outbox.close();
		ended.addEventListener('abort', close, { once: true });
		if (ended.aborted) close();
		showStatus();
		const running = Promise.all(feeds.map((feed) => feed.run(ended)));
		try {
			while (await outbox.ready()) yield outbox.take();
		} finally {
			stop.abort();
			await running;
		}
	}
}
