import { DEFAULT_PROFILE_ENTRY, isDefaultProfile, refuseDefaultProfile } from './default-profile.ts';
import { datastoreError } from './errors.ts';
import { etcdKey, parseEtcdKey } from './etcd/keys.ts';
import { inScope, keyId } from './key.ts';
import { decodeEntry, storedForm } from './stored-json.ts';
import type { Backend, CallOptions, InvalidEntry, Key, KeyValue, ListResult, ListScope, Revision, ValueOf, WatchEvent } from './types.ts';

export interface MemoryBackendOptions {
	/** Runs before every call takes effect: to delay it, so that calls interleave, or to fail it. */
	readonly before?: ((call: 'get' | 'list' | 'create' | 'update' | 'delete' | 'watch' | 'ping') => Promise<void>) | undefined;
}

interface Stored {
	readonly text: string;
	readonly revision: bigint;
}

interface Change {
	readonly path: string;
	/** Null for a deletion. */
	readonly text: string | null;
	readonly revision: bigint;
}

/**
 * The datastore's contract in memory, with etcd's keys and JSON, for tests of what stands on it: it can lose its history
 * and its watchers like the real one.
 */
export class MemoryBackend implements Backend {
	readonly #before: (call: Parameters<NonNullable<MemoryBackendOptions['before']>>[0]) => Promise<void>;
	readonly #objects = new Map<string, Stored>();
	readonly #waiting = new Set<() => void>();
	#history: Change[] = [];
	#revision = 1n;
	#compacted = 0n;
	#connection = 0;

	constructor(options: MemoryBackendOptions = {}) {
		this.#before = options.before ?? (() => Promise.resolve());
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.disconnect();
	}

	/** Writes any text at an etcd key, as someone past validation would; null deletes. */
	putRaw(path: string, text: string | null): void {
		this.#revision++;
		if (text === null) this.#objects.delete(path);
		else this.#objects.set(path, { text, revision: this.#revision });
		this.#history.push({ path, text, revision: this.#revision });
		this.#wake();
	}

	/** The text stored at an etcd key. */
	raw(path: string): string | undefined {
		return this.#objects.get(path)?.text;
	}

	/** Forgets all history. */
	compact(): void {
		this.#compacted = this.#revision;
		this.#history = [];
	}

	/** Loses everything, as a datastore that was set up anew. */
	wipe(): void {
		this.#objects.clear();
		this.#history = [];
		this.#revision = 1n;
		this.#compacted = 0n;
		this.disconnect();
	}

	/** Ends every watch with DATASTORE_UNAVAILABLE. */
	disconnect(): void {
		this.#connection++;
		this.#wake();
	}

	async ping(options?: CallOptions): Promise<void> {
		await this.#enter('ping', options);
	}

	async get<K extends Key>(key: K, options?: CallOptions): Promise<KeyValue<K>> {
		await this.#enter('get', options);
		if (isDefaultProfile(key)) return DEFAULT_PROFILE_ENTRY as KeyValue<K>;
		return this.#entry(key, this.#existing(key));
	}

	async list(scope: ListScope, options?: CallOptions): Promise<ListResult> {
		await this.#enter('list', options);
		const items: KeyValue[] = inScope(scope, DEFAULT_PROFILE_ENTRY.key) ? [DEFAULT_PROFILE_ENTRY] : [];
		const invalid: InvalidEntry[] = [];
		for (const [path, { text, revision }] of [...this.#objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
			const event = decodeChange(scope, { path, text, revision });
			if (event?.type === 'set') items.push(event.entry);
			else if (event?.type === 'invalid') invalid.push(event.entry);
		}
		return { items, invalid, revision: String(this.#revision) as Revision };
	}

	async create<K extends Key>(key: K, value: ValueOf<K>, options?: CallOptions): Promise<KeyValue<K>> {
		await this.#enter('create', options);
		if (isDefaultProfile(key) || this.#objects.has(etcdKey(key)))
			throw datastoreError('DATASTORE_EXISTS', { message: `${keyId(key)} already exists` });
		return this.#write(key, value);
	}

	async update<K extends Key>(key: K, value: ValueOf<K>, revision: Revision, options?: CallOptions): Promise<KeyValue<K>> {
		await this.#enter('update', options);
		refuseDefaultProfile(key);
		this.#checkRevision(key, revision);
		return this.#write(key, value);
	}

	async delete(key: Key, revision?: Revision, options?: CallOptions): Promise<void> {
		await this.#enter('delete', options);
		refuseDefaultProfile(key);
		if (revision === undefined) this.#existing(key);
		else this.#checkRevision(key, revision);
		this.putRaw(etcdKey(key), null);
	}

	async *watch(scope: ListScope, revision: Revision, options?: CallOptions): AsyncGenerator<readonly WatchEvent[]> {
		await this.#enter('watch', options);
		const connection = this.#connection;
		let seen = BigInt(revision);
		if (seen > this.#revision) throw datastoreError('DATASTORE_REPLACED', { message: 'the datastore was replaced' });
		yield [{ type: 'progress', revision }];
		for (;;) {
			if (options?.signal?.aborted) throw datastoreError('DATASTORE_ABORTED', { message: 'the caller gave up' });
			if (connection !== this.#connection) throw datastoreError('DATASTORE_UNAVAILABLE', { message: 'the watch was cut off' });
			if (seen < this.#compacted) throw datastoreError('DATASTORE_COMPACTED', { message: 'the history is gone' });
			const changes = this.#history.filter((change) => change.revision > seen);
			seen = this.#revision;
			const events = changes.map((change) => decodeChange(scope, change)).filter((event) => event !== undefined);
			if (events.length > 0) yield events;
			else await this.#changed(options?.signal);
		}
	}

	async #enter(call: Parameters<NonNullable<MemoryBackendOptions['before']>>[0], options: CallOptions | undefined): Promise<void> {
		if (options?.signal?.aborted) throw datastoreError('DATASTORE_ABORTED', { message: 'the caller gave up' });
		await this.#before(call);
	}

	#existing(key: Key): Stored {
		const stored = this.#objects.get(etcdKey(key));
		if (stored === undefined) throw datastoreError('DATASTORE_NOT_FOUND', { message: `${keyId(key)} does not exist` });
		return stored;
	}

	#checkRevision(key: Key, wanted: Revision): void {
		const { revision } = this.#existing(key);
		if (String(revision) !== wanted)
			throw datastoreError('DATASTORE_CONFLICT', { message: `${keyId(key)} has changed: it is at revision ${revision}, not ${wanted}` });
	}

	#write<K extends Key>(key: K, value: ValueOf<K>): KeyValue<K> {
		this.putRaw(etcdKey(key), storedForm(key, value).text);
		return this.#entry(key, this.#existing(key));
	}

	#entry<K extends Key>(key: K, { text, revision }: Stored): KeyValue<K> {
		const textual = String(revision) as Revision;
		return { key, value: decodeEntry(key, text, textual), revision: textual };
	}

	#wake(): void {
		for (const resume of this.#waiting) resume();
		this.#waiting.clear();
	}

	async #changed(signal: AbortSignal | undefined): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#waiting.add(resolve);
		signal?.addEventListener('abort', () => resolve(), { once: true });
		await promise;
	}
}

function decodeChange(scope: ListScope, { path, text, revision }: Change): WatchEvent | undefined {
	const key = parseEtcdKey(path);
	if (key === undefined || !inScope(scope, key)) return undefined;
	const textual = String(revision) as Revision;
	if (text === null) return { type: 'delete', key, revision: textual };
	try {
		return { type: 'set', entry: { key, value: decodeEntry(key, text, textual), revision: textual } };
	} catch (error) {
		return { type: 'invalid', entry: { storedName: path, key, error: error as Error }, revision: textual };
	}
}
