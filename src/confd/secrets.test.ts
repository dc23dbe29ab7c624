import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { secretFiles } from './secrets.ts';

test('a password is the content of a file, without the line break at its end', () => {
	const directory = mkdtempSync(join(tmpdir(), 'tortie-secrets-'));
	try {
		mkdirSync(join(directory, 'secrets/bgp'), { recursive: true });
		writeFileSync(join(directory, 'secrets/bgp/tor'), 'k e y\n');
		writeFileSync(join(directory, 'outside'), 'no');
		const secret = secretFiles(join(directory, 'secrets'));
		assert.equal(secret({ name: 'bgp', key: 'tor' }), 'k e y');
		for (const [name, key] of [
			['bgp', 'none'],
			['none', 'tor'],
			['..', 'outside'],
			['bgp', '../../outside'],
			['', 'tor'],
			['bgp', ''],
		] as const)
			assert.equal(secret({ name, key }), undefined, `${name}/${key}`);
	} finally {
		rmSync(directory, { recursive: true });
	}
});
