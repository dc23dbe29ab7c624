import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ctlError } from './errors.ts';
import { parseManifest } from './manifest.ts';

test('documents, lists and JSON are read, empty documents passed over', () => {
	const documents = parseManifest('kind: A\n---\n---\nkind: BList\nitems:\n- kind: B\n- kind: B2\n--- \n{"kind": "C"}\n', 'x.yaml');
	assert.deepEqual(
		documents.map(({ value }) => (value as { kind: string }).kind),
		['A', 'B', 'B2', 'C'],
	);
});

test('a field is found by its line, and an absent one by what encloses it', () => {
	const [first, second] = parseManifest(
		'kind: List\nitems:\n- kind: A\n  spec:\n    ingress:\n    - action: Allow\n- kind: B\n  metadata:\n    labels:\n      a.b/c: d\n',
		'x.yaml',
	);
	assert.equal(first?.source.lineOf('spec.ingress[0].action'), 6);
	assert.equal(first?.source.lineOf('spec.ingress[0].protocol'), 6);
	assert.equal(first?.source.lineOf('spec.order'), 5);
	assert.equal(second?.source.lineOf('metadata.labels["a.b/c"]'), 10);
	assert.equal(second?.source.lineOf('metadata.name'), 9);
});

test('a broken file is refused with its line and column', () => {
	assert.throws(
		() => parseManifest('kind: A\nspec: [1, 2\nx: y\n', 'bad.yaml'),
		(error) => ctlError.is(error, 'CTL_BAD_YAML') && /^bad\.yaml:[23]:\d+$/.test(error.path ?? ''),
	);
	assert.throws(
		() => parseManifest('a: 1\na: 2\n', 'twice.yaml'),
		(error) => ctlError.is(error, 'CTL_BAD_YAML'),
	);
});

test('no text makes the reader fail in any other way', () => {
	fc.assert(
		fc.property(
			fc.string({ unit: fc.constantFrom('a', ':', ' ', '\n', '-', '[', ']', '{', '}', '"', "'", '&', '*', '!', '|', '%', '#') }),
			(text) => {
				try {
					for (const { source } of parseManifest(text, 'f')) assert.ok(source.lineOf('spec[0].a') >= 1);
				} catch (error) {
					assert.ok(ctlError.is(error, 'CTL_BAD_YAML'), String(error));
				}
			},
		),
		{ numRuns: 2000 },
	);
});
