import type { MessageInitShape } from '@bufbuild/protobuf';
import { DEFAULT_PROFILE_ENTRY, isDefaultProfile, refuseDefaultProfile } from '../default-profile.ts';
import { datastoreError } from '../errors.ts';
import { inScope, keyId } from '../key.ts';
import { decodeEntry, type StoredForm, storedForm } from '../stored-json.ts';
import type { Backend, CallOptions, InvalidEntry, Key, KeyValue, ListResult, ListScope, Revision, ValueOf, WatchEvent } from '../types.ts';
import { EtcdClient, type EtcdModules, type EtcdOptions } from './client.ts';
import {
	Compare_CompareResult as CompareResult,
	type CompareSchema,
	Compare_CompareTarget as CompareTarget,
	type KeyValue as EtcdKeyValue,
	type Event,
	Event_EventType as EventType,
	type RangeResponse,
	type RequestOpSchema,
	type TxnResponse,
} from './generated/etcd_pb.js';
import { etcdKey, etcdRange, isLegacyMarker, parseEtcdKey } from './keys.ts';

const FIRST_PAGE = 1_000;
const MAX_LIST_RESTARTS = 3;
const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** Calico's data model in etcd v3: its keys, its JSON, its compare-and-swap. */
export class EtcdBackend implements Backend {
	readonly #client: EtcdClient;

	/** @throws DATASTORE_BAD_CONFIG */
	constructor(modules: EtcdModules, options: EtcdOptions) {
		this.#client = new EtcdClient(modules, options);
	}

	[Symbol.asyncDispose](): Promise<void> {
		this.#client[Symbol.dispose]();
		return Promise.resolve();
	}

	async ping(options?: CallOptions): Promise<void> {
		// a read that needs the cluster's agreement, and not only this member's word
		await this.#client.range({ key: utf8.encode('/calico/ready'), keysOnly: true }, options);
	}

	async get<K extends Key>(key: K, options?: CallOptions): Promise<KeyValue<K>> {
		if (isDefaultProfile(key)) return DEFAULT_PROFILE_ENTRY as KeyValue<K>;
		const response = await this.#client.range({ key: utf8.encode(etcdKey(key)) }, options);
		const stored = response.kvs[0];
		if (stored === undefined) throw notFound(key);
		const revision = revisionOf(stored);
		return { key, value: decodeEntry(key, fromUtf8.decode(stored.value), revision), revision };
	}

	async list(scope: ListScope, options?: CallOptions): Promise<ListResult> {
		for (let restarts = 0; ; restarts++) {
			try {
				return await this.#listOnce(scope, options);
			} catch (error) {
				// the snapshot was compacted away between two pages
				if (!datastoreError.is(error, 'DATASTORE_COMPACTED') || restarts >= MAX_LIST_RESTARTS) throw error;
			}
		}
	}

	async create<K extends Key>(key: K, value: ValueOf<K>, options?: CallOptions): Promise<KeyValue<K>> {
		if (isDefaultProfile(key)) throw exists(key);
		const path = utf8.encode(etcdKey(key));
		const form = storedForm(key, value);
		const response = await this.#client.txn({ compare: [isAbsent(path)], success: [put(path, form.text)], failure: [read(path)] }, options);
		if (!response.succeeded) throw exists(key);
		return written(key, form, response);
	}

	async update<K extends Key>(key: K, value: ValueOf<K>, revision: Revision, options?: CallOptions): Promise<KeyValue<K>> {
		refuseDefaultProfile(key);
		const path = utf8.encode(etcdKey(key));
		const form = storedForm(key, value);
		const response = await this.#client.txn(
			{ compare: [isAt(path, revision)], success: [put(path, form.text)], failure: [read(path)] },
			options,
		);
		if (!response.succeeded) throw moved(key, revision, response);
		return written(key, form, response);
	}

	async delete(key: Key, revision?: Revision, options?: CallOptions): Promise<void> {
		refuseDefaultProfile(key);
		const path = utf8.encode(etcdKey(key));
		const response = await this.#client.txn(
			{
				compare: revision === undefined ? [] : [isAt(path, revision)],
				success: [{ request: { case: 'requestDeleteRange', value: { key: path } } }],
				failure: [read(path)],
			},
			options,
		);
		if (!response.succeeded) throw moved(key, revision as Revision, response);
		const answer = response.responses[0]?.response;
		if (answer?.case === 'responseDeleteRange' && answer.value.deleted === 0n) throw notFound(key);
	}

	async *watch(scope: ListScope, revision: Revision, options?: CallOptions): AsyncGenerator<readonly WatchEvent[]> {
		const request = { ...bytesOf(scope), startRevision: parseRevision(revision) + 1n, prevKv: false, progressNotify: true, fragment: true };
		for await (const response of this.#client.watch(request, options)) {
			if (response.created) {
				const current = response.header?.revision ?? 0n;
				if (current < parseRevision(revision))
					throw datastoreError('DATASTORE_REPLACED', {
						message: `etcd is at revision ${current}, before the ${revision} that was seen: it was restored or replaced`,
					});
				yield [{ type: 'progress', revision }];
				continue;
			}
			if (response.events.length === 0) {
				yield [{ type: 'progress', revision: String(response.header?.revision ?? 0n) as Revision }];
				continue;
			}
			const events = response.events.map((event) => decodeEvent(scope, event)).filter((event) => event !== undefined);
			if (events.length > 0) yield events;
		}
	}

	async #listOnce(scope: ListScope, options: CallOptions | undefined): Promise<ListResult> {
		const items: KeyValue[] = [];
		const invalid: InvalidEntry[] = [];
		if (inScope(scope, DEFAULT_PROFILE_ENTRY.key)) items.push(DEFAULT_PROFILE_ENTRY);
		const { key: first, rangeEnd } = bytesOf(scope);
		let start = first;
		let snapshot = 0n;
		for (let page = FIRST_PAGE; ; ) {
			let response: RangeResponse;
			try {
				response = await this.#client.range({ key: start, rangeEnd, limit: BigInt(page), revision: snapshot }, options);
			} catch (error) {
				if (!datastoreError.is(error, 'DATASTORE_TOO_LARGE') || page === 1) throw error;
				page = Math.ceil(page / 4);
				continue;
			}
			if (snapshot === 0n) snapshot = response.header?.revision ?? 0n;
			for (const stored of response.kvs) {
				const decoded = decodeStored(scope, stored);
				if (decoded === undefined) continue;
				if ('error' in decoded) invalid.push(decoded);
				else items.push(decoded);
			}
			const last = response.kvs.at(-1);
			if (!response.more || last === undefined) break;
			start = Uint8Array.of(...last.key, 0);
		}
		return { items, invalid, revision: String(snapshot) as Revision };
	}
}

function bytesOf(scope: ListScope): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
	const range = etcdRange(scope);
	if ('key' in range) return { key: utf8.encode(range.key), rangeEnd: new Uint8Array() };
	const key = utf8.encode(range.prefix);
	const rangeEnd = key.slice();
	// no prefix of ours ends in 0xff, so the next key that does not begin with it is one byte away
	rangeEnd[rangeEnd.length - 1] = (rangeEnd.at(-1) as number) + 1;
	return { key, rangeEnd };
}

/** @returns undefined for a key that belongs to no scope of ours */
function decodeStored(scope: ListScope, stored: EtcdKeyValue): KeyValue | InvalidEntry | undefined {
	const storedName = fromUtf8.decode(stored.key);
	const key = parseEtcdKey(storedName);
	if (key === undefined) {
		if (isLegacyMarker(storedName)) return undefined;
		const error = datastoreError('DATASTORE_INVALID_ENTRY', { message: `${storedName} is no key of the data model` });
		return { storedName, key: undefined, error };
	}
	if (!inScope(scope, key)) return undefined;
	const revision = revisionOf(stored);
	try {
		return { key, value: decodeEntry(key, fromUtf8.decode(stored.value), revision), revision };
	} catch (error) {
		return { storedName, key, error: error as Error };
	}
}

function decodeEvent(scope: ListScope, { type, kv }: Event): WatchEvent | undefined {
	if (kv === undefined) return undefined;
	const revision = revisionOf(kv);
	if (type === EventType.DELETE) {
		const key = parseEtcdKey(fromUtf8.decode(kv.key));
		return key === undefined || !inScope(scope, key) ? undefined : { type: 'delete', key, revision };
	}
	const decoded = decodeStored(scope, kv);
	if (decoded === undefined) return undefined;
	return 'error' in decoded ? { type: 'invalid', entry: decoded, revision } : { type: 'set', entry: decoded };
}

function written<K extends Key>(key: K, form: StoredForm<K>, response: TxnResponse): KeyValue<K> {
	const revision = String(response.header?.revision ?? 0n) as Revision;
	return { key, value: form.at(revision), revision };
}

function revisionOf(stored: EtcdKeyValue): Revision {
	return String(stored.modRevision) as Revision;
}

function parseRevision(revision: Revision): bigint {
	if (/^[0-9]{1,19}$/.test(revision)) return BigInt(revision);
	throw datastoreError('DATASTORE_REFUSED', {
		message: `${JSON.stringify(revision.slice(0, 40))} is not a revision of etcd`,
		path: 'metadata.resourceVersion',
		allowed: 'the decimal number that a read returned',
	});
}

type CompareInit = MessageInitShape<typeof CompareSchema>;
type RequestInit = MessageInitShape<typeof RequestOpSchema>;

function isAbsent(key: Uint8Array): CompareInit {
	return { key, result: CompareResult.EQUAL, target: CompareTarget.VERSION, targetUnion: { case: 'version', value: 0n } };
}

function isAt(key: Uint8Array, revision: Revision): CompareInit {
	const value = parseRevision(revision);
	return { key, result: CompareResult.EQUAL, target: CompareTarget.MOD, targetUnion: { case: 'modRevision', value } };
}

function put(key: Uint8Array, text: string): RequestInit {
	return { request: { case: 'requestPut', value: { key, value: utf8.encode(text) } } };
}

function read(key: Uint8Array): RequestInit {
	return { request: { case: 'requestRange', value: { key } } };
}

function notFound(key: Key): Error {
	return datastoreError('DATASTORE_NOT_FOUND', { message: `${keyId(key)} does not exist` });
}

function exists(key: Key): Error {
	return datastoreError('DATASTORE_EXISTS', { message: `${keyId(key)} already exists` });
}

/** Why a write that wanted a certain revision found another, or nothing. */
function moved(key: Key, wanted: Revision, response: TxnResponse): Error {
	const answer = response.responses[0]?.response;
	const current = answer?.case === 'responseRange' ? answer.value.kvs[0] : undefined;
	if (current === undefined) return notFound(key);
	return datastoreError('DATASTORE_CONFLICT', {
		message: `${keyId(key)} has changed: it is at revision ${current.modRevision}, not ${wanted}`,
		hint: 'read it again and repeat the change',
	});
}
