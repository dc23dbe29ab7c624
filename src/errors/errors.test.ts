import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineErrors, explainError } from './index.ts';

const sampleError = defineErrors({ SAMPLE_BAD: 'A sample is bad.', SAMPLE_GONE: 'A sample is gone.' });

test('an explained error says where, what, what is allowed, what to do and why', () => {
	const error = sampleError('SAMPLE_BAD', {
		message: 'found 99',
		path: 'spec.blockSize',
		found: 99,
		allowed: '20 to 32',
		hint: 'choose a size of 26 for most clusters',
		cause: new Error('out of range'),
	});
	assert.equal(
		explainError(error),
		'spec.blockSize: found 99; allowed: 20 to 32; choose a size of 26 for most clusters [SAMPLE_BAD]: caused by: out of range',
	);
});

test('a family recognises its own codes and no others', () => {
	const error = sampleError('SAMPLE_GONE', { message: 'gone' });
	assert.ok(sampleError.is(error));
	assert.ok(sampleError.is(error, 'SAMPLE_GONE'));
	assert.ok(!sampleError.is(error, 'SAMPLE_BAD'));
	assert.ok(!defineErrors({ OTHER: 'Other.' }).is(error));
});

test('a circular chain of causes ends', () => {
	const error = new Error('a');
	error.cause = error;
	assert.equal(explainError(error), 'a');
});
