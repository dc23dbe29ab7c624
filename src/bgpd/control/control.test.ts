import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PeerStatus, RouterStatus } from '#bgp';
import { ip } from '#net';
import { type ControlView, showProtocols, showStatus } from './commands.ts';
import { ControlSocket } from './control-socket.ts';
import { formatReply } from './reply.ts';
import { longTime, shortTime } from './time.ts';

const NOW = new Date(2026, 10, 23, 12, 0, 0).getTime();
const STARTED = NOW - 3_600_000;

function peer(name: string, address: string, more: Partial<PeerStatus> = {}): PeerStatus {
	const counts = { 4: 3, 6: 4 };
	return {
		name,
		address: ip(address),
		asNumber: 64512,
		state: 'Established',
		sinceMs: STARTED,
		info: '',
		received: counts,
		advertised: counts,
		...more,
	};
}

function view(more: Partial<RouterStatus> = {}, family?: 4 | 6): ControlView {
	const status: RouterStatus = {
		routerId: ip('10.0.0.1'),
		asNumber: 64512,
		recovering: false,
		routes: { 4: 0, 6: 0 },
		peers: [
			peer('Mesh_10_0_0_2', '10.0.0.2'),
			peer('Node_fd00__2', 'fd00::2', { state: 'Active', info: 'Connection refused', sinceMs: NOW - 3 * 86_400_000 }),
		],
		...more,
	};
	return { status, nowMs: NOW, startedMs: STARTED, configuredMs: NOW, family };
}

test('the status has the form that Calico’s parser expects', () => {
	const { lines, last } = showStatus(view());
	assert.equal(
		formatReply(lines, last),
		[
			'1000-BIRD v0.3.3+birdv1.6.8 (Tortie)',
			'1011-Router ID is 10.0.0.1',
			' Current server time is 2026-11-23 12:00:00',
			' Last reboot on 2026-11-23 11:00:00',
			' Last reconfiguration on 2026-11-23 12:00:00',
			'0013 Daemon is up and running',
			'',
		].join('\n'),
	);
});

test('a recovery in progress is told by its own code', () => {
	const { lines, last } = showStatus(view({ recovering: true }));
	assert.match(formatReply(lines, last), /^0024-Graceful restart recovery in progress$/m);
});

test('protocols come as a table, each socket with the peers of its family', () => {
	const table = (family: 4 | 6 | undefined) =>
		(showProtocols(view({}, family), false, undefined) ?? []).map(({ code, text }) => `${code} ${text.trimEnd()}`);
	assert.deepEqual(table(undefined), [
		'2002 name     proto    table    state  since       info',
		'1002 static1  Static   master   up     11:00:00',
		'1002 kernel1  Kernel   master   up     11:00:00',
		'1002 device1  Device   master   up     11:00:00',
		'1002 direct1  Direct   master   up     11:00:00',
		'1002 Mesh_10_0_0_2 BGP      master   up     11:00:00    Established',
		'1002 Node_fd00__2 BGP      master   start  2026-11-20  Active        Connection refused',
	]);
	assert.ok(!table(4).some((line) => line.includes('fd00')));
	assert.ok(!table(6).some((line) => line.includes('Mesh')));
});

test('one protocol in detail, and one that does not exist', () => {
	const details = showProtocols(view(), true, 'Node_fd00__2')?.map(({ text }) => text) ?? [];
	assert.ok(details.includes('  BGP state:          Active'));
	assert.ok(details.includes('    Neighbor address: fd00::2'));
	assert.ok(details.includes('    Last error:       Connection refused'));
	assert.ok(details.includes('  Routes:         7 imported, 7 exported, 7 preferred'));
	assert.equal(showProtocols(view(), false, 'nobody'), undefined);
});

test('times are clock times when recent, dates when not', () => {
	assert.equal(shortTime(NOW - 60_000, NOW), '11:59:00');
	assert.equal(shortTime(NOW - 30 * 3_600_000, NOW), '2026-11-22');
	assert.equal(longTime(NOW), '2026-11-23 12:00:00');
});

test('the socket answers commands in order, refuses what it does not know and ends clients that flood it', async () => {
	const folder = mkdtempSync(join(tmpdir(), 'tt-control-'));
	const path = join(folder, 'bird.ctl');
	writeFileSync(path, 'left behind');
	const log = { info: () => undefined, warn: () => undefined, error: (fields: unknown) => assert.fail(JSON.stringify(fields)) };
	const server = new ControlSocket(
		{ log, view: (family) => ({ ...view(), family }), ribs: () => undefined, interfaceName: () => undefined },
		{ path, family: undefined },
	);
	try {
		const ask = async (text: string, expected: RegExp): Promise<string> => {
			const client = connect(path);
			client.on('error', () => undefined);
			let answer = '';
			client.on('data', (chunk) => {
				answer += String(chunk);
				if (expected.test(answer)) client.destroy();
			});
			client.write(text);
			await once(client, 'close');
			return answer;
		};
		const answer = await ask('show status\nshow route\nconfigure\nshow protocols x\n', /8003.*\n/);
		assert.match(
			answer,
			/^0001 BIRD .* ready\.\n1000-[^]*0013 Daemon is up and running\n0000 \n9001 syntax error\n8003 No protocols match\n$/,
		);
		assert.equal(statSync(path).mode & 0o777, 0o660);
		const flooded = await ask('x'.repeat(10_000), /never/);
		assert.match(flooded, /^0001/);
	} finally {
		await server[Symbol.asyncDispose]();
		rmSync(folder, { recursive: true });
	}
});
