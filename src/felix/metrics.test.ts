import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { FelixStatus } from './felix.ts';
import { FelixMetrics } from './metrics.ts';

const STATUS: FelixStatus = { state: 'in-sync', ready: true, reason: '', localEndpoints: 3, localPolicies: 7, problems: [] };

test('metrics have Felix’s names and what happened', async () => {
	await using metrics = new FelixMetrics();
	const options = { host: '127.0.0.1', port: 0, nodeName: 'n1' };
	const logger = pino({ level: 'silent' });
	const serving = metrics.serve(options, () => STATUS, logger);
	metrics.updated('Node', 'a', true);
	metrics.updated('Node', 'b', true);
	metrics.updated('Node', 'b', false);
	metrics.updated('GlobalNetworkPolicy', 'p', true);
	metrics.updated('NetworkPolicy', 'p', true);
	const port = await serving;
	metrics.applied(3);
	metrics.applyFailed();
	const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
	for (const line of [
		'felix_host{host="n1"} 1',
		'felix_resync_state 3',
		'felix_active_local_endpoints 3',
		'felix_active_local_policies 7',
		'felix_cluster_num_hosts 1',
		'felix_cluster_num_policies 2',
		'felix_int_dataplane_failures 1',
		'felix_int_dataplane_apply_time_seconds_count 1',
		'felix_int_dataplane_apply_time_seconds_bucket{le="0.005"} 1',
	])
		assert.ok(text.split('\n').includes(line), `${line} is missing in\n${text}`);
	assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 404);

	await using second = new FelixMetrics();
	assert.equal(await second.serve({ ...options, port: port ?? 0 }, () => STATUS, logger), undefined, 'a port that is taken is no failure');
});
