import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareUtf8 } from './canonical.ts';
import { allOf, evaluateSelector, type Labels, parseSelector, prefixLabels, replaceCalls, selectorError, uniqueId } from './index.ts';
import { anyLabels, anySelectorText } from './testing/arbitraries.ts';

test('equal selectors have one canonical text and one ID, which are those of Calico', () => {
	const table: readonly (readonly [string, string, string])[] = [
		['all()', 'all()', 's:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug'],
		['', 'all()', 's:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug'],
		[' \t', 'all()', 's:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug'],
		['! (has( b)||! has(a ))', '!(has(b) || !has(a))', 's:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q'],
		['! (a == "b"&&! c != "d")', '!(a == "b" && !c != "d")', 's:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w'],
		['global( )', 'global()', 's:fiJDJdBoaP_zQxty70sMjIrxwAb5lgM6LYCAow'],
		["((role=='db'))", 'role == "db"', 's:rV61RKD1Q8wo61pyeB0j2rwE3eiBOFbx0SsYKg'],
	];
	for (const [source, text, id] of table) {
		const selector = parseSelector(source);
		assert.equal(selector.text, text);
		assert.equal(selector.id, id);
	}
});

test('IDs of named ports and services are made the same way', () => {
	assert.equal(uniqueId('n:', `${parseSelector('role == "db"').id},tcp,http`), 'n:v1r2STTlO7TacjeCimdhkpVVM3zO_Bl2xCq5fw');
	assert.equal(uniqueId('svc:', 'default/kubernetes'), 'svc:gQrIAo_BHPov3ak3rMnN3fDK7EMRzF8ZNQjvGw');
	assert.equal(uniqueId('svcnoport:', 'default/kubernetes'), 'svcnoport:nFzFS8bOhvCR8F6UX_j1tzOiA-0MsL3r_KIxFQ');
	assert.equal(uniqueId('s:', 'x'), `s:${createHash('sha224').update('s:x').digest('base64url')}`);
});

test('every form of the language is read', () => {
	const table: readonly (readonly [string, string])[] = [
		['a contains"x"', 'a contains "x"'],
		['a startswith "x"', 'a starts with "x"'],
		['a starts \t with "x"', 'a starts with "x"'],
		['a endswith "x"', 'a ends with "x"'],
		["a in {'y', 'x','y',}", 'a in {"x", "y"}'],
		['a notin{}', 'a not in {}'],
		['a not   in {"x"}', 'a not in {"x"}'],
		['in in {"x"} && has != "y" && all == "z"', '(in in {"x"} && has != "y" && all == "z")'],
		[`a == 'say "hi"'`, `a == 'say "hi"'`],
		[`a == "it's"`, `a == "it's"`],
		['!!has(a)', 'has(a)'],
		['!(!has(a))', 'has(a)'],
		['!!!has(a)', '!has(a)'],
		['a == "1" || b == "2" && c == "3"', '(a == "1" || (b == "2" && c == "3"))'],
		['(a == "1" || b == "2") && c == "3"', '((a == "1" || b == "2") && c == "3")'],
		['(has(a) && has(b)) && has(c)', '((has(a) && has(b)) && has(c))'],
		['projectcalico.org/name_1-x == "v"', 'projectcalico.org/name_1-x == "v"'],
		["a == 'line\nbreak'", 'a == "line\nbreak"'],
	];
	for (const [source, text] of table) assert.equal(parseSelector(source).text, text, source);
});

test('what is no selector is refused, with the place and what was expected there', () => {
	const operator = 'an operator: ==, !=, in, not in, contains, starts with or ends with';
	const operand = 'a label, has(), all(), ! or (';
	const table: readonly (readonly [string, number, string])[] = [
		['a', 2, operator],
		['a = "b"', 3, operator],
		['a inside {"b"}', 3, operator],
		['a in\n{"b"}', 5, 'a label, a string in quotes, has(), all(), !, && or ||'],
		['has (a)', 5, operator],
		['all ()', 5, operator],
		['a == b', 6, 'a string in quotes'],
		['a == (', 6, 'a string in quotes'],
		['a == "b', 6, 'a string that is closed by "'],
		['a in "b"', 6, '{'],
		['a in {"b" "c"}', 11, ', or }'],
		['a in {,}', 7, 'a string in quotes or }'],
		['a in {"b"', 10, ', or }'],
		['(a == "b"', 10, '&&, || or )'],
		['a == "b")', 9, '&&, || or the end'],
		['a == "b" c', 10, '&&, || or the end'],
		['a == "b" &&', 12, operand],
		['&& a == "b"', 1, operand],
		['!', 2, operand],
		['()', 2, operand],
		['"b"', 1, operand],
		['a & b', 3, operator],
		['has()', 4, operator],
		[`${'l'.repeat(513)} == "b"`, 1, 'a label of at most 512 characters'],
		[`has(${'l'.repeat(513)})`, 1, 'a label of at most 512 characters'],
		['é == "b"', 1, 'a label, a string in quotes, has(), all(), !, && or ||'],
		[`${'('.repeat(1025)}has(a)${')'.repeat(1025)}`, 1025, 'at most 1024 nested parentheses'],
	];
	for (const [source, character, allowed] of table)
		assert.throws(
			() => parseSelector(source),
			(error) => {
				assert.ok(selectorError.is(error, 'SELECTOR_SYNTAX'), source);
				assert.match(error.message, new RegExp(`at character ${character}$`), source);
				assert.equal(error.allowed, allowed, source);
				return true;
			},
		);
});

test('no text makes the parser fail otherwise, and what it reads has a stable canonical text', () => {
	const noise = fc.string({
		unit: fc.constantFrom(...'ab=!&|(){},"\' \t\n'.split(''), 'has(', 'all()', 'in', ' not ', '=='),
		maxLength: 40,
	});
	fc.assert(
		fc.property(fc.oneof(noise, fc.string(), anySelectorText), (source) => {
			try {
				const selector = parseSelector(source);
				assert.deepEqual(parseSelector(selector.text), selector);
			} catch (error) {
				assert.ok(selectorError.is(error));
			}
		}),
		{ numRuns: 5000 },
	);
});

test('a selector of 100,000 operands or blanks is read in no time', () => {
	assert.equal(parseSelector(Array.from({ length: 100_000 }, () => 'has(a)').join(' && ')).root.type, 'and');
	assert.equal(parseSelector(' '.repeat(100_000)).text, 'all()');
	assert.equal(parseSelector(`${'!'.repeat(100_001)}has(a)`).text, '!has(a)');
});

test('labels are compared as the language says, and absent ones only satisfy != and not in', () => {
	const labels = lookup({ app: 'web-1', empty: '' });
	const table: readonly (readonly [string, boolean])[] = [
		['all()', true],
		['global()', true],
		['app == "web-1"', true],
		['app == "WEB-1"', false],
		['app != "web-1"', false],
		['none != "x"', true],
		['none == ""', false],
		['empty == ""', true],
		['has(empty)', true],
		['has(none)', false],
		['app contains "b-"', true],
		['app starts with "web"', true],
		['app ends with "1"', true],
		['none contains ""', false],
		['none starts with ""', false],
		['none ends with ""', false],
		['app in {"web-1", "x"}', true],
		['none in {"x"}', false],
		['app in {}', false],
		['app not in {}', true],
		['none not in {"x"}', true],
		['app not in {"web-1"}', false],
		['!app == "x"', true],
		['has(none) || has(app)', true],
		['has(none) && has(app)', false],
		['has(constructor)', false],
	];
	for (const [source, expected] of table) assert.equal(evaluateSelector(parseSelector(source), labels), expected, source);
});

test('the canonical text means the same as the text it was made of', () => {
	fc.assert(
		fc.property(anySelectorText, anyLabels, (source, labels) => {
			const selector = parseSelector(source);
			assert.equal(evaluateSelector(parseSelector(selector.text), lookup(labels)), evaluateSelector(selector, lookup(labels)));
		}),
	);
});

test('a prefixed selector asks prefixed labels what the plain one asks plain labels', () => {
	assert.equal(prefixLabels(parseSelector('!(a == "b" && has(c)) || all()'), 'pcns.').text, '(!(pcns.a == "b" && has(pcns.c)) || all())');
	fc.assert(
		fc.property(anySelectorText, anyLabels, (source, labels) => {
			const selector = parseSelector(source);
			const prefixed = Object.fromEntries(Object.entries(labels).map(([label, value]) => [`pcns.${label}`, value]));
			assert.equal(evaluateSelector(prefixLabels(selector, 'pcns.'), lookup(prefixed)), evaluateSelector(selector, lookup(labels)));
		}),
	);
});

test('all() and global() can be replaced, and selectors be combined', () => {
	const inNamespace = parseSelector('has(projectcalico.org/namespace)').root;
	assert.equal(
		replaceCalls(parseSelector('all() && a == "all()"'), { all: inNamespace }).text,
		'(has(projectcalico.org/namespace) && a == "all()")',
	);
	assert.equal(
		replaceCalls(parseSelector('global()'), { global: { type: 'not', operand: inNamespace } }).text,
		'!has(projectcalico.org/namespace)',
	);
	assert.equal(
		replaceCalls(parseSelector('!global()'), { global: { type: 'not', operand: inNamespace } }).text,
		'has(projectcalico.org/namespace)',
	);
	assert.equal(allOf().text, 'all()');
	assert.equal(allOf(parseSelector('has(a)')).text, 'has(a)');
	const combined = allOf(allOf(parseSelector('has(a) || has(b)'), parseSelector('has(c)')), parseSelector('has(d)'));
	assert.deepEqual(combined, parseSelector('((has(a) || has(b)) && has(c)) && has(d)'));
});

test('sets are sorted by the bytes of their values', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
			assert.equal(Math.sign(compareUtf8(a, b)), Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
		}),
		{ numRuns: 500 },
	);
});

function lookup(labels: Readonly<Record<string, string>>): Labels {
	return new Map(Object.entries(labels));
}
