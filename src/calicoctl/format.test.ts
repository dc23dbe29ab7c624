import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countWithShare, fiveDigits } from './ipam-format.ts';
import { formatBox, formatColumns } from './table.ts';

test('numbers of addresses are printed as calicoctl always has', () => {
	for (const [value, text] of [
		[0, '0'],
		[64, '64'],
		[65536, '65536'],
		[1048576, '1.0486e+06'],
		[1.2089258196146292e24, '1.2089e+24'],
	] as const)
		assert.equal(fiveDigits(value), text);
	assert.equal(countWithShare(3, 64), '3 (5%)');
	assert.equal(countWithShare(0, 0), '0 (0%)');
});

test('columns have a gap of three and boxes a centred heading', () => {
	assert.equal(
		formatColumns([
			['NAME', 'CIDR'],
			['a-long-name', '10.0.0.0/8'],
		]),
		'NAME          CIDR\na-long-name   10.0.0.0/8\n',
	);
	assert.equal(
		formatBox(['A', 'STATE'], [['10.0.0.1', 'up']]),
		['+----------+-------+', '|    A     | STATE |', '+----------+-------+', '| 10.0.0.1 | up    |', '+----------+-------+', ''].join('\n'),
	);
});
