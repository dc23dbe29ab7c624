/** What every backend must do, as tests that each of them runs. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cidr } from '#net';
import { API_VERSION, DEFAULT_ALLOW_PROFILE, type NetworkSet, type Node } from '#resources';
import { datastoreError } from './errors.ts';
import { keyId } from './key.ts';
import type { Backend, IpamBlock, Key, KeyValue, ListScope, ResourceKey, Revision, ValueOf, WatchEvent } from './types.ts';

/** A backend over an empty datastore, and what the tests do to it from outside. */
export interface ContractSubject extends AsyncDisposable {
	readonly backend: Backend;
	/** Stores something that can not be decoded. */
	storeInvalid(key: ResourceKey): Promise<void>;
	/** Forgets all history. */
	compact(): Promise<void>;
	/** Cuts every connection; the datastore is there again when the promise is fulfilled. */
	interrupt(): Promise<void>;
}

const NODES: ListScope = { type: 'resource', kind: 'Node' };
const LIMIT_MS = 30_000;

export function testBackendContract(name: string, open: () => Promise<ContractSubject>): void {
	describe(`${name} keeps the contract of a backend`, () => {
		let subject: ContractSubject;
		let backend: Backend;
		let serial = 0;
		before(async () => {
			subject = await open();
			backend = subject.backend;
		});
		after(() => subject[Symbol.asyncDispose]());
		const uniqueName = (): string => `n${++serial}`;

		test('what is created can be read, and not be created again', async () => {
			const key = nodeKey(uniqueName());
			const created = await backend.create(key, node(key.name, { a: '1' }));
			assert.equal(created.value.metadata.resourceVersion, created.revision);
			assert.deepEqual(await backend.get(key), created);
			await assert.rejects(backend.create(key, node(key.name)), isError('DATASTORE_EXISTS'));
		});

		test('an update needs the current revision', async () => {
			const key = nodeKey(uniqueName());
			await assert.rejects(backend.update(key, node(key.name), '1' as Revision), isError('DATASTORE_NOT_FOUND'));
			const first = await backend.create(key, node(key.name));
			const second = await backend.update(key, node(key.name, { a: '2' }), first.revision);
			assert.notEqual(second.revision, first.revision);
			await assert.rejects(backend.update(key, node(key.name, { a: '3' }), first.revision), isError('DATASTORE_CONFLICT'));
			assert.deepEqual((await backend.get(key)).value.metadata.labels, { a: '2' });
		});

		test('a deletion can be bound to a revision', async () => {
			const key = nodeKey(uniqueName());
			const first = await backend.create(key, node(key.name));
			const second = await backend.update(key, node(key.name, { a: '2' }), first.revision);
			await assert.rejects(backend.delete(key, first.revision), isError('DATASTORE_CONFLICT'));
			await backend.delete(key, second.revision);
			await assert.rejects(backend.get(key), isError('DATASTORE_NOT_FOUND'));
			await assert.rejects(backend.delete(key), isError('DATASTORE_NOT_FOUND'));
			await assert.rejects(backend.delete(key, second.revision), isError('DATASTORE_NOT_FOUND'));
		});

		test('every part of the data model comes back as it was written', async () => {
			const entries: readonly (readonly [Key, ValueOf<Key>])[] = [
				[{ type: 'resource', kind: 'NetworkSet', namespace: 'prod', name: 'office' }, networkSet('prod', 'office')],
				[{ type: 'block', cidr: cidr('10.1.0.64/30') }, block('10.1.0.64/30')],
				[{ type: 'block', cidr: cidr('fd00::40/126') }, block('fd00::40/126')],
				[{ type: 'affinity', affinityType: 'host', host: 'h1', cidr: cidr('10.1.0.64/30') }, { state: 'pending' }],
				[{ type: 'affinity', affinityType: 'virtual', host: 'load-balancer', cidr: cidr('fd00::40/126') }, { state: 'confirmed' }],
				[{ type: 'handle', handleId: 'k8s-pod-network.4C1f' }, { blocks: { '10.1.0.64/30': 2 } }],
				[
					{ type: 'ipam-config' },
					{ strictAffinity: true, autoAllocateBlocks: true, maxBlocksPerHost: 4, ipCooldownSeconds: 30, extra: { unknown: [1] } },
				],
			];
			for (const [key, value] of entries) {
				const created = await backend.create(key, value);
				const { metadata: _written, ...rest } = value as { metadata?: unknown };
				const { metadata: _read, ...restRead } = created.value as { metadata?: unknown };
				assert.deepEqual(restRead, rest, keyId(key));
				assert.deepEqual(await backend.get(key), created);
			}
			for (const [key] of entries) await backend.delete(key);
		});

		test('a list has what its scope covers and nothing else', async () => {
			const keys: Record<string, Key> = {
				setA: { type: 'resource', kind: 'NetworkSet', namespace: 'a', name: 's' },
				setAb: { type: 'resource', kind: 'NetworkSet', namespace: 'ab', name: 's' },
				block4: { type: 'block', cidr: cidr('10.2.0.0/30') },
				block6: { type: 'block', cidr: cidr('fd02::/126') },
				own4: { type: 'affinity', affinityType: 'host', host: 'w1', cidr: cidr('10.2.0.0/30') },
				own6: { type: 'affinity', affinityType: 'host', host: 'w1', cidr: cidr('fd02::/126') },
				other: { type: 'affinity', affinityType: 'host', host: 'w10', cidr: cidr('10.2.0.4/30') },
				virtual: { type: 'affinity', affinityType: 'virtual', host: 'load-balancer', cidr: cidr('10.2.0.8/30') },
			};
			const valueOf = (key: Key): ValueOf<Key> => {
				if (key.type === 'resource') return networkSet(key.namespace as string, key.name);
				return key.type === 'block' ? block(key.cidr) : { state: 'confirmed' };
			};
			for (const key of Object.values(keys)) await backend.create(key, valueOf(key));
			const table: readonly (readonly [ListScope, readonly string[]])[] = [
				[{ type: 'resource', kind: 'NetworkSet' }, ['setA', 'setAb']],
				[{ type: 'resource', kind: 'NetworkSet', namespace: 'a' }, ['setA']],
				[{ type: 'block' }, ['block4', 'block6']],
				[{ type: 'block', family: 6 }, ['block6']],
				[{ type: 'affinity' }, ['own4', 'own6', 'other']],
				[{ type: 'affinity', host: 'w1' }, ['own4', 'own6']],
				[{ type: 'affinity', host: 'w1', family: 4 }, ['own4']],
				[{ type: 'affinity', family: 4 }, ['own4', 'other']],
				[{ type: 'affinity', affinityType: 'virtual' }, ['virtual']],
				[{ type: 'handle' }, []],
				[{ type: 'ipam-config' }, []],
			];
			for (const [scope, expected] of table) {
				const { items, invalid } = await backend.list(scope);
				assert.deepEqual(
					items.map(({ key }) => keyId(key)).sort(),
					expected.map((label) => keyId(keys[label] as Key)).sort(),
					JSON.stringify(scope),
				);
				assert.deepEqual(invalid, []);
			}
			for (const key of Object.values(keys)) await backend.delete(key);
		});

		test('workload endpoints can be listed by the beginning of their name', async () => {
			for (const name of ['n1-k8s-web-eth0', 'n10-k8s-web-eth0', 'n1-k8s-db-eth0']) {
				const key: ResourceKey = { type: 'resource', kind: 'WorkloadEndpoint', namespace: 'prod', name };
				await backend.create(key, {
					apiVersion: API_VERSION,
					kind: 'WorkloadEndpoint',
					metadata: { name, namespace: 'prod' },
					spec: { orchestrator: 'k8s', endpoint: 'eth0', node: name.split('-')[0], pod: name.split('-')[2] },
				});
			}
			const scope = { type: 'resource', kind: 'WorkloadEndpoint', namePrefix: 'n1-' } as const;
			const expected = ['n1-k8s-db-eth0', 'n1-k8s-web-eth0'];
			assert.deepEqual(namesIn((await backend.list(scope)).items), expected);
			assert.deepEqual(namesIn((await backend.list({ ...scope, namespace: 'prod' })).items), expected);
			assert.deepEqual(namesIn((await backend.list({ ...scope, namespace: 'test' })).items), []);
		});

		test('a watch tells what happens after a list, in order and without gaps', async () => {
			const [kept, gone] = [nodeKey(uniqueName()), nodeKey(uniqueName())];
			const { revision } = await backend.list(NODES);
			await using watch = new Watch(backend, NODES, revision);
			const created = await backend.create(kept, node(kept.name));
			const { revision: goneRevision } = await backend.create(gone, node(gone.name));
			await backend.create({ type: 'handle', handleId: uniqueName() }, { blocks: {} });
			await backend.update(kept, node(kept.name, { b: '2' }), created.revision);
			await backend.delete(gone, goneRevision);
			const events = await watch.take(4);
			assert.deepEqual(events.map(eventText), [`set ${kept.name}`, `set ${gone.name}`, `set ${kept.name}`, `delete ${gone.name}`]);
			assert.deepEqual(events[0], { type: 'set', entry: created });

			// a second watch from the middle has the rest
			await using resumed = new Watch(backend, NODES, goneRevision);
			assert.deepEqual((await resumed.take(2)).map(eventText), [`set ${kept.name}`, `delete ${gone.name}`]);
		});

		test('a watch of one scope sees nothing of its neighbours', async () => {
			const scope: ListScope = { type: 'affinity', host: 'x1' };
			const { revision } = await backend.list(scope);
			await using watch = new Watch(backend, scope, revision);
			for (const host of ['x10', 'x1']) {
				const key: Key = { type: 'affinity', affinityType: 'host', host, cidr: cidr('10.3.0.0/30') };
				await backend.create(key, { state: 'confirmed' });
			}
			const [event] = await watch.take(1);
			assert.ok(event?.type === 'set' && event.entry.key.type === 'affinity' && event.entry.key.host === 'x1');
		});

		test('the built-in profile is listed and read, but not written', async () => {
			const key: ResourceKey = { type: 'resource', kind: 'Profile', name: DEFAULT_ALLOW_PROFILE };
			const { value, revision } = await backend.get(key);
			assert.equal(revision, '0');
			assert.deepEqual(namesIn((await backend.list({ type: 'resource', kind: 'Profile' })).items), [DEFAULT_ALLOW_PROFILE]);
			await assert.rejects(backend.create(key, value), isError('DATASTORE_EXISTS'));
			await assert.rejects(backend.update(key, value, revision), isError('DATASTORE_UNSUPPORTED'));
			await assert.rejects(backend.delete(key), isError('DATASTORE_UNSUPPORTED'));
		});

		test('what can not be decoded is reported by name, beside everything else', async () => {
			const { revision } = await backend.list(NODES);
			await using watch = new Watch(backend, NODES, revision);
			const [broken, fine] = [nodeKey(uniqueName()), nodeKey(uniqueName())];
			await subject.storeInvalid(broken);
			await backend.create(fine, node(fine.name));
			const { items, invalid } = await backend.list(NODES);
			assert.ok(items.some(({ key }) => keyId(key) === keyId(fine)));
			assert.deepEqual(
				invalid.map(({ key }) => key),
				[broken],
			);
			assert.ok(invalid[0]?.storedName.includes(broken.name));
			assert.ok(datastoreError.is(invalid[0]?.error, 'DATASTORE_INVALID_ENTRY'));
			assert.deepEqual((await watch.take(2)).map(eventText), [`invalid ${broken.name}`, `set ${fine.name}`]);
			await assert.rejects(backend.get(broken), isError('DATASTORE_INVALID_ENTRY'));
			await backend.delete(broken);
			assert.deepEqual((await backend.list(NODES)).invalid, []);
		});

		test('what could not be read again is refused before it is written', async () => {
			const key = nodeKey(uniqueName());
			const { revision } = await backend.create(key, node(key.name));
			const broken = { ...node(key.name), spec: { bgp: 7 } } as unknown as Node;
			for (const value of [broken, node('another')]) {
				await assert.rejects(backend.update(key, value, revision), isError('DATASTORE_REFUSED'));
				await assert.rejects(backend.create(nodeKey(uniqueName()), value), isError('DATASTORE_REFUSED'));
			}
			assert.equal((await backend.get(key)).revision, revision);
		});

		test('of writers that race, each loses no update', async () => {
			const key = nodeKey(uniqueName());
			await backend.create(key, node(key.name, { count: '0' }));
			const increment = async (): Promise<void> => {
				for (;;) {
					const { value, revision } = await backend.get(key);
					const count = Number(value.metadata.labels?.['count']);
					try {
						await backend.update(key, node(key.name, { count: String(count + 1) }), revision);
						return;
					} catch (error) {
						if (!datastoreError.is(error, 'DATASTORE_CONFLICT')) throw error;
					}
				}
			};
			await Promise.all(Array.from({ length: 8 }, () => increment()));
			assert.equal((await backend.get(key)).value.metadata.labels?.['count'], '8');
		});

		test('a list longer than one page is complete', async () => {
			const count = 2_345;
			const names = Array.from({ length: count }, (_, index) => `handle-${String(index).padStart(5, '0')}`);
			for (let start = 0; start < count; start += 100)
				await Promise.all(
					names.slice(start, start + 100).map((handleId) => backend.create({ type: 'handle', handleId }, { blocks: { [handleId]: 1 } })),
				);
			const { items } = await backend.list({ type: 'handle' });
			const listed = items.map(({ key }) => (key.type === 'handle' ? key.handleId : '')).filter((id) => id.startsWith('handle-'));
			assert.deepEqual(listed.sort(), names);
		});

		test('a caller that gives up ends its watch', async () => {
			const { revision } = await backend.list(NODES);
			const stop = new AbortController();
			const watching = (async () => {
				for await (const _ of backend.watch(NODES, revision, { signal: stop.signal })) stop.abort();
			})();
			await assert.rejects(watching, isError('DATASTORE_ABORTED'));
			await assert.rejects(backend.get(nodeKey('x'), { signal: stop.signal }), isError('DATASTORE_ABORTED'));
		});

		test('a watch that was cut off says so, and goes on from the last revision', async () => {
			const key = nodeKey(uniqueName());
			const { revision } = await backend.list(NODES);
			await using watch = new Watch(backend, NODES, revision);
			await watch.isUp;
			await subject.interrupt();
			await assert.rejects(watch.take(1), isError('DATASTORE_UNAVAILABLE'));
			await backend.create(key, node(key.name));
			await using resumed = new Watch(backend, NODES, revision);
			assert.deepEqual((await resumed.take(1)).map(eventText), [`set ${key.name}`]);
		});

		test('a watch whose history is gone says so', async () => {
			const { revision } = await backend.list(NODES);
			for (let index = 0; index < 3; index++) await backend.create({ type: 'handle', handleId: uniqueName() }, { blocks: {} });
			await subject.compact();
			await using watch = new Watch(backend, NODES, revision);
			await assert.rejects(watch.take(1), isError('DATASTORE_COMPACTED'));
		});
	});
}

/** A watch that runs in the background and keeps what it sees. */
class Watch implements AsyncDisposable {
	/** Fulfilled when the watch stands, or has failed. */
	readonly isUp: Promise<void>;
	readonly #stop = new AbortController();
	readonly #events: WatchEvent[] = [];
	readonly #running: Promise<void>;
	#failure: unknown;
	#changed = Promise.withResolvers<void>();

	constructor(backend: Backend, scope: ListScope, revision: Revision) {
		const up = Promise.withResolvers<void>();
		this.isUp = up.promise;
		this.#running = this.#run(backend, scope, revision, up.resolve);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#stop.abort();
		await this.#running;
	}

	/** The first events, in order; whatever ended the watch before that is thrown. */
	async take(count: number): Promise<readonly WatchEvent[]> {
		const deadline = Date.now() + LIMIT_MS;
		while (this.#events.length < count) {
			if (this.#failure !== undefined) throw this.#failure;
			if (Date.now() > deadline) throw new Error(`only ${this.#events.length} of ${count} events came`);
			const timer = setTimeout(() => this.#changed.resolve(), deadline - Date.now());
			await this.#changed.promise;
			clearTimeout(timer);
			this.#changed = Promise.withResolvers<void>();
		}
		return this.#events.slice(0, count);
	}

	async #run(backend: Backend, scope: ListScope, revision: Revision, up: () => void): Promise<void> {
		try {
			for await (const events of backend.watch(scope, revision, { signal: this.#stop.signal })) {
				this.#events.push(...events.filter(({ type }) => type !== 'progress'));
				up();
				this.#changed.resolve();
			}
			this.#failure = new Error('the watch ended without a reason');
		} catch (error) {
			this.#failure = error;
		}
		up();
		this.#changed.resolve();
	}
}

function isError(code: Parameters<typeof datastoreError>[0]): (error: unknown) => boolean {
	return (error) => {
		assert.ok(datastoreError.is(error), String(error));
		assert.equal(error.code, code, error.message);
		return true;
	};
}

function eventText(event: WatchEvent): string {
	switch (event.type) {
		case 'set':
			return `set ${nameOf(event.entry.key)}`;
		case 'delete':
			return `delete ${nameOf(event.key)}`;
		case 'invalid':
			return `invalid ${nameOf(event.entry.key)}`;
		case 'progress':
			return 'progress';
		default:
			return event satisfies never;
	}
}

function nameOf(key: Key | undefined): string {
	return key?.type === 'resource' ? key.name : '?';
}

function namesIn(items: readonly KeyValue[]): readonly string[] {
	return items.map(({ key }) => nameOf(key)).sort();
}

function nodeKey(name: string): ResourceKey {
	return { type: 'resource', kind: 'Node', name };
}

function node(name: string, labels: Readonly<Record<string, string>> = {}): Node {
	return { apiVersion: API_VERSION, kind: 'Node', metadata: { name, labels }, spec: {} };
}

function networkSet(namespace: string, name: string): NetworkSet {
	return { apiVersion: API_VERSION, kind: 'NetworkSet', metadata: { name, namespace }, spec: { nets: ['192.0.2.0/24'] } };
}

/** A block of four addresses with everything that a block can have. */
function block(prefix: string): IpamBlock {
	return {
		cidr: cidr(prefix),
		affinity: 'host:h1',
		affinityClaimTime: '2026-08-22T10:01:00Z',
		allocations: [0, null, 1, null],
		unallocated: [3, 1],
		attributes: [
			{ handleId: 'h.1', secondary: { node: 'h1' }, extra: { later: true } },
			{ handleId: undefined, releasedAt: '2026-08-22T10:01:01Z' },
		],
		sequenceNumber: 18_446_744_073_709_551_615n,
		sequenceNumberForAllocation: { '0': 1_755_856_920_123_456_787n, '2': 5n },
		extra: { later: { big: 9_007_199_254_740_993n } },
	};
}
