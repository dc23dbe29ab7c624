import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, cidr, cidrContains, cidrFamily, cidrParts, type Family } from '#net';
import { PrefixIndex } from '../rib/prefix-index.ts';
import type { Source } from '../rib/source.ts';
import type { FilterRule, RouteFilter, RouteSource } from '../router-config.ts';
import { CompiledFilter, FilterCache, interfacePattern, REJECTED } from './filter.ts';

const PREFIXES: Readonly<Record<Family, readonly Cidr[]>> = {
	4: ['0.0.0.0/0', '10.0.0.0/8', '10.65.0.0/16', '10.65.1.0/24', '10.65.1.64/26', '10.65.1.65/32', '192.0.2.0/24'].map((text) =>
		cidr(text),
	),
	6: ['::/0', 'fd00::/8', 'fd65::/48', 'fd65::1:0/112', 'fd65::1:1/128', '2001:db8::/32'].map((text) => cidr(text)),
};
const SOURCES: readonly RouteSource[] = ['bgp', 'originated', 'kernel', 'direct', 'static'];
const INTERFACES = ['eth0', 'cali123', 'vxlan.calico', undefined];

const anyCidr = fc.constantFrom(...PREFIXES[4], ...PREFIXES[6]);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 });
const defined = <T extends object>(value: T): T =>
	Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;

const rule: fc.Arbitrary<FilterRule> = fc
	.record({
		match: fc
			.record({
				within: optional(anyCidr),
				equals: optional(anyCidr),
				notWithin: optional(anyCidr),
				minLength: optional(fc.constantFrom(8, 24)),
				maxLength: optional(fc.constantFrom(24, 32, 112)),
				source: optional(fc.constantFrom(...SOURCES)),
				interface: optional(fc.constantFrom('cali*', '*.calico', 'eth0', 'eth?')),
				family: optional(fc.constantFrom<Family>(4, 6)),
			})
			.map(defined),
		set: optional(
			fc
				.record({
					localPreference: optional(fc.nat(3)),
					addCommunities: optional(fc.constantFrom(['1:1'], ['1:1:1', '2:2'])),
					prependAsPath: optional(fc.constantFrom([1, 2], [3])),
				})
				.map(defined),
		),
		action: optional(fc.constantFrom('accept' as const, 'reject' as const)),
	})
	.map(defined) as fc.Arbitrary<FilterRule>;

/** The filter word by word: undefined rejects. */
function naive(
	filter: RouteFilter,
	prefix: Cidr,
	source: Source,
): { localPreference: number | undefined; prepend: number[]; communities: number } | undefined {
	const { length } = cidrParts(prefix);
	const result: { localPreference: number | undefined; prepend: number[]; communities: number } = {
		localPreference: undefined,
		prepend: [],
		communities: 0,
	};
	for (const { match, set, action } of filter.rules) {
		if (match.within !== undefined && !cidrContains(match.within, prefix)) continue;
		if (match.equals !== undefined && match.equals !== prefix) continue;
		if (match.notWithin !== undefined && cidrContains(match.notWithin, prefix)) continue;
		if (length < (match.minLength ?? 0) || length > (match.maxLength ?? 128)) continue;
		if (match.source !== undefined && match.source !== source.kind) continue;
		if (match.interface !== undefined) {
			const [head, tail] = match.interface.split('*');
			const name = source.interface;
			if (name === undefined || !(tail === undefined ? name === head : name.startsWith(head ?? '') && name.endsWith(tail))) continue;
		}
		if (match.family !== undefined && match.family !== cidrFamily(prefix)) continue;
		if (action === 'reject') return undefined;
		if (set?.localPreference !== undefined) result.localPreference = set.localPreference;
		result.prepend.unshift(...(set?.prependAsPath ?? []));
		result.communities += set?.addCommunities?.length ?? 0;
		if (action === 'accept') return result;
	}
	return filter.otherwise === 'accept' ? result : undefined;
}

test('a compiled filter decides and changes as its rules say, word by word', () => {
	const filter = fc.record({ rules: fc.array(rule, { maxLength: 5 }), otherwise: fc.constantFrom('accept' as const, 'reject' as const) });
	fc.assert(
		fc.property(filter, fc.constantFrom(...SOURCES), fc.constantFrom(...INTERFACES), (definition, kind, name) => {
			const compiled = new CompiledFilter(definition);
			const source: Source = { id: 1, kind, peer: undefined, pathId: 0, interface: name, pathCount: 0 };
			for (const family of [4, 6] as const) {
				const index = new PrefixIndex(family);
				for (const prefix of PREFIXES[family]) {
					const outcome = compiled.evaluate(index, index.internCidr(prefix), source);
					const expected = naive(definition, prefix, source);
					assert.equal(outcome !== REJECTED, expected !== undefined, prefix);
					if (compiled.constant !== undefined) assert.equal(compiled.constant, outcome);
					if (expected === undefined) continue;
					const { localPreference, prepend, communities } = compiled.change(outcome);
					const added = (communities?.standard.length ?? 0) + (communities?.large.length ?? 0);
					assert.deepEqual({ localPreference, prepend, communities: added }, expected);
				}
			}
		}),
		{ numRuns: 3000 },
	);
});

test('equal filters are compiled once and forgotten when no longer configured', () => {
	const cache = new FilterCache();
	const definition = (): RouteFilter => ({ rules: [{ match: { source: 'bgp' }, action: 'reject' }], otherwise: 'accept' });
	const compiled = cache.get(definition());
	assert.equal(cache.get(definition()), compiled);
	cache.retainOnly([definition()]);
	assert.equal(cache.get(definition()), compiled);
	cache.retainOnly([]);
	assert.notEqual(cache.get(definition()), compiled);
});

test('an interface pattern only knows the wildcard', () => {
	assert.ok(interfacePattern('*.calico').test('vxlan.calico'));
	assert.ok(!interfacePattern('*.calico').test('vxlanxcalico'));
	assert.ok(!interfacePattern('eth0').test('eth01'));
	assert.ok(interfacePattern('a+b[*').test('a+b[c'));
	assert.ok(interfacePattern('*').test(''));
});
