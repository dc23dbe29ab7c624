import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NftSocket } from '#kernel';
import { DEFAULT_RENDER_OPTIONS } from '../../src/dataplane/render/options.ts';
import { DesiredTables } from '../../src/dataplane/table/desired-tables.ts';
import { TableWriter } from '../../src/dataplane/table/table-writer.ts';
import { anyState, deltaBetween, EMPTY_STATE } from '../../src/dataplane/testing/arbitrary-state.ts';
import { NamespaceBed } from '../support/netns.ts';

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const anyOptions = fc.record({
	endpointToHostAction: fc.constantFrom('Drop' as const, 'Accept' as const, 'Return' as const),
	denyAction: fc.constantFrom('Drop' as const, 'Reject' as const),
	dropInvalid: fc.boolean(),
	blockedVxlanPort: fc.constantFrom(undefined, 4789),
	logPrefix: fc.constantFrom('calico-packet', '%k %p in %t'),
	logGroup: fc.constantFrom(undefined, 0, 7),
});

test('random changes are taken by the kernel as differences, which leaves it with exactly the wanted tables', () => {
	using bed = new NamespaceBed();
	const namespace = bed.makeNamespace('tables');
	using nft = new NftSocket({ namespaceFd: namespace.fd });
	const refusals: string[] = [];
	const logger = { ...quiet, warn: (fields: object, message: string) => void refusals.push(`${message} ${JSON.stringify(fields)}`) };
	fc.assert(
		fc.property(fc.array(anyState, { minLength: 1, maxLength: 6 }), anyOptions, (states, options) => {
			const tables = new DesiredTables({ ...DEFAULT_RENDER_OPTIONS, ...options });
			const writer = new TableWriter({ nft, logger }, tables.models);
			let before = EMPTY_STATE;
			for (const state of states) {
				tables.apply(deltaBetween(before, state));
				before = state;
				writer.write();
				assert.deepEqual(refusals, []);
				assert.equal(writer.reconcile('all').operations, 0, 'a listing shows no difference');
			}
		}),
		{ numRuns: 60 },
	);
});

test('nft loads again what it lists of our tables, so that a saved ruleset does not break the next boot', () => {
	using bed = new NamespaceBed();
	const namespace = bed.makeNamespace('tables');
	using nft = new NftSocket({ namespaceFd: namespace.fd });
	for (const state of fc.sample(anyState, { numRuns: 40, seed: 5 })) {
		const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
		tables.apply(deltaBetween(EMPTY_STATE, state));
		const writer = new TableWriter({ nft, logger: quiet }, tables.models);
		writer.write();
		const listed = namespace.exec('nft', 'list', 'ruleset');
		namespace.exec('nft', `flush ruleset; ${listed}`);
		// ranges that touch become one in a constant set as nft loads it
		const withoutConstants = (ruleset: string): string => ruleset.replaceAll(/(?<!elements = )\{ [^}]* \}/g, '{}');
		assert.equal(withoutConstants(namespace.exec('nft', 'list', 'ruleset')), withoutConstants(listed));
	}
});

test('a hundred thousand members: loading, one more, and a listing of all', (context) => {
	using bed = new NamespaceBed();
	const namespace = bed.makeNamespace('tables');
	using nft = new NftSocket({ namespaceFd: namespace.fd });
	const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
	const writer = new TableWriter({ nft, logger: quiet }, tables.models);
	const members = Array.from({ length: 100_000 }, (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`);
	const timed = (what: string, run: () => void): void => {
		const started = performance.now();
		run();
		context.diagnostic(`${what}: ${(performance.now() - started).toFixed(2)} ms`);
	};
	for (const [kind, first] of [
		['hosts', members],
		['hosts and a prefix', ['11.0.0.0/8', ...members]],
	] as const) {
		tables.apply(setOf(first, true));
		timed(`${kind}: load`, () => writer.write());
		for (let round = 0; round < 3; round++) {
			tables.apply(setOf([`12.0.0.${round}/32`], false));
			timed(`${kind}: one more`, () => writer.write());
		}
		timed(`${kind}: compare all`, () => assert.equal(writer.reconcile('all').operations, 0));
	}
});

/** An IP set used by a policy of an endpoint; all of it, or members to add. */
function setOf(added: readonly string[], isNew: boolean): Parameters<DesiredTables['apply']>[0] {
	const none = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [], namedPorts: [], notNamedPorts: [] };
	const list = { tiers: [{ name: 'default', defaultAction: 'Deny', policies: ['GlobalNetworkPolicy//p'] }], profiles: [] };
	const rules = [{ action: 'Allow', source: { ...none, sets: ['s:all'] }, destination: none, index: 0 }];
	const policy = { id: 'GlobalNetworkPolicy//p', tier: 'default', ingress: rules, egress: [] };
	const endpoint = { id: 'a/b', interfaceName: 'cali1', nets: ['10.0.0.1/32'], allowedSources: [], ingress: list, egress: list };
	return {
		ipSets: new Map([['s:all', { type: 'net', isNew, added, removed: [] }]]),
		policies: new Map(isNew ? [[policy.id, policy]] : []),
		endpoints: new Map(isNew ? [[endpoint.id, endpoint]] : []),
		inSync: true,
	} as unknown as Parameters<DesiredTables['apply']>[0];
}
