import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressBits, type Cidr, cidrOf, type Family, formatIp, ip } from '#net';
import { type AttributeSet, AttributeTable } from '../attributes/attribute-set.ts';
import { AttributeRewriter } from '../attributes/rewrite.ts';
import { type Candidate, isMultipath, selectBest } from './best-path.ts';
import { NextHopTable } from './next-hop.ts';
import { PrefixIndex } from './prefix-index.ts';
import { Rib } from './rib.ts';
import { PREFERENCE, type Source, SourceTable } from './source.ts';

const anyPrefix = (family: Family): fc.Arbitrary<Cidr> =>
	fc
		.tuple(
			fc.uint8Array({ minLength: addressBits(family) / 8, maxLength: addressBits(family) / 8 }),
			fc.nat(addressBits(family)),
			fc.nat(3),
		)
		.map(([bytes, length, keep]) => cidrOf(formatIp(bytes.fill(0, keep)), length));

function nlri(index: PrefixIndex, prefix: number): Uint8Array {
	const bytes = new Uint8Array(32);
	return bytes.slice(0, index.write(prefix, bytes, 0));
}

test('a prefix keeps its number until it is removed, and numbers are dense', () => {
	for (const family of [4, 6] as const)
		fc.assert(
			fc.property(fc.array(fc.tuple(anyPrefix(family), fc.boolean()), { maxLength: 400 }), (operations) => {
				const index = new PrefixIndex(family);
				const model = new Map<Cidr, number>();
				for (const [prefix, keep] of operations) {
					const known = model.get(prefix);
					if (keep) {
						const number = index.internCidr(prefix);
						assert.equal(number, known ?? number);
						model.set(prefix, number);
					} else if (known !== undefined) {
						index.remove(known);
						index.remove(known);
						model.delete(prefix);
					}
				}
				assert.equal(index.size, model.size);
				assert.equal(new Set(model.values()).size, model.size);
				for (const [prefix, number] of model) {
					assert.equal(index.findCidr(prefix), number);
					assert.equal(index.cidrOf(number), prefix);
					const bytes = nlri(index, number);
					assert.equal(bytes.length, 1 + Math.ceil(index.lengthOf(number) / 8));
					assert.equal(index.find(bytes, 1, bytes[0] as number), number);
				}
			}),
		);
});

test('bits behind the prefix length do not matter', () => {
	const index = new PrefixIndex(4);
	const number = index.intern(Uint8Array.of(10, 1, 255), 0, 17);
	assert.equal(index.cidrOf(number), '10.1.128.0/17');
	assert.equal(index.find(Uint8Array.of(10, 1, 129), 0, 17), number);
	assert.equal(index.find(Uint8Array.of(10, 1, 127), 0, 17), -1);
	assert.equal(index.cidrOf(index.intern(new Uint8Array(), 0, 0)), '0.0.0.0/0');
});

test('many prefixes are found again, in whatever order and with whatever bits in common', () => {
	for (const factor of [1, 16, 4096, 0x9e3779b1]) {
		const index = new PrefixIndex(4);
		const bytes = new Uint8Array(4);
		const view = new DataView(bytes.buffer);
		const count = 200_000;
		const at = (position: number): void => view.setUint32(0, Math.imul(position, factor));
		const distinct = new Set<number>();
		for (let position = 0; position < count; position++) {
			at(position);
			distinct.add(view.getUint32(0));
			index.intern(bytes, 0, 32);
		}
		assert.equal(index.size, distinct.size);
		for (let position = 0; position < count; position += 97) {
			at(position);
			assert.equal(index.cidrOf(index.find(bytes, 0, 32)), `${bytes.join('.')}/32`);
		}
	}
});

interface Scene {
	readonly attributes: AttributeTable;
	readonly sources: SourceTable;
	readonly rewriter: AttributeRewriter;
}

function scene(resolved = true): Scene {
	const nextHops = new NextHopTable((address) => (resolved ? { interfaceIndex: 1, gateway: address, metric: 0 } : undefined));
	const attributes = new AttributeTable(nextHops);
	return { attributes, sources: new SourceTable(), rewriter: new AttributeRewriter(attributes) };
}

test('the RIB agrees with a map of maps under random announcements and withdrawals', () => {
	const operation = fc.tuple(fc.constantFrom('announce', 'withdraw', 'take'), fc.nat(15), fc.nat(4), fc.nat(5));
	fc.assert(
		fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
			const { attributes, sources, rewriter } = scene();
			const rib = new Rib(4, { attributes, sources });
			const own = rewriter.own();
			const all = Array.from({ length: 5 }, (_, number) =>
				sources.create({
					kind: 'bgp',
					peer: {
						index: number + 1,
						name: `p${number}`,
						address: ip(`10.0.0.${number}`),
						external: true,
						routerId: number,
						clusterId: undefined,
					},
					pathId: 0,
					interface: undefined,
				}),
			);
			const model = new Map<number, Map<Source, number>>();
			const dirty = new Set<number>();
			const batch = new Int32Array(3);
			for (const [what, where, who, preference] of operations) {
				const prefix = rib.index.internCidr(cidrOf(ip(`10.0.${where}.0`), 24));
				const source = all[who] as Source;
				const paths = model.get(prefix) ?? new Map<Source, number>();
				model.set(prefix, paths);
				if (what === 'announce') {
					const set = rewriter.rewrite(own, { localPreference: 100 + preference }) as AttributeSet;
					if (paths.get(source) !== preference) dirty.add(prefix);
					assert.equal(rib.announce(prefix, source, set), !paths.has(source));
					paths.set(source, preference);
				} else if (what === 'withdraw') {
					if (paths.has(source)) dirty.add(prefix);
					assert.equal(rib.withdraw(prefix, source), paths.delete(source));
				} else for (const taken of batch.subarray(0, rib.takeDirty(batch))) assert.ok(dirty.delete(taken));
				assert.equal(rib.hasDirty, dirty.size > 0);
			}
			assert.equal(
				rib.pathCount,
				[...model.values()].reduce((sum, paths) => sum + paths.size, 0),
			);
			for (const [prefix, paths] of model) {
				const expected = [...paths].sort(([a, x], [b, y]) => y - x || (a.peer?.routerId ?? 0) - (b.peer?.routerId ?? 0))[0];
				const best = rib.best(prefix);
				assert.equal(best < 0 ? undefined : rib.sourceOf(best), expected?.[0]);
				assert.deepEqual(new Set(rib.paths(prefix).map(({ source }) => source)), new Set(paths.keys()));
			}
			for (let path = 0; path < rib.pathHighWater; path++) if (rib.sourceAt(path) !== undefined) rib.removePath(path);
			assert.equal(rib.pathCount, 0);
			assert.ok(attributes.size <= 1);
		}),
	);
});

test('a path whose next hop cannot be reached is kept but never best', () => {
	const { attributes, sources, rewriter } = scene(false);
	const rib = new Rib(4, { attributes, sources });
	const source = sources.create({ kind: 'bgp', peer: undefined, pathId: 0, interface: undefined });
	const prefix = rib.index.internCidr(cidrOf(ip('10.0.0.0'), 8));
	const set = rewriter.rewrite(rewriter.own(), { nextHop: String.fromCharCode(192, 0, 2, 1) }) as AttributeSet;
	rib.announce(prefix, source, set);
	assert.equal(rib.best(prefix), -1);
	assert.equal(rib.paths(prefix).length, 1);
	assert.deepEqual(rib.multipath(prefix), []);
	(set.nextHop as { resolution: unknown }).resolution = { interfaceIndex: 1, gateway: ip('192.0.2.1'), metric: 5 };
	rib.reconsider(prefix);
	assert.ok(rib.best(prefix) >= 0);
});

const candidate: fc.Arbitrary<Candidate> = fc
	.record({
		kind: fc.oneof(
			{ weight: 8, arbitrary: fc.constant('bgp' as const) },
			{ weight: 1, arbitrary: fc.constantFrom('static' as const, 'kernel' as const) },
		),
		external: fc.boolean(),
		peer: fc.integer({ min: 1, max: 4 }),
		routerId: fc.integer({ min: 1, max: 3 }),
		pathId: fc.nat(2),
		localPreference: fc.constantFrom(100, 100, 100, 200),
		asPathLength: fc.constantFrom(1, 1, 2),
		origin: fc.constantFrom(0, 0, 1),
		neighborAs: fc.constantFrom(1, 1, 2),
		med: fc.nat(2),
		originatorId: fc.constantFrom(0, 0, 2),
		clusterListLength: fc.nat(1),
		metric: fc.constantFrom(0, 0, 1, undefined),
	})
	.map(({ kind, external, peer, routerId, pathId, metric, ...attributes }) => ({
		source: {
			id: 0,
			kind,
			pathId,
			interface: undefined,
			pathCount: 1,
			peer:
				kind === 'bgp'
					? { index: peer, name: String(peer), address: ip(`10.0.0.${peer}`), external, routerId, clusterId: undefined }
					: undefined,
		},
		attributes: {
			...attributes,
			id: 1,
			key: '',
			wireLength: 0,
			noExport: false,
			noAdvertise: false,
			references: 1,
			nextHop:
				kind === 'bgp'
					? {
							address: ip('192.0.2.1'),
							family: 4 as const,
							key: '',
							linkLocal: undefined,
							references: 1,
							resolution: metric === undefined ? undefined : { interfaceIndex: 1, gateway: ip('192.0.2.1'), metric },
						}
					: undefined,
		},
	}));

/** Numbers sources, as the table does: the last tie-breaker. */
const candidates = fc
	.array(candidate, { maxLength: 7 })
	.map((list) => list.map((path, id) => ({ ...path, source: { ...path.source, id: id + 1 } })));

/** RFC 4271 §9.1.2.2 word by word: each step takes away what does not have the best value. */
function naiveBest(paths: readonly Candidate[]): Candidate | undefined {
	let left = paths.filter(({ attributes }) => attributes.nextHop === undefined || attributes.nextHop.resolution !== undefined);
	const keepLeast = (value: (path: Candidate) => number): void => {
		const least = Math.min(...left.map(value));
		left = left.filter((path) => value(path) === least);
	};
	keepLeast(({ source }) => -PREFERENCE[source.kind]);
	keepLeast(({ attributes }) => -attributes.localPreference);
	keepLeast(({ attributes }) => attributes.asPathLength);
	keepLeast(({ attributes }) => attributes.origin);
	const before = left;
	left = left.filter(
		(path) =>
			!before.some(
				(other) =>
					other.source.kind === 'bgp' &&
					path.source.kind === 'bgp' &&
					other.attributes.neighborAs === path.attributes.neighborAs &&
					other.attributes.med < path.attributes.med,
			),
	);
	keepLeast(({ source }) => (source.peer?.external === false ? 1 : 0));
	keepLeast(({ attributes }) => attributes.nextHop?.resolution?.metric ?? 0);
	keepLeast(({ attributes, source }) => attributes.originatorId || (source.peer?.routerId ?? 0));
	keepLeast(({ attributes }) => attributes.clusterListLength);
	keepLeast(({ source }) => Number(source.peer?.address.split('.')[3] ?? 0));
	keepLeast(({ source }) => source.pathId);
	keepLeast(({ source }) => source.id);
	return left[0];
}

test('best path selection agrees with the naive oracle and does not depend on the order of paths', () => {
	fc.assert(
		fc.property(candidates, fc.nat(1000), (paths, turn) => {
			const expected = naiveBest(paths);
			assert.equal(paths[selectBest(paths)], expected);
			const shift = turn % Math.max(1, paths.length);
			const turned = [...paths.slice(shift), ...paths.slice(0, shift)].reverse();
			assert.equal(turned[selectBest(turned)], expected);
		}),
		{ numRuns: 10_000 },
	);
});

test('traffic is only shared between BGP paths that tie with the best one up to the cost of the next hop', () => {
	fc.assert(
		fc.property(candidates, (paths) => {
			const best = paths[selectBest(paths)];
			if (best === undefined) return;
			for (const path of paths) {
				if (!isMultipath(path, best)) continue;
				assert.equal(path.attributes.localPreference, best.attributes.localPreference);
				assert.equal(path.attributes.asPathLength, best.attributes.asPathLength);
				assert.equal(path.attributes.origin, best.attributes.origin);
				assert.equal(path.source.peer?.external, best.source.peer?.external);
				assert.equal(path.attributes.nextHop?.resolution?.metric, best.attributes.nextHop?.resolution?.metric);
			}
			if (best.source.kind === 'bgp') assert.ok(isMultipath(best, best));
		}),
		{ numRuns: 2000 },
	);
});
