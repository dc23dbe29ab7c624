import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ip } from '#net';
import { differences, fillMatrix, formatMatrix } from './matrix.ts';
import type { PodRecord } from './state.ts';

const pod = (name: string, index: number): PodRecord => ({
	namespace: 'shop',
	name,
	node: 'node1',
	labels: {},
	containerId: '',
	netns: name,
	addresses: [`10.0.0.${index}`, `fd00::${index}`] as Ip[],
});
const PODS = ['a', 'b', 'c'].map(pod);

test('a matrix shows who gets through by which family, and what changed', async () => {
	const before = await fillMatrix(PODS, [4, 6], () => true);
	const after = await fillMatrix(PODS, [4, 6], (from, to, _source, destination) => {
		if (to.name === 'c') return from.name !== 'a' && !destination.includes(':');
		return true;
	});
	assert.equal(
		formatMatrix(after, before),
		[
			'                      1   2   3',
			'   1 shop/a (node1)   -   + [.]',
			'   2 shop/b (node1)   +   - [4]',
			'   3 shop/c (node1)   +   +   -',
		].join('\n'),
	);
	assert.deepEqual(differences(before, after), [
		'shop/a → shop/c: nothing gets through, expected IPv4 and IPv6 gets through',
		'shop/b → shop/c: IPv4 gets through, expected IPv4 and IPv6 gets through',
	]);
	assert.deepEqual(differences(after, after), []);
});

test('a pod without an address of a family is not reached by it', async () => {
	const pods = PODS.slice(0, 2).map((one) => ({ ...one, addresses: one.addresses.slice(0, 1) }));
	const matrix = await fillMatrix(pods, [4, 6], () => true);
	assert.deepEqual(matrix.cells, [
		[undefined, [4]],
		[[4], undefined],
	]);
});
