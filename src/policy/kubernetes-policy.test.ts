import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubernetesNetworkPolicy, NetworkPolicy } from '#resources';
import { convertKubernetesPolicy } from './kubernetes-policy.ts';

type Spec = KubernetesNetworkPolicy['spec'];

const K8S = "projectcalico.org/orchestrator == 'k8s'";

function convert(spec: unknown): { readonly spec: NetworkPolicy['spec']; readonly problems: readonly string[] } {
	const problems: string[] = [];
	const policy = convertKubernetesPolicy({ metadata: { name: 'web', namespace: 'shop' }, spec: spec as Spec }, ({ path, message }) =>
		problems.push(`${path}: ${message}`),
	);
	assert.deepEqual(policy.metadata, { name: 'knp.default.web', namespace: 'shop' });
	return { spec: policy.spec, problems };
}

test('the pods, directions and place of a policy', () => {
	const table: readonly (readonly [Spec, Partial<NetworkPolicy['spec']>])[] = [
		[{ podSelector: {} }, { selector: K8S, types: ['Ingress'], tier: 'default', order: 1000, ingress: [], egress: [] }],
		[{ podSelector: {}, policyTypes: ['Egress', 'Ingress'] }, { types: ['Ingress', 'Egress'] }],
		[
			{ podSelector: {}, policyTypes: ['Egress'], ingress: [{}] },
			{ types: ['Egress'], ingress: [] },
		],
		[
			{ podSelector: {}, policyTypes: ['Ingress'], egress: [{}] },
			{ types: ['Ingress'], egress: [] },
		],
		[
			{ podSelector: {}, egress: [{}] },
			{ types: ['Ingress', 'Egress'], egress: [{ action: 'Allow' }] },
		],
		[{ podSelector: { matchLabels: { b: '2', a: '1' } } }, { selector: `${K8S} && a == '1' && b == '2'` }],
		[
			{
				podSelector: {
					matchLabels: { z: '1' },
					matchExpressions: [
						{ key: 'd', operator: 'In', values: ['x', 'y'] },
						{ key: 'c', operator: 'NotIn', values: ['x'] },
						{ key: 'b', operator: 'Exists' },
						{ key: 'a', operator: 'DoesNotExist' },
					],
				},
			},
			{ selector: `${K8S} && z == '1' && d in { 'x', 'y' } && c not in { 'x' } && has(b) && ! has(a)` },
		],
	];
	for (const [input, expected] of table) {
		const { spec, problems } = convert(input);
		assert.deepEqual(problems, []);
		assert.deepEqual({ ...spec, ...expected }, spec, JSON.stringify(input));
	}
});

test('the peers and ports of a rule', () => {
	const all = { selector: K8S };
	const table: readonly (readonly [NonNullable<Spec['ingress']>[number], NetworkPolicy['spec']['ingress']])[] = [
		[{}, [{ action: 'Allow' }]],
		[{ from: [], ports: [] }, [{ action: 'Allow' }]],
		[{ from: [{ podSelector: {} }] }, [{ action: 'Allow', source: all }]],
		[{ from: [{ namespaceSelector: {} }] }, [{ action: 'Allow', source: { ...all, namespaceSelector: 'all()' } }]],
		[
			{ from: [{ podSelector: { matchLabels: { a: '1' } }, namespaceSelector: { matchLabels: { b: '2' } } }] },
			[{ action: 'Allow', source: { selector: `${K8S} && a == '1'`, namespaceSelector: "b == '2'" } }],
		],
		[
			{ from: [{ ipBlock: { cidr: '10.1.2.3/8', except: ['10.1.2.3/16'] }, podSelector: {} }] },
			[{ action: 'Allow', source: { nets: ['10.0.0.0/8'], notNets: ['10.1.0.0/16'] } }],
		],
		[{ ports: [{}] }, [{ action: 'Allow', protocol: 'TCP' }]],
		[{ ports: [{ protocol: 'UDP', port: 53 }] }, [{ action: 'Allow', protocol: 'UDP', destination: { ports: [53] } }]],
		[
			{ ports: [{ port: 80 }, { protocol: 'SCTP', port: 7 }, { port: 'http' }], from: [{ podSelector: {} }, { namespaceSelector: {} }] },
			[
				{ action: 'Allow', protocol: 'SCTP', source: all, destination: { ports: [7] } },
				{ action: 'Allow', protocol: 'SCTP', source: { ...all, namespaceSelector: 'all()' }, destination: { ports: [7] } },
				{ action: 'Allow', protocol: 'TCP', source: all, destination: { ports: [80, 'http'] } },
				{ action: 'Allow', protocol: 'TCP', source: { ...all, namespaceSelector: 'all()' }, destination: { ports: [80, 'http'] } },
			],
		],
		[{ ports: [{ port: 80 }, {}, { port: 81 }] }, [{ action: 'Allow', protocol: 'TCP' }]],
		[
			{ ports: [{ port: 90 }, { port: 80, endPort: 85 }, { port: 'web' }, { port: 86 }, { port: 84, endPort: 88 }] },
			[{ action: 'Allow', protocol: 'TCP', destination: { ports: ['web', '80:88', 90] } }],
		],
	];
	for (const [rule, expected] of table) {
		const { spec, problems } = convert({ podSelector: {}, ingress: [rule] });
		assert.deepEqual(problems, []);
		assert.deepEqual(spec.ingress, expected, JSON.stringify(rule));
	}
	const { spec } = convert({ podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }], ports: [{ port: 80 }] }] });
	assert.deepEqual(spec.egress, [{ action: 'Allow', protocol: 'TCP', destination: { selector: K8S, ports: [80] } }]);
});

test('what cannot be converted allows nothing and is reported', () => {
	const good = { podSelector: {} };
	const table: readonly (readonly [unknown, number, RegExp])[] = [
		[{ from: [{ ipBlock: { cidr: '10.0.0.0/99' } }] }, 0, /from\[0\]\.ipBlock\.cidr/],
		[{ from: [{ ipBlock: { cidr: '10.0.0.0/99' } }, good] }, 1, /from\[0\]\.ipBlock\.cidr/],
		[{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/16', 'x'] } }] }, 0, /except\[1\]/],
		[{ ports: [{ port: 80, endPort: 79 }] }, 0, /ports\[0\]/],
		[{ ports: [{ endPort: 79 }] }, 0, /ports\[0\]\.endPort/],
		[{ ports: [{ port: 'http', endPort: 79 }, { port: 80 }] }, 0, /ports\[0\]/],
		[{ ports: [{ port: 0 }] }, 0, /ports\[0\]/],
		[{ ports: [{ port: 80, protocol: 'ICMP' }] }, 0, /ports\[0\]\.protocol/],
		[{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } }] }, 0, /operator/],
		[{ from: [{ podSelector: { matchLabels: { a: "' || all() || a == '" } } }] }, 0, /podSelector/],
		[{ from: [{ podSelector: { matchLabels: { 'a) || has(b': '' } } }] }, 0, /matchLabels/],
	];
	for (const [rule, rules, path] of table) {
		const { spec, problems } = convert({ podSelector: {}, ingress: [rule, {}] });
		assert.equal(spec.ingress?.length, rules + 1, JSON.stringify(rule));
		assert.match(problems.join('\n'), path);
		assert.match(problems.join('\n'), /NetworkPolicy shop\/web: spec\.ingress\[0\]/);
	}
	const { spec, problems } = convert({ podSelector: { matchLabels: { "'": 'x' } }, ingress: [{}] });
	assert.deepEqual(spec.ingress, []);
	assert.equal(spec.selector, K8S);
	assert.equal(problems.length, 1);
});

test('nothing that JSON can hold in place of labels, peers and ports makes the conversion throw', () => {
	const json = fc.oneof(
		fc.string(),
		fc.constantFrom<unknown>(null, true, -1, 0, 1.5, 70_000, 'In', 'TCP', '10.0.0.0/8', '80:1', {}, [], [null]),
	);
	const labels = fc.record({
		matchLabels: fc.dictionary(fc.string(), json),
		matchExpressions: fc.array(fc.record({ key: json, operator: json, values: fc.array(json) })),
	});
	const peer = fc.record(
		{ podSelector: labels, namespaceSelector: labels, ipBlock: fc.record({ cidr: json, except: fc.array(json) }) },
		{ requiredKeys: [] },
	);
	const port = fc.record({ protocol: json, port: json, endPort: json }, { requiredKeys: [] });
	const rule = fc.record({ from: fc.array(peer), to: fc.array(peer), ports: fc.array(port) });
	fc.assert(
		fc.property(
			fc.record({ podSelector: labels, policyTypes: fc.array(json), ingress: fc.array(rule), egress: fc.array(rule) }),
			(spec) => {
				convert(spec);
			},
		),
		{ numRuns: 100 },
	);
});
