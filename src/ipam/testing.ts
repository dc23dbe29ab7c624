/** What the tests of address management share: a cluster in memory, and the rules that its data keeps at rest. */
import assert from 'node:assert/strict';
import { type AffinityKey, type Backend, type BlockKey, Client, type Clock, type HandleKey, type KeyValue } from '#datastore';
import { type Cidr, cidrNth, type Ip } from '#net';
import { API_VERSION, type IPPool } from '#resources';
import { Ipam } from './ipam.ts';

/** A clock that stands still until it is moved; sleeping takes no time. */
export class TestClock implements Clock {
	#now = Date.parse('2026-08-22T10:00:00Z');

	now(): number {
		return this.#now;
	}

	advance(ms: number): void {
		this.#now += ms;
	}

	sleep(): Promise<void> {
		return Promise.resolve();
	}
}

export interface TestCluster {
	readonly client: Client;
	readonly ipam: Ipam;
	readonly clock: TestClock;
}

/** @param pools spec fields by pool name */
export async function makeCluster(
	backend: Backend,
	hosts: readonly string[],
	pools: Readonly<Record<string, IPPool['spec']>>,
	random: () => number = () => 0.5,
): Promise<TestCluster> {
	const clock = new TestClock();
	const client = new Client({ backend, clock, addresses: (own) => new Ipam({ client: own, clock, random }) });
	for (const name of hosts)
		await client.resources.create({ apiVersion: API_VERSION, kind: 'Node', metadata: { name, labels: { host: name } }, spec: {} });
	for (const [name, spec] of Object.entries(pools))
		await client.resources.create({ apiVersion: API_VERSION, kind: 'IPPool', metadata: { name }, spec });
	return { client, clock, ipam: new Ipam({ client, clock, random }) };
}

export interface Allocation {
	readonly address: Ip;
	readonly block: Cidr;
	readonly handleId: string | undefined;
	readonly affinity: string | null;
}

/** Every address in use, by what the blocks say. */
export async function allocationsOf(backend: Backend): Promise<readonly Allocation[]> {
	return (await blocksOf(backend)).flatMap(({ value }) =>
		value.allocations.flatMap((index, ordinal) => {
			const attribute = index === null ? undefined : value.attributes[index];
			if (attribute === undefined || attribute.releasedAt !== undefined) return [];
			return [{ address: cidrNth(value.cidr, ordinal), block: value.cidr, handleId: attribute.handleId, affinity: value.affinity }];
		}),
	);
}

/** The rules that blocks, affinities and handles keep whenever nobody is at work, however many raced before. */
export async function checkIntegrity(backend: Backend): Promise<void> {
	const blocks = await blocksOf(backend);
	for (const { value } of blocks) {
		const { cidr, allocations, unallocated, attributes, sequenceNumberForAllocation } = value;
		const free = allocations.flatMap((index, ordinal) => (index === null ? [ordinal] : []));
		assert.deepEqual([...unallocated].sort(byNumber), free, `${cidr}: what is not allocated is free, once`);
		const used = new Set(allocations.filter((index) => index !== null));
		assert.deepEqual([...used].sort(byNumber), [...attributes.keys()], `${cidr}: every attribute is in use, and every index is one`);
		for (const ordinal of Object.keys(sequenceNumberForAllocation))
			assert.notEqual(allocations[Number(ordinal)], null, `${cidr}: only allocated addresses have a sequence number`);
	}
	const affinities = [
		...(await backend.list({ type: 'affinity' })).items,
		...(await backend.list({ type: 'affinity', affinityType: 'virtual' })).items,
	] as readonly KeyValue<AffinityKey>[];
	const byCidr = new Map(blocks.map(({ value }) => [value.cidr, value]));
	for (const { key } of affinities) {
		const owner = byCidr.get(key.cidr)?.affinity ?? null;
		if (owner !== null) assert.equal(owner, `${key.affinityType}:${key.host}`, `${key.cidr}: nobody claims what is another's`);
	}
	for (const { key, value } of affinities)
		if (value.state === 'confirmed')
			assert.equal(
				byCidr.get(key.cidr)?.affinity,
				`${key.affinityType}:${key.host}`,
				`${key.cidr}: a confirmed claim is the block's word too`,
			);
	const claims = new Set(affinities.map(({ key }) => `${key.affinityType}:${key.host} ${key.cidr}`));
	for (const { value } of blocks)
		if (value.affinity !== null) assert.ok(claims.has(`${value.affinity} ${value.cidr}`), `${value.cidr}: its owner knows of it`);

	const counts = new Map<string, number>();
	for (const { handleId, block } of await allocationsOf(backend))
		if (handleId !== undefined) counts.set(`${handleId} ${block}`, (counts.get(`${handleId} ${block}`) ?? 0) + 1);
	const noted = new Map<string, number>();
	for (const { key, value } of (await backend.list({ type: 'handle' })).items as readonly KeyValue<HandleKey>[])
		for (const [block, count] of Object.entries(value.blocks)) noted.set(`${key.handleId} ${block}`, count);
	assert.deepEqual(noted, counts, 'handles note what the blocks say');
}

async function blocksOf(backend: Backend): Promise<readonly KeyValue<BlockKey>[]> {
	const { items, invalid } = await backend.list({ type: 'block' });
	assert.deepEqual(invalid, []);
	return items as readonly KeyValue<BlockKey>[];
}

function byNumber(a: number, b: number): number {
	return a - b;
}
