import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RouterConfig } from '#bgp';
import { ip } from '#net';
import { storedRouter, storeRouter } from './last-router.ts';

test('what the BGP daemon ran with is read back as it was, and a file that is none is left aside', async () => {
	const directory = mkdtempSync(join(tmpdir(), 'tortie-router-'));
	try {
		const file = join(directory, 'lib/router');
		assert.equal(storedRouter(file), undefined);
		const config: RouterConfig = {
			routerId: ip('10.0.0.1'),
			asNumber: 64512,
			listen: { port: 179, addresses: undefined },
			peers: [],
			originate: [],
			staticRoutes: [],
			kernel: { table: 254, metric: { 4: 1024, 6: 1024 }, filter: { rules: [], otherwise: 'accept' }, recoverySeconds: 240 },
			ignoredInterfaces: ['cali*'],
		};
		await storeRouter(file, config);
		assert.deepStrictEqual(storedRouter(file), config);
		assert.equal(statSync(file).mode & 0o777, 0o600);
		for (const content of ['', 'text', '{}']) {
			writeFileSync(file, content);
			assert.equal(storedRouter(file), undefined);
		}
	} finally {
		rmSync(directory, { recursive: true });
	}
});
