import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ip } from '#net';
import type { AnyResource, NetworkPolicy, Rule } from '#resources';
import { PolicyGraph } from './graph.ts';
import { policyId } from './ids.ts';
import { GraphUnderTest, globalPolicy, globalSet, id, namespace, pod, policy, profile, removal, tier, update } from './testing/objects.ts';
import type { Packet } from './types.ts';

const WEB = pod('web', '10.0.0.1', { labels: { app: 'web' }, ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] });
const CLIENT = pod('client', '10.0.0.2', { labels: { app: 'client' }, node: 'node-b' });
const allowFrom = (rule: Partial<Rule>): NetworkPolicy =>
	policy('allow', { selector: "app == 'web'", types: ['Ingress'], ingress: [{ action: 'Allow', ...rule }] });

function packet(source: string, destination: string, more: Partial<Packet> = {}): Packet {
	return { source: ip(source), destination: ip(destination), protocol: 6, sourcePort: 40_000, destinationPort: 8080, ...more };
}

test('nothing is given out before the datastore was seen whole', () => {
	const graph = new PolicyGraph({ nodeName: 'node-a' });
	graph.update([update(WEB), update(namespace('shop'))]);
	const early = graph.flush();
	assert.deepEqual([early.inSync, early.ipSets.size, early.policies.size, early.endpoints.size, early.pools], [false, 0, 0, 0, undefined]);
	graph.setInSync();
	const first = graph.flush();
	assert.equal(first.inSync, true);
	assert.deepEqual([...first.endpoints.keys()], [id('web')]);
	assert.deepEqual(first.pools, { all: [], masquerade: [] });
	const next = graph.flush();
	assert.deepEqual([next.ipSets.size, next.policies.size, next.endpoints.size, next.pools], [0, 0, 0, undefined]);
});

test('only what an endpoint of this node needs is given out', () => {
	const elsewhere = policy('elsewhere', { selector: "app == 'client'", ingress: [{ action: 'Allow', source: { selector: 'has(app)' } }] });
	const { model, ...graph } = new GraphUnderTest(WEB, CLIENT, elsewhere, allowFrom({ source: { selector: "app == 'client'" } }));
	assert.deepEqual([...model.endpoints.keys()], [id('web')]);
	assert.deepEqual([...model.policies.keys()].sort(), ['NetworkPolicy/shop/allow', 'Profile//kns.shop']);
	assert.equal(model.ipSets.size, 1);
	assert.ok(graph.graph.policy(policyId('NetworkPolicy', 'shop', 'elsewhere')) === undefined);
});

test('an object that comes, goes and comes back between two flushes makes no difference', () => {
	const cluster = new GraphUnderTest(WEB, CLIENT, allowFrom({ source: { selector: "app == 'client'" } }));
	const objects = [WEB, CLIENT, namespace('shop'), allowFrom({ source: { selector: "app == 'client'" } })];
	cluster.graph.update(objects.map(removal));
	const delta = cluster.set(...objects);
	assert.deepEqual([delta.endpoints.size, delta.policies.size, delta.ipSets.size], [0, 0, 0]);
});

test('a policy stored under the name of an older release is edited and removed as any other', () => {
	const stored = (rule: Partial<Rule>) => ({
		key: { kind: 'NetworkPolicy', namespace: 'shop', name: 'default.allow' },
		value: allowFrom(rule),
	});
	const graph = new PolicyGraph({ nodeName: 'node-a' });
	graph.update([update(WEB), update(namespace('shop')), stored({ protocol: 'TCP' })]);
	graph.setInSync();
	const policyName = policyId('NetworkPolicy', 'shop', 'default.allow');
	assert.equal(graph.flush().policies.get(policyName)?.ingress[0]?.protocol, 6);
	graph.update([stored({ protocol: 'UDP' })]);
	assert.equal(graph.flush().policies.get(policyName)?.ingress[0]?.protocol, 17);
	graph.update([{ ...stored({}), value: null }]);
	assert.equal(graph.flush().policies.get(policyName), null);
});

test('an edit of a rule changes its policy and sets, and no endpoint', () => {
	const cluster = new GraphUnderTest(WEB, CLIENT, allowFrom({ source: { selector: "app == 'client'" } }));
	const delta = cluster.set(allowFrom({ source: { selector: 'has(app)' } }));
	assert.equal(delta.endpoints.size, 0);
	assert.deepEqual([...delta.policies.keys()], ['NetworkPolicy/shop/allow']);
	assert.deepEqual(
		[...delta.ipSets.values()].map((change) => change?.isNew),
		[true, undefined],
	);
});

test('a pod that joins, moves and leaves changes one member of the sets that select it', () => {
	const cluster = new GraphUnderTest(WEB, allowFrom({ source: { selector: "app == 'client'" } }));
	const setChanges = (...objects: AnyResource[]): unknown => {
		const [change] = [...cluster.set(...objects).ipSets.values()];
		return change === null || change === undefined ? change : [change.added, change.removed];
	};
	assert.deepEqual(setChanges(CLIENT), [['10.0.0.2/32'], []]);
	assert.deepEqual(setChanges(pod('client', '10.0.0.3', { labels: { app: 'client' } })), [['10.0.0.3/32'], ['10.0.0.2/32']]);
	assert.deepEqual(setChanges(pod('client', '10.0.0.3')), [[], ['10.0.0.3/32']]);
	assert.deepEqual(setChanges(pod('client', '10.0.0.3', { labels: { app: 'client', other: 'x' } })), [['10.0.0.3/32'], []]);
	assert.equal(setChanges(pod('client', '10.0.0.3', { labels: { app: 'client', other: 'y' } })), undefined);
});

test('a named port is a set of addresses with protocol and port, which follows the pods', () => {
	const named = (protocol: string | undefined, ports: Rule['destination']): NetworkPolicy =>
		allowFrom({ ...(protocol !== undefined && { protocol }), ...(ports !== undefined && { destination: ports }) });
	const ports = [
		{ name: 'http', protocol: 'TCP', port: 8080 },
		{ name: 'http', protocol: 'UDP', port: 8080 },
		{ name: 'dns', protocol: 'UDP', port: 53 },
		{ name: '', protocol: 'TCP', port: 9 },
	];
	const cluster = new GraphUnderTest(pod('web', '10.0.0.1', { labels: { app: 'web' }, ports }));
	cluster.set(named('TCP', { ports: ['http'] }));
	assert.deepEqual(cluster.members(), ['10.0.0.1,tcp:8080']);
	cluster.set(named(undefined, { ports: ['http'] }));
	assert.deepEqual(cluster.members(), ['10.0.0.1,tcp:8080', '10.0.0.1,udp:8080']);
	cluster.set(named('UDP', { ports: ['dns', 'http'], selector: "app == 'web'" }));
	assert.deepEqual(cluster.members(), ['10.0.0.1,udp:53', '10.0.0.1,udp:8080']);
	cluster.set(named('UDP', { ports: ['dns', 99], selector: "app == 'web'" }));
	assert.deepEqual(cluster.members(), ['10.0.0.1,udp:53', '10.0.0.1/32']);
	cluster.set(pod('web', '10.0.0.1', { labels: { app: 'web' }, ports: [{ name: 'dns', protocol: 'UDP', port: 54 }] }));
	assert.deepEqual(cluster.members(), ['10.0.0.1,udp:54', '10.0.0.1/32']);
});

test('IP sets have the names that Calico gives them', () => {
	const cluster = new GraphUnderTest(
		WEB,
		globalPolicy('g', {
			types: ['Ingress'],
			ingress: [
				{ action: 'Allow', protocol: 'TCP', source: { selector: 'role == "db"' } },
				{ action: 'Allow', protocol: 'TCP', destination: { selector: "role=='db'", ports: ['http'] } },
			],
		}),
	);
	assert.deepEqual([...cluster.model.ipSets.keys()].sort(), [
		'n:v1r2STTlO7TacjeCimdhkpVVM3zO_Bl2xCq5fw',
		's:rV61RKD1Q8wo61pyeB0j2rwE3eiBOFbx0SsYKg',
	]);
});

test('selectors are combined with namespaces and service accounts as Calico combines them', () => {
	const accounts = { names: ['b', 'a'], selector: "x == '1'" };
	const inShop = 'projectcalico.org/namespace == "shop"';
	const table: readonly (readonly [NonNullable<Rule['source']>, string | undefined, string | undefined])[] = [
		[{ selector: "a == '1'" }, `(${inShop} && a == "1")`, 'a == "1"'],
		[{ selector: "a == '1' || has(b)" }, `(${inShop} && (a == "1" || has(b)))`, '(a == "1" || has(b))'],
		[{ notSelector: 'has(b)' }, `(${inShop} && !has(b))`, undefined],
		[{ notSelector: '!has(b)', selector: 'all()' }, `((${inShop} && all()) && has(b))`, '(all() && has(b))'],
		[{ namespaceSelector: "a == '1'" }, 'pcns.a == "1"', 'pcns.a == "1"'],
		[{ namespaceSelector: 'all()' }, 'has(projectcalico.org/namespace)', 'has(projectcalico.org/namespace)'],
		[{ namespaceSelector: 'global()' }, '!has(projectcalico.org/namespace)', '!has(projectcalico.org/namespace)'],
		[{ namespaceSelector: 'all()', selector: 'has(b)' }, '(has(projectcalico.org/namespace) && has(b))', undefined],
		[
			{ serviceAccounts: accounts },
			`(${inShop} && (pcsa.x == "1" && projectcalico.org/serviceaccount in {"a", "b"}))`,
			'(pcsa.x == "1" && projectcalico.org/serviceaccount in {"a", "b"})',
		],
		[
			{ serviceAccounts: { names: ['a'] }, selector: 'has(b)' },
			`(${inShop} && (projectcalico.org/serviceaccount in {"a"} && has(b)))`,
			'(projectcalico.org/serviceaccount in {"a"} && has(b))',
		],
		[{ nets: ['10.0.0.0/8'] }, undefined, undefined],
	];
	for (const [source, namespaced, global] of table) {
		const types = ['Ingress'] as const;
		const ingress: readonly Rule[] = [{ action: 'Allow', source }];
		const texts = (object: AnyResource): (string | undefined)[] => {
			const { graph, model } = new GraphUnderTest(WEB, object);
			return [...model.ipSets.keys()].map((set) => graph.ipSet(set)?.description);
		};
		const expected = (text: string | undefined): string[] => (text === undefined ? [] : [text]);
		assert.deepEqual(texts(policy('p', { types, ingress })), expected(namespaced), JSON.stringify(source));
		if (global !== undefined) assert.deepEqual(texts(globalPolicy('g', { types, ingress })), expected(global), JSON.stringify(source));
	}
});

test('tiers come in order, missing ones last; policies by order, name, namespace and kind', () => {
	const types = ['Ingress'] as const;
	const cluster = new GraphUnderTest(
		WEB,
		tier('late', {}),
		tier('early', { order: 5, defaultAction: 'Pass' }),
		tier('also-early', { order: 5 }),
		tier('unused', { order: 1 }),
		policy('b', { types, tier: 'early', order: 2 }),
		policy('a', { types, tier: 'early', order: 2 }),
		globalPolicy('a', { types, tier: 'early', order: 2 }),
		globalPolicy('z', { types, tier: 'early', order: 1 }),
		policy('first', { types, tier: 'missing' }),
		policy('last', { types, tier: 'late' }),
		policy('x', { types, tier: 'also-early' }),
		policy('y', { types: ['Egress'] }),
		globalPolicy('forward', { types, applyOnForward: true }),
		globalPolicy('untracked', { types, applyOnForward: true, doNotTrack: true }),
		globalPolicy('before-dnat', { types, applyOnForward: true, preDNAT: true }),
	);
	const endpoint = cluster.model.endpoints.get(id('web'));
	const summary = endpoint?.ingress.tiers.map(({ name, defaultAction, policies }) => [name, defaultAction, ...policies]);
	assert.deepEqual(summary, [
		['also-early', 'Deny', 'NetworkPolicy/shop/x'],
		['early', 'Pass', 'GlobalNetworkPolicy//z', 'GlobalNetworkPolicy//a', 'NetworkPolicy/shop/a', 'NetworkPolicy/shop/b'],
		['default', 'Deny', 'GlobalNetworkPolicy//forward'],
		['late', 'Deny', 'NetworkPolicy/shop/last'],
		['missing', 'Deny', 'NetworkPolicy/shop/first'],
	]);
	assert.deepEqual(
		endpoint?.egress.tiers.map(({ name, policies }) => [name, ...policies]),
		[['default', 'NetworkPolicy/shop/y']],
	);
});

test('a pod cannot claim a namespace, a service account or what they hand down by its own labels', () => {
	const liar = pod('liar', '10.0.0.9', {
		labels: { 'pcns.team': 'red', 'pcsa.role': 'admin', 'projectcalico.org/namespace': 'bank', 'projectcalico.org/serviceaccount': 'root' },
	});
	for (const source of [
		{ namespaceSelector: "team == 'red'" },
		{ serviceAccounts: { selector: "role == 'admin'" } },
		{ serviceAccounts: { names: ['root'] } },
		{ namespaceSelector: 'all()', selector: "projectcalico.org/namespace == 'bank'" },
	])
		for (const account of ['guest', 'g'.repeat(63)]) {
			const pods = [WEB, { ...liar, spec: { ...liar.spec, serviceAccountName: account } }];
			assert.deepEqual(new GraphUnderTest(...pods, allowFrom({ source })).members(), [], JSON.stringify(source));
		}
});

test('an endpoint that lists a missing profile is denied there until the profile is back', () => {
	const cluster = new GraphUnderTest(pod('web', '10.0.0.1', { profiles: ['gone', 'projectcalico-default-allow'] }));
	const inbound = packet('192.0.2.1', '10.0.0.1');
	assert.equal(cluster.graph.explain(inbound).allowed, false);
	cluster.set(profile('gone', {}));
	assert.equal(cluster.graph.explain(inbound).allowed, true);
	cluster.remove(profile('gone', {}));
	assert.equal(cluster.graph.explain(inbound).allowed, false);
});

test('an endpoint without addresses is absent; one that cannot be used is absent and reported', () => {
	const table: readonly (readonly [Parameters<typeof pod>[2], RegExp | undefined])[] = [
		[{ ipNetworks: [] }, undefined],
		[{ interfaceName: '' }, /spec\.interfaceName/],
		[{ ipNetworks: ['10.0.0.0/24'] }, /spec\.ipNetworks\[0\]/],
		[{ ipNetworks: ['10.0.0.1/32', 'x'] }, /spec\.ipNetworks\[1\]/],
		[{ mac: 'x' }, /spec\.mac/],
		[{ allowSpoofedSourcePrefixes: ['10.9.0.0/16'] }, /spec\.allowSpoofedSourcePrefixes/],
	];
	for (const [spec, problem] of table) {
		const cluster = new GraphUnderTest(pod('web', '10.0.0.1', spec));
		assert.equal(cluster.model.endpoints.size, 0, JSON.stringify(spec));
		const found = cluster.graph.problems().map(({ path }) => path);
		if (problem === undefined) assert.deepEqual(found, []);
		else assert.match(found.join(), problem);
		cluster.set(pod('web', '10.0.0.1'));
		assert.equal(cluster.model.endpoints.size, 1);
		assert.deepEqual(cluster.graph.problems(), []);
	}
	const trusting = new PolicyGraph({ nodeName: 'node-a', workloadSourceSpoofing: 'Any' });
	trusting.update([update(pod('web', '10.0.0.1', { allowSpoofedSourcePrefixes: ['10.9.1.1/16'] }))]);
	trusting.setInSync();
	trusting.flush();
	assert.deepEqual(trusting.endpoint(id('web'))?.allowedSources, ['10.9.0.0/16']);
});

test('of a rule that cannot be enforced, Allow and Log are left out, Deny and Pass deny everything, and it is reported', () => {
	const broken: readonly (readonly [Partial<Rule>, RegExp])[] = [
		[{ source: { selector: 'a = b' } }, /ingress\[0\]\.source\.selector/],
		[{ source: { notSelector: 'global()' } }, /ingress\[0\]\.source\.notSelector/],
		[{ source: { serviceAccounts: { selector: '(' } } }, /serviceAccounts\.selector/],
		[{ source: { services: { name: 'db' } } }, /source\.services/],
		[{ protocol: 'TCP', http: { methods: ['GET'] } }, /ingress\[0\]\.http/],
		[{ source: { nets: ['10.0.0.0/8', 'x'] } }, /source\.nets\[1\]/],
		[{ protocol: 'TCP', destination: { ports: [80, 0] } }, /destination\.ports\[1\]/],
		[{ protocol: 'TCP', destination: { notPorts: ['3:1'] } }, /destination\.notPorts\[0\]/],
		[{ destination: { ports: [80] } }, /ingress\[0\]\.protocol/],
		[{ protocol: 'ICMP', destination: { ports: ['http'] } }, /destination\.ports\[0\]/],
		[{ protocol: 'TPC' }, /ingress\[0\]\.protocol/],
		[{ notProtocol: 0 }, /ingress\[0\]\.notProtocol/],
		[{ icmp: { type: 8 } }, /ingress\[0\]\.protocol/],
		[{ protocol: 'ICMP', notICMP: { code: 8 } }, /notICMP\.type/],
	];
	for (const [fields, path] of broken)
		for (const action of ['Allow', 'Log', 'Deny', 'Pass'] as const) {
			const ingress: readonly Rule[] = [{ ...fields, action }, { action: 'Allow' }];
			const cluster = new GraphUnderTest(WEB, policy('p', { types: ['Ingress'], ingress }));
			const { allowed, destination } = cluster.graph.explain(packet('192.0.2.1', '10.0.0.1'));
			const denies = action === 'Deny' || action === 'Pass';
			assert.equal(allowed, !denies, `${action} ${path}`);
			assert.equal(destination?.verdict.steps.at(-1)?.rule, denies ? 0 : 1);
			const problems = cluster.graph.problems();
			assert.equal(problems.length, 1);
			assert.equal(problems[0]?.code, 'POLICY_BAD_RULE');
			assert.match(problems[0]?.path ?? '', path);
			assert.match(problems[0]?.path ?? '', /^NetworkPolicy shop\/p: spec\./);
			assert.equal(cluster.model.ipSets.size, 0);
			cluster.remove(policy('p', {}));
			assert.deepEqual(cluster.graph.problems(), []);
		}
});

test('a policy whose selector cannot be read stays as it was, and denies what the rest of it selects if it is new', () => {
	const good = policy('p', { selector: "app == 'web'", types: ['Ingress'], ingress: [{ action: 'Allow' }] });
	const bad = policy('p', { selector: "app = 'web'", types: ['Ingress'], ingress: [{ action: 'Allow' }] });
	const inbound = packet('192.0.2.1', '10.0.0.1');

	const kept = new GraphUnderTest(WEB, good);
	const delta = kept.set(bad);
	assert.deepEqual([delta.policies.size, delta.endpoints.size, kept.graph.explain(inbound).allowed], [0, 0, true]);
	assert.deepEqual(
		kept.graph.problems().map(({ code }) => code),
		['POLICY_BAD_SELECTOR'],
	);
	assert.match(kept.graph.problems()[0]?.message ?? '', /as it was before stays/);

	const fresh = new GraphUnderTest(WEB, pod('other', '10.0.0.3', { namespace: 'bank' }), namespace('bank'), bad);
	assert.equal(fresh.graph.explain(inbound).allowed, false);
	assert.equal(fresh.graph.explain(packet('192.0.2.1', '10.0.0.3')).allowed, true);
	assert.equal(fresh.graph.explain(packet('10.0.0.1', '192.0.2.1')).allowed, true);
	fresh.set(good);
	assert.equal(fresh.graph.explain(inbound).allowed, true);
	assert.deepEqual(fresh.graph.problems(), []);
});

test('networks that cannot be read are left out of a set and reported', () => {
	const cluster = new GraphUnderTest(WEB, globalSet('nets', { app: 'x' }, ['10.1.2.3/16', 'x', '10.1.0.9']));
	cluster.set(globalPolicy('g', { types: ['Ingress'], ingress: [{ action: 'Allow', source: { selector: "app == 'x'" } }] }));
	assert.deepEqual(cluster.members(), ['10.1.0.0/16']);
	assert.deepEqual(
		cluster.graph.problems().map(({ path }) => path),
		['GlobalNetworkSet nets: spec.nets[1]'],
	);
});

test('pools are those of workloads, disabled ones included', () => {
	const pool = (name: string, spec: object): AnyResource => ({
		apiVersion: 'projectcalico.org/v3',
		kind: 'IPPool',
		metadata: { name },
		spec: { cidr: '10.0.0.0/16', ...spec },
	});
	const cluster = new GraphUnderTest(
		pool('a', { natOutgoing: true, disabled: true }),
		pool('b', { cidr: 'fd00::/64' }),
		pool('c', { cidr: '10.9.0.0/16', allowedUses: ['LoadBalancer'] }),
	);
	assert.deepEqual(cluster.model.pools, { all: ['10.0.0.0/16', 'fd00::/64'], masquerade: ['10.0.0.0/16'] });
	assert.equal(cluster.set(pool('a', { natOutgoing: true })).pools, undefined);
	assert.deepEqual(cluster.remove(pool('a', {})).pools, { all: ['fd00::/64'], masquerade: [] });
});

test('a policy that is needed on every node is given out where it selects nobody', () => {
	const hinted = policy('p', {
		selector: "app == 'elsewhere'",
		performanceHints: ['AssumeNeededOnEveryNode'],
		ingress: [{ action: 'Allow', source: { selector: 'has(app)' } }],
	});
	const graph = new PolicyGraph({ nodeName: 'node-a' });
	graph.update([update(hinted)]);
	graph.setInSync();
	const delta = graph.flush();
	assert.deepEqual([...delta.policies.keys()], ['NetworkPolicy/shop/p']);
	assert.equal(delta.ipSets.size, 1);
});
