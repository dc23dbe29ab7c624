import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

test('the message code is what the .proto file says: generating it again gives the same files', async () => {
	const root = join(import.meta.dirname, '../../..');
	const committed = join(import.meta.dirname, 'generated');
	const fresh = await mkdtemp(join(tmpdir(), `tt-${process.pid}-proto-`));
	try {
		await promisify(execFile)(process.execPath, [join(root, 'scripts/generate-proto.ts'), fresh]);
		const names = (await readdir(committed)).sort();
		assert.deepEqual((await readdir(fresh)).sort(), names);
		for (const name of names)
			assert.equal(
				await readFile(join(fresh, name), 'utf8'),
				await readFile(join(committed, name), 'utf8'),
				`${name}: run scripts/generate-proto.ts`,
			);
	} finally {
		await rm(fresh, { recursive: true, force: true });
	}
});
