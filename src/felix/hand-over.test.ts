import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Revision, SyncUpdate } from '#datastore';
import { HandOver } from './hand-over.ts';

function update(revision: string, present = true): SyncUpdate {
	const key = { type: 'resource', kind: 'WorkloadEndpoint', namespace: 'ns', name: 'e' } as const;
	return { key, value: present ? ({} as never) : null, revision: revision as Revision };
}

/** What is taken in when an object at revision 5 was handed over and the watch then brings these revisions. */
function takenIn(...arrivals: readonly (readonly [ms: number, revision: string])[]): string[] {
	const handOver = new HandOver();
	const taken: string[] = [];
	handOver.expect('e', '5', 0);
	for (const [ms, revision] of arrivals) {
		taken.push(...handOver.release(ms).map((held) => held.revision as string));
		const admitted = handOver.admit('e', update(revision), ms);
		if (admitted !== undefined) taken.push(admitted.revision);
	}
	taken.push(...handOver.release(1e9).map((held) => held.revision as string));
	return taken;
}

test('an older version that the watch still brings does not undo the one handed over', () => {
	assert.deepEqual(takenIn([10, '4'], [20, '5']), []);
	assert.deepEqual(takenIn([10, '3'], [15, '4'], [20, '5']), []);
});

test('what comes after the version handed over is taken in at once', () => {
	assert.deepEqual(takenIn([10, '5'], [20, '6'], [30, '7']), ['6', '7']);
	assert.deepEqual(takenIn([10, '4'], [20, '5'], [30, '6']), ['6']);
});

test('a newer version is taken in though the one handed over was skipped', () => {
	assert.deepEqual(takenIn([10, '8']), ['8']);
	assert.deepEqual(takenIn([10, '8'], [20, '9']), ['9'], 'the latest of them');
	assert.deepEqual(takenIn([10, '8'], [2000, '9']), ['8', '9']);
});

test('objects that nobody handed over pass', () => {
	const handOver = new HandOver();
	assert.equal(handOver.admit('x', update('1'), 0)?.revision, '1');
	handOver.expect('e', '5', 0);
	assert.equal(handOver.admit('x', update('2'), 0)?.revision, '2');
});

test('a handed-over object that the watch never shows is forgotten in time', () => {
	const handOver = new HandOver();
	handOver.expect('e', '5', 0);
	handOver.release(1e9);
	assert.equal(handOver.admit('e', update('9', false), 1e9)?.revision, '9');
});
