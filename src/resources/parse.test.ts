import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explainError } from '#errors';
import {
	type AnyResource,
	applyDefaults,
	decodeStored,
	encodeStored,
	explainProblem,
	KIND_NAMES,
	type KindName,
	kindOf,
	parseKubernetesNetworkPolicy,
	parseResource,
	ResourceInvalidError,
	resourceError,
} from './index.ts';
import { EXAMPLES } from './testing/examples.ts';

for (const name of KIND_NAMES) {
	test(`a valid ${name} is read as it was written, and comes back from the datastore as it went in`, () => {
		const example: AnyResource = EXAMPLES[name];
		assert.deepEqual(parseResource(example), example);
		const stored = JSON.parse(JSON.stringify(encodeStored(example))) as { metadata: object };
		const { labels, ...metadata } = decodeStored(name, stored).metadata;
		assert.deepEqual(metadata, withoutLabels(example));
		assert.deepEqual(labels ?? {}, { ...example.metadata.labels, ...kindOf(name).storedAs.labels(example) });
		assert.deepEqual(decodeStored(name, stored).spec, example.spec);
		const filled = applyDefaults(example);
		assert.deepEqual(applyDefaults(filled), filled);
		assert.deepEqual(parseResource(filled), JSON.parse(JSON.stringify(filled)));
	});

	test(`fields of a ${name} that a later release added survive a round trip through us`, () => {
		const example = JSON.parse(JSON.stringify(encodeStored(EXAMPLES[name]))) as Record<string, Record<string, unknown>>;
		const later = {
			...example,
			metadata: { ...example['metadata'], laterMeta: { deep: [null, 1] } },
			spec: { ...example['spec'], laterField: { nested: [{ a: null }] } },
			laterRoot: [1, { b: null }],
			status: { ...example['status'], laterStatus: 'x' },
		};
		const again = JSON.parse(JSON.stringify(encodeStored(decodeStored(name, later)))) as typeof later;
		assert.deepEqual(again, { ...later, metadata: { ...later.metadata, creationTimestamp: null } });
	});
}

test('the datastore keeps a policy with its tier as a label and its name as an annotation, and no revision', () => {
	const stored = encodeStored({
		...EXAMPLES.NetworkPolicy,
		metadata: { ...EXAMPLES.NetworkPolicy.metadata, resourceVersion: '17', uid: 'u', labels: { a: 'b' }, selfLink: '/x' },
	});
	assert.deepEqual(stored['metadata'], {
		name: 'allow-web',
		namespace: 'prod',
		uid: 'u',
		creationTimestamp: null,
		labels: { a: 'b', 'projectcalico.org/tier': 'default' },
		annotations: { 'projectcalico.org/metadata': '{"name":"allow-web"}' },
	});
	assert.equal(stored['kind'], 'NetworkPolicy');
	assert.equal(stored['apiVersion'], 'projectcalico.org/v3');
});

test('the datastore keeps a workload endpoint with labels for its namespace and orchestrator', () => {
	const { labels } = encodeStored(EXAMPLES.WorkloadEndpoint)['metadata'] as { labels: unknown };
	assert.deepEqual(labels, { 'projectcalico.org/namespace': 'default', 'projectcalico.org/orchestrator': 'k8s' });
});

test('the name of a stored policy is that of its annotation, else the stored one without the old prefix', () => {
	const table: readonly (readonly [string, string | undefined, string | undefined, string])[] = [
		['default.web', '{"name":"web"}', 'default', 'web'],
		['default.web', '{"name":"default.web"}', 'default', 'default.web'],
		['default.web', undefined, 'default', 'web'],
		['default.web', undefined, undefined, 'web'],
		['default.web', 'no json', '', 'web'],
		['default.web', '["name"]', '', 'web'],
		['default.web', undefined, 'security', 'default.web'],
		['web', undefined, 'default', 'web'],
		['knp.default.web', undefined, 'default', 'knp.default.web'],
	];
	for (const [name, annotation, tier, expected] of table) {
		const { metadata } = decodeStored('NetworkPolicy', {
			metadata: { name, namespace: 'n', annotations: annotation === undefined ? null : { 'projectcalico.org/metadata': annotation } },
			spec: { tier },
		});
		assert.equal(metadata.name, expected);
		assert.equal(metadata.annotations, undefined);
	}
});

test('what older releases wrote is read in the words of today', () => {
	const spec = (stored: unknown): unknown => decodeStored('IPPool', { metadata: { name: 'p' }, spec: stored }).spec;
	const cidr = '10.0.0.0/16';
	assert.deepEqual(spec({ cidr, ipip: { enabled: true, mode: 'cross-subnet' }, 'nat-outgoing': true }), {
		cidr,
		natOutgoing: true,
		ipipMode: 'CrossSubnet',
	});
	assert.deepEqual(spec({ cidr, ipip: { enabled: true }, 'nat-outgoing': false }), { cidr, natOutgoing: false, ipipMode: 'Always' });
	assert.deepEqual(spec({ cidr, ipip: { enabled: false, mode: 'always' } }), { cidr, ipipMode: 'Never' });
	assert.deepEqual(spec({ cidr, ipip: { enabled: true }, ipipMode: 'Never', natOutgoing: null }), { cidr, ipipMode: 'Never' });
	assert.deepEqual(spec({ cidr, ipipMode: '', vxlanMode: null }), { cidr });

	const rule = { action: 'Allow', protocol: 'tcp', notProtocol: '17', source: null };
	assert.deepEqual(decodeStored('Profile', { metadata: { name: 'p' }, spec: { ingress: [rule], egress: null } }).spec, {
		ingress: [{ action: 'Allow', protocol: 'TCP', notProtocol: 17 }],
	});
	assert.equal(decodeStored('BGPPeer', { metadata: { name: 'p' }, spec: { peerIP: '192.0.2.1', asNumber: '1.10' } }).spec.asNumber, 65_546);
	assert.deepEqual(decodeStored('BGPPeer', { metadata: { name: 'p', creationTimestamp: null } }).spec, {});
	assert.equal(
		decodeStored('FelixConfiguration', { metadata: { name: 'p' }, spec: { logSeverityFile: 'debug' } }).spec.logSeverityFile,
		'Debug',
	);
	assert.equal(
		decodeStored('FelixConfiguration', { metadata: { name: 'p' }, spec: { bpfKubeProxyEndpointSlicesEnabled: true } }).spec
			.bpfKubeProxyEndpointSlicesEnabled,
		true,
	);
});

test('limits that came with later releases do not make what is stored invalid, names neither', () => {
	const nets = Array.from({ length: 300 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
	const selector = `a == "${'x'.repeat(1100)}"`;
	const spec = { selector, ingress: [{ action: 'Deny', source: { nets: [...nets, nets[0]] } }] };
	const stored = { metadata: { name: 'A_b', namespace: 'n', labels: { 'not/a/label': '#' } }, spec };
	assert.deepEqual(decodeStored('NetworkPolicy', stored).spec, spec);
	const named = { ...EXAMPLES.WorkloadEndpoint, metadata: { name: 'older', namespace: 'n' } };
	assert.equal(decodeStored('WorkloadEndpoint', named).metadata.name, 'older');
	assert.deepEqual(problemsOf({ ...stored, apiVersion: 'projectcalico.org/v3', kind: 'NetworkPolicy' }), [
		'spec.selector: found "a == \\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…; allowed: at most 1024 characters',
		'spec.ingress[0].source.nets[300]: found "10.0.0.0/24"; allowed: each value once',
		'spec.ingress[0].source.nets: found a list of 301; allowed: a list of at most 256',
	]);
});

test('what is stored and invalid is refused by name, so that nobody acts on what he misreads', () => {
	assert.throws(
		() => decodeStored('NetworkPolicy', { metadata: { name: 'web', namespace: 'n' }, spec: { selector: 'a = "b"', order: 'low' } }),
		(error) => {
			assert.ok(error instanceof ResourceInvalidError);
			assert.deepEqual(
				error.problems.map(({ path }) => path),
				['spec.order', 'spec.selector'],
			);
			return true;
		},
	);
	for (const value of [null, undefined, 7, 'text', [], true])
		assert.throws(
			() => decodeStored('Node', value),
			(error) => resourceError.is(error, 'RESOURCE_INVALID'),
		);
});

test('an error with one problem has its path, and one with many lists them', () => {
	assert.equal(
		explainError(errorOf({ ...EXAMPLES.IPPool, spec: { cidr: '10.0.0.1/8' } })),
		'spec.cidr: IPPool default-ipv4-ippool is invalid: found "10.0.0.1/8"; allowed: a CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32; did you mean 10.0.0.0/8? [RESOURCE_INVALID]',
	);
	assert.equal(
		explainError(errorOf({ ...EXAMPLES.NetworkPolicy, spec: { order: 'x', tier: 'A' } })),
		'NetworkPolicy prod/allow-web has 2 problems: (1) spec.tier: found "A"; allowed: at most 253 lower-case letters, digits, - and ., each part between dots with a letter or digit at both ends; (2) spec.order: found "x"; allowed: a number [RESOURCE_INVALID]',
	);
	const many = errorOf({ ...EXAMPLES.NetworkSet, spec: { nets: Array.from({ length: 500 }, () => 'x') } });
	assert.equal(many.problems.length, 100);
	const crossed = Array.from({ length: 500 }, () => ({ action: 'Allow', protocol: 'ICMP', ipVersion: 6 }));
	assert.equal(errorOf({ ...EXAMPLES.NetworkPolicy, spec: { ingress: crossed } }).problems.length, 100);
	assert.match(many.message, /\(10\) spec\.nets\[9\]: [^(]*; …$/);
});

test('paths can be given a beginning, and objects without a namespace a default one', () => {
	const { name } = EXAMPLES.NetworkSet.metadata;
	const bare = { ...EXAMPLES.NetworkSet, metadata: { name, namespace: '' } };
	assert.deepEqual(parseResource(bare, { defaultNamespace: 'default' }).metadata, { name, namespace: 'default' });
	assert.deepEqual(parseResource(EXAMPLES.Tier, { defaultNamespace: 'default' }), EXAMPLES.Tier);
	assert.throws(
		() => parseResource(bare, { path: 'items[2].' }),
		(error) => error instanceof ResourceInvalidError && error.path === 'items[2].metadata.namespace',
	);
});

test('no JSON whatever makes a parser fail with anything but the error of this room', () => {
	const scalar = fc.oneof(
		fc.constantFrom<unknown>('10.0.0.0/8', '::/0', 'TCP', 'all()', 'Allow', 80, '1:2', '', null, -1, 1.5, 1e300, true, 'default'),
		fc.string({ maxLength: 8 }),
		fc.double(),
	);
	const key = fc.constantFrom(
		...new Set(KIND_NAMES.flatMap((name) => namesIn(EXAMPLES[name]))),
		'__proto__',
		'constructor',
		'toString',
		'matchLabels',
		'podSelector',
		'ipBlock',
		'from',
		'except',
	);
	const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
		value: fc.oneof(
			{ maxDepth: 5, depthSize: 'medium' },
			scalar,
			fc.array(tie('value'), { maxLength: 3 }),
			fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
		),
	}));
	const examples = fc.constantFrom(...KIND_NAMES);
	fc.assert(
		fc.property(examples, anyValue, fc.array(fc.tuple(fc.nat(30), anyValue), { maxLength: 3 }), (name, value, replacements) => {
			for (const candidate of [value, replaced(EXAMPLES[name], replacements), { ...EXAMPLES[name], spec: value }])
				for (const parse of [
					parseResource,
					parseKubernetesNetworkPolicy,
					(content: unknown) => encodeStored(decodeStored<KindName>(name, content)),
					(content: unknown) => applyDefaults(parseResource(content)),
				])
					try {
						parse(candidate);
					} catch (error) {
						assert.ok(error instanceof ResourceInvalidError, explainError(error));
						assert.ok(error.problems.length > 0);
						for (const problem of error.problems) assert.ok(explainProblem(problem).length > 0);
					}
		}),
		{ numRuns: 1500 },
	);
});

test('a name from JSON that means something to the engine stays a name', () => {
	const hostile = JSON.parse('{"metadata":{"name":"n","annotations":{"__proto__":{"x":1}}},"spec":{"__proto__":{"order":1}}}') as unknown;
	assert.throws(
		() => decodeStored('Tier', hostile),
		(error) => error instanceof ResourceInvalidError && error.path === 'metadata.annotations.__proto__',
	);
	const kept = decodeStored('Tier', JSON.parse('{"metadata":{"name":"n"},"spec":{"__proto__":{"order":1}}}'));
	assert.equal(kept.spec.order, undefined);
	assert.ok(Object.hasOwn(kept.spec, '__proto__'));
});

function errorOf(value: unknown): ResourceInvalidError {
	try {
		parseResource(value);
	} catch (error) {
		if (error instanceof ResourceInvalidError) return error;
	}
	throw new assert.AssertionError({ message: 'the resource was accepted' });
}

function problemsOf(value: unknown): string[] {
	return errorOf(value).problems.map(explainProblem);
}

function withoutLabels({ metadata: { labels: _labels, ...rest } }: AnyResource): unknown {
	return rest;
}

function namesIn(value: unknown): string[] {
	if (typeof value !== 'object' || value === null) return [];
	return Object.entries(value)
		.flatMap(([name, content]) => [name, ...namesIn(content)])
		.filter((name) => !/^[0-9]+$/.test(name));
}

/** The value with some of its parts, counted from the root, replaced. */
function replaced(value: unknown, replacements: readonly (readonly [number, unknown])[]): unknown {
	let position = 0;
	const visit = (part: unknown): unknown => {
		const at = position++;
		const replacement = replacements.find(([index]) => index === at);
		if (replacement !== undefined) return replacement[1];
		if (typeof part !== 'object' || part === null) return part;
		if (Array.isArray(part)) return part.map(visit);
		return Object.fromEntries(Object.entries(part).map(([name, content]) => [name, visit(content)]));
	};
	return visit(value);
}
