import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKubernetesNetworkPolicy, parseKubernetesNetworkPolicy, ResourceInvalidError } from './index.ts';

const PORT = 'a port from 1 to 65535, or the name of a container port: at most 15 lower-case letters, digits and -';

const POLICY = {
	apiVersion: 'networking.k8s.io/v1',
	kind: 'NetworkPolicy',
	metadata: { name: 'web', namespace: 'prod' },
	spec: {
		podSelector: { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }] },
		policyTypes: ['Ingress', 'Egress'],
		ingress: [
			{
				from: [
					{ podSelector: {}, namespaceSelector: { matchExpressions: [{ key: 'x', operator: 'Exists' }] } },
					{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
				],
				ports: [{ protocol: 'UDP', port: 53 }, { port: 'http' }, { port: 8000, endPort: 8100 }, {}],
			},
			{},
		],
		egress: [{ to: [{ ipBlock: { cidr: '2001:db8::/32' } }] }],
	},
};

test('a NetworkPolicy of Kubernetes is read as it was written, in its namespace or in default', () => {
	assert.deepEqual(parseKubernetesNetworkPolicy(POLICY), POLICY);
	const bare = parseKubernetesNetworkPolicy({ ...POLICY, metadata: { name: 'web' }, status: { conditions: [] } });
	assert.deepEqual(bare.metadata, { name: 'web', namespace: 'default' });
	assert.ok(isKubernetesNetworkPolicy(POLICY));
	assert.ok(!isKubernetesNetworkPolicy({ ...POLICY, apiVersion: 'projectcalico.org/v3' }));
	assert.ok(!isKubernetesNetworkPolicy(null));
});

test('what the API server of Kubernetes would refuse is refused, with the same place', () => {
	const table: readonly (readonly [object, string])[] = [
		[{ apiVersion: 'v1' }, 'apiVersion: networking.k8s.io/v1'],
		[{ kind: 'Pod' }, 'kind: NetworkPolicy'],
		[{ extra: 1 }, 'extra: one of the fields apiVersion, kind, metadata, spec'],
		[{ spec: undefined }, 'spec: an object'],
		[{ metadata: {} }, 'metadata.name: a text'],
		[spec({ podSelectr: {} }), 'spec.podSelectr: one of the fields podSelector, policyTypes, ingress, egress'],
		[spec({ policyTypes: ['ingress'] }), 'spec.policyTypes[0]: one of Ingress, Egress'],
		[from({}), 'spec.ingress[0].from[0]: at least one of podSelector, namespaceSelector and ipBlock'],
		[
			from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }),
			'spec.ingress[0].from[0].ipBlock: nothing, as a pod or namespace selector is set',
		],
		[from({ ipBlock: { cidr: '10.0.0.0' } }), 'spec.ingress[0].from[0].ipBlock.cidr: a CIDR, such as 10.0.0.0/8'],
		[from({ ipBlock: {} }), 'spec.ingress[0].from[0].ipBlock.cidr: a CIDR, such as 10.0.0.0/8'],
		[
			from({ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }),
			'spec.ingress[0].from[0].ipBlock.except[0]: a network inside 10.0.0.0/8, and smaller',
		],
		[
			from({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }),
			'spec.ingress[0].from[0].ipBlock.except[0]: a network inside 10.0.0.0/8, and smaller',
		],
		[
			from({ ipBlock: { cidr: '10.0.0.0/8', except: ['2001:db8::/48'] } }),
			'spec.ingress[0].from[0].ipBlock.except[0]: a network inside 10.0.0.0/8, and smaller',
		],
		[
			from({ podSelector: { matchExpressions: [{ key: 'a', operator: 'Equals' }] } }),
			'spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: one of In, NotIn, Exists, DoesNotExist',
		],
		[
			from({ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }),
			'spec.ingress[0].from[0].podSelector.matchExpressions[0].values: at least one value, as operator is In',
		],
		[
			from({ namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['x'] }] } }),
			'spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values: no values, as operator is Exists',
		],
		[
			spec({ podSelector: { matchLabels: { a: "x' || all()" } } }),
			'spec.podSelector.matchLabels.a: at most 63 letters, digits, -, _ and ., with a letter or digit at both ends, or nothing',
		],
		[ports({ protocol: 'ICMP' }), 'spec.ingress[0].ports[0].protocol: one of TCP, UDP, SCTP'],
		[ports({ port: 0 }), `spec.ingress[0].ports[0].port: ${PORT}`],
		[ports({ port: '80' }), `spec.ingress[0].ports[0].port: ${PORT}`],
		[ports({ port: 'Http' }), `spec.ingress[0].ports[0].port: ${PORT}`],
		[ports({ port: 'a-name-of-16-chr' }), `spec.ingress[0].ports[0].port: ${PORT}`],
		[ports({ port: 'http', endPort: 90 }), 'spec.ingress[0].ports[0].endPort: nothing, as port is not a number'],
		[ports({ endPort: 90 }), 'spec.ingress[0].ports[0].endPort: nothing, as port is not a number'],
		[ports({ port: 91, endPort: 90 }), 'spec.ingress[0].ports[0].endPort: at least 91, which is port'],
	];
	for (const [change, expected] of table)
		assert.throws(
			() => parseKubernetesNetworkPolicy({ ...POLICY, ...change }, { path: 'items[0].' }),
			(error) => {
				assert.ok(error instanceof ResourceInvalidError);
				assert.deepEqual(
					error.problems.map(({ path, allowed }) => `${path}: ${allowed}`),
					[`items[0].${expected}`],
				);
				return true;
			},
		);
});

function spec(fields: object): object {
	return { spec: fields };
}

function from(peer: object): object {
	return spec({ ingress: [{ from: [peer] }] });
}

function ports(port: object): object {
	return spec({ ingress: [{ ports: [port] }] });
}
