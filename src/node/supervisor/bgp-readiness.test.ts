import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerStatus, RouterStatus } from '#bgp';
import { ip } from '#net';
import { bgpReadiness } from './bgp-readiness.ts';

function status(recovering: boolean, ...states: PeerStatus['state'][]): RouterStatus {
	const peers = states.map((state, index) => ({
		name: `Mesh_${index}`,
		address: ip(`10.0.0.${index + 1}`),
		asNumber: 64512,
		state,
		sinceMs: 0,
		info: '',
		received: { 4: 0, 6: 0 },
		advertised: { 4: 0, 6: 0 },
	}));
	return { routerId: ip('10.0.0.9'), asNumber: 64512, recovering, peers, routes: { 4: 0, 6: 0 } };
}

test('BGP is ready when every session is up, later when one is, and always without peers', () => {
	const table: readonly (readonly [string, RouterStatus | null, number, boolean])[] = [
		['no peers', status(false), 0, true],
		['no peers while it recovers', status(true), 0, true],
		['all up', status(false, 'Established', 'Established'), 0, true],
		['all up while it recovers', status(true, 'Established'), 0, false],
		['one down at the start', status(false, 'Established', 'Active'), 0, false],
		['one down later', status(false, 'Established', 'Active'), 600_000, true],
		['all down later', status(false, 'Connect', 'Active'), 600_000, false],
		['no answer', null, 600_000, false],
	];
	for (const [what, bgp, upMs, expected] of table) assert.equal(bgpReadiness(bgp, upMs).ready, expected, what);
	assert.match(bgpReadiness(status(false, 'Active'), 0).reason, /10\.0\.0\.1 \(Active\)/);
});
