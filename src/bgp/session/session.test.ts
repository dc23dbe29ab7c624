import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SessionState } from '../router-config.ts';
import { NO_CAPABILITIES } from '../wire/capability.ts';
import { HEADER_LENGTH, MessageType } from '../wire/constants.ts';
import { encodeEndOfRib } from '../wire/end-of-rib.ts';
import { decodeNotification, encodeKeepalive, encodeNotification, frame } from '../wire/framing.ts';
import { CeaseError, describeNotification, ErrorCode, notification } from '../wire/notification.ts';
import { encodeOpen, type OpenMessage } from '../wire/open.ts';
import { encodeRouteRefresh } from '../wire/route-refresh.ts';
import type { Transport } from './connection.ts';
import type { Negotiated } from './negotiate.ts';
import { Session, type SessionEnd } from './session.ts';

const NAMES = ['', 'OPEN', 'UPDATE', 'NOTIFICATION', 'KEEPALIVE', 'ROUTE-REFRESH'];

class Wire implements Transport {
	readonly log: string[] = [];
	queuedBytes = 0;

	send(bytes: Uint8Array): void {
		const type = bytes[18] as number;
		const isNotification = type === MessageType.notification;
		this.log.push(isNotification ? describeNotification(decodeNotification(bytes, HEADER_LENGTH, bytes.length)) : (NAMES[type] ?? ''));
	}

	end(): void {
		this.log.push('end');
	}

	abort(): void {
		this.log.push('abort');
	}
}

function openMessage(more: Partial<OpenMessage> = {}): OpenMessage {
	return {
		type: 'open',
		asNumber: 65002,
		holdTimeSeconds: 9,
		routerId: 20,
		capabilities: { ...NO_CAPABILITIES, families: [4], as4: more.asNumber ?? 65002, routeRefresh: true },
		...more,
	};
}

interface Stage {
	readonly session: Session;
	nowMs: number;
	readonly connects: number[];
	readonly cancels: number[];
	readonly states: SessionState[];
	readonly ends: SessionEnd[];
	readonly established: Negotiated[];
	readonly updates: number[];
	readonly refreshes: string[];
	/** Advances the clock in ticks of 200 ms. */
	pass(durationMs: number): void;
}

function stage(
	options: { readonly passive?: boolean; readonly routerId?: number; readonly graceful?: boolean; readonly peerAs?: number } = {},
): Stage {
	const log = {
		nowMs: 0,
		connects: [] as number[],
		cancels: [] as number[],
		states: [] as SessionState[],
		ends: [] as SessionEnd[],
		established: [] as Negotiated[],
		updates: [] as number[],
		refreshes: [] as string[],
	};
	const session = new Session(
		{
			now: () => result.nowMs,
			random: () => 1,
			localOpen: () => ({
				localAs: 65001,
				peerAs: options.peerAs ?? 65002,
				open: {
					type: 'open',
					asNumber: 65001,
					holdTimeSeconds: 90,
					routerId: options.routerId ?? 10,
					capabilities: {
						...NO_CAPABILITIES,
						families: [4, 6],
						as4: 65001,
						routeRefresh: true,
						gracefulRestart:
							options.graceful === true
								? { restarting: false, notification: true, restartTimeSeconds: 120, families: [{ family: 4, forwarding: true }] }
								: undefined,
					},
				},
			}),
			connect: () => void result.connects.push(result.nowMs),
			cancelConnect: () => void result.cancels.push(result.nowMs),
			stateChanged: (state) => void result.states.push(state),
			established: (negotiated) => void result.established.push(negotiated),
			ended: (end) => void result.ends.push(end),
			update: (_bytes, start, end) => {
				result.updates.push(end - start);
				return end - start === 5 ? notification(ErrorCode.update, 1) : undefined;
			},
			refresh: ({ family, kind }) => void result.refreshes.push(`${family} ${kind}`),
		},
		{ passive: options.passive === true, connectRetryMs: { least: 500, most: 5000 }, errorWaitMs: { least: 1000, most: 8000 } },
	);
	const result: Stage = Object.assign(log, {
		session,
		pass: (durationMs: number) => {
			for (const end = result.nowMs + durationMs; result.nowMs < end; ) {
				result.nowMs += 200;
				session.tick();
			}
		},
	});
	return result;
}

/** Brings a session up over an outgoing connection. */
function establish(at: Stage, open = openMessage()): Wire {
	at.session.start();
	const wire = new Wire();
	at.session.connected(wire);
	at.session.received(wire, encodeOpen(open));
	at.session.received(wire, encodeKeepalive());
	assert.equal(at.session.state, 'Established');
	return wire;
}

test('an active session goes through the states of RFC 4271 in order', () => {
	const at = stage();
	assert.equal(at.session.state, 'Idle');
	const wire = establish(at);
	assert.deepEqual(at.states, ['Active', 'Connect', 'OpenSent', 'OpenConfirm', 'Established']);
	assert.deepEqual(wire.log, ['OPEN', 'KEEPALIVE']);
	assert.deepEqual(
		at.established.map(({ holdTimeMs, external, as4, families, routerId }) => ({ holdTimeMs, external, as4, families, routerId })),
		[{ holdTimeMs: 9000, external: true, as4: true, families: [4], routerId: 20 }],
	);
});

test('a passive session never connects, and comes up when the peer does', () => {
	const at = stage({ passive: true });
	at.session.start();
	at.pass(60_000);
	assert.deepEqual([at.connects, at.session.state], [[], 'Active']);
	const wire = new Wire();
	at.session.accepted(wire);
	at.session.received(wire, Buffer.concat([encodeOpen(openMessage()), encodeKeepalive()]));
	assert.equal(at.session.state, 'Established');
});

test('a failed connection is tried again, soon at first and then less often, with the reason kept', () => {
	const at = stage();
	at.session.start();
	const waits: number[] = [];
	for (let attempt = 0; attempt < 6; attempt++) {
		at.session.connectFailed('Connection refused');
		assert.deepEqual([at.session.state, at.session.info], ['Active', 'Connection refused']);
		const since = at.nowMs;
		while (at.session.state === 'Active') at.pass(200);
		waits.push(at.nowMs - since);
	}
	assert.deepEqual(waits, [600, 1000, 2000, 4000, 5000, 5000]);
	at.session.connectFailed('again');
	const late = new Wire();
	at.session.connected(late);
	assert.deepEqual(late.log, ['abort']);
});

test('errors make the session rest, longer each time, until it was established once', () => {
	const at = stage();
	at.session.start();
	const waits: number[] = [];
	for (let round = 0; round < 6; round++) {
		const wire = new Wire();
		at.session.connected(wire);
		at.session.received(wire, encodeOpen(openMessage({ asNumber: 65009 })));
		assert.equal(at.session.state, 'Idle');
		const since = at.nowMs;
		while (at.session.state === 'Idle') at.pass(200);
		waits.push(at.nowMs - since);
	}
	assert.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
	const wire = new Wire();
	at.session.connected(wire);
	at.session.received(wire, Buffer.concat([encodeOpen(openMessage()), encodeKeepalive()]));
	at.session.received(wire, new Uint8Array(19));
	const since = at.nowMs;
	while (at.session.state === 'Idle') at.pass(200);
	assert.equal(at.nowMs - since, 1000);
});

test('a peer that may not come up is refused, told why, and the reason is kept in words', () => {
	const table: readonly (readonly [string, Parameters<typeof stage>[0], Partial<OpenMessage>, string, RegExp])[] = [
		[
			'wrong AS',
			{},
			{ asNumber: 65009 },
			'OPEN message error: bad peer AS',
			/Wrong AS: the peer says it is AS 65009, configured is AS 65002/,
		],
		[
			'our own router ID inside our AS',
			{ peerAs: 65001 },
			{ asNumber: 65001, routerId: 10 },
			'OPEN message error: bad BGP identifier',
			/own router ID/,
		],
	];
	for (const [name, options, open, sent, info] of table) {
		const at = stage(options);
		at.session.start();
		const wire = new Wire();
		at.session.connected(wire);
		at.session.received(wire, encodeOpen(openMessage(open)));
		assert.deepEqual(wire.log, ['OPEN', sent, 'end'], name);
		assert.match(at.session.info, info, name);
		assert.equal(at.session.state, 'Idle', name);
	}
});

test('a peer without a common address family is refused', () => {
	const at = stage();
	at.session.start();
	const wire = new Wire();
	at.session.connected(wire);
	const layer2Vpn = [1, 4, 0, 25, 0, 65];
	at.session.received(wire, frame(MessageType.open, Uint8Array.of(4, 0xfd, 0xea, 0, 90, 0, 0, 0, 20, 8, 2, 6, ...layer2Vpn)));
	assert.deepEqual(wire.log, ['OPEN', 'Cease: connection rejected', 'end']);
	assert.match(at.session.info, /No address family/);
});

test('the same router ID is fine between two ASes (RFC 6286)', () => {
	establish(stage({ routerId: 20 }));
});

test('messages a state does not expect end the session with the subcodes of RFC 6608', () => {
	const messages = {
		open: encodeOpen(openMessage()),
		update: encodeEndOfRib(4),
		keepalive: encodeKeepalive(),
		refresh: encodeRouteRefresh(4, 'request'),
	};
	const table: readonly (readonly [(keyof typeof messages)[], keyof typeof messages, string])[] = [
		[[], 'update', 'Finite state machine error: unexpected message in OpenSent'],
		[[], 'keepalive', 'Finite state machine error: unexpected message in OpenSent'],
		[[], 'refresh', 'Finite state machine error: unexpected message in OpenSent'],
		[['open'], 'open', 'Finite state machine error: unexpected message in OpenConfirm'],
		[['open'], 'update', 'Finite state machine error: unexpected message in OpenConfirm'],
		[['open'], 'refresh', 'Finite state machine error: unexpected message in OpenConfirm'],
		[['open', 'keepalive'], 'open', 'Finite state machine error: unexpected message in Established'],
	];
	for (const [before, message, expected] of table) {
		const at = stage();
		at.session.start();
		const wire = new Wire();
		at.session.connected(wire);
		for (const earlier of before) at.session.received(wire, messages[earlier]);
		at.session.received(wire, messages[message]);
		assert.deepEqual(wire.log.slice(-2), [expected, 'end'], `${before.join()} then ${message}`);
	}
});

test('keepalives go out three times per hold time, and silence for a hold time ends the session', () => {
	const at = stage();
	const wire = establish(at);
	at.pass(8800);
	assert.equal(wire.log.filter((entry) => entry === 'KEEPALIVE').length, 3);
	at.session.received(wire, encodeKeepalive());
	at.pass(8800);
	assert.equal(at.session.state, 'Established');
	at.pass(600);
	assert.equal(at.session.state, 'Idle');
	assert.deepEqual(wire.log.slice(-2), ['Hold timer expired', 'end']);
	assert.deepEqual(at.ends, [{ reason: 'Hold timer expired', restart: false }]);
});

test('after a stall, bytes that were waiting save the session', () => {
	const at = stage();
	const wire = establish(at);
	at.nowMs += 20_000;
	at.session.tick();
	at.session.received(wire, encodeKeepalive());
	at.pass(600);
	assert.equal(at.session.state, 'Established');
});

test('hold time 0 means no keepalives and no expiry', () => {
	const at = stage();
	const wire = establish(at, openMessage({ holdTimeSeconds: 0 }));
	at.pass(600_000);
	assert.equal(at.session.state, 'Established');
	assert.deepEqual(wire.log, ['OPEN', 'KEEPALIVE']);
});

test('a peer that never sends its OPEN is given up after four minutes', () => {
	const at = stage();
	at.session.start();
	const wire = new Wire();
	at.session.connected(wire);
	at.pass(239_800);
	assert.equal(at.session.state, 'OpenSent');
	at.pass(600);
	assert.deepEqual(wire.log, ['OPEN', 'Hold timer expired', 'end']);
});

test('a peer that does not take what we send is given up (RFC 9687)', () => {
	const at = stage();
	const wire = establish(at, openMessage({ holdTimeSeconds: 0 }));
	wire.queuedBytes = 100;
	at.pass(400_000);
	wire.queuedBytes = 50;
	at.pass(400_000);
	assert.equal(at.session.state, 'Established');
	at.pass(100_000);
	assert.match(wire.log.join(), /Send hold timer expired/);
});

test('of two connections, the one opened by the higher router ID stays, in whichever order the OPENs come', () => {
	for (const ours of [10, 30])
		for (const first of ['outgoing', 'incoming'] as const) {
			const at = stage({ routerId: ours });
			at.session.start();
			const wires = { outgoing: new Wire(), incoming: new Wire() };
			at.session.connected(wires.outgoing);
			at.session.accepted(wires.incoming);
			const second = first === 'outgoing' ? 'incoming' : 'outgoing';
			at.session.received(wires[first], encodeOpen(openMessage()));
			at.session.received(wires[second], encodeOpen(openMessage()));
			const [winner, loser] = ours === 30 ? (['outgoing', 'incoming'] as const) : (['incoming', 'outgoing'] as const);
			const label = `we are ${ours}, ${first} first`;
			assert.deepEqual(wires[loser].log.slice(-2), ['Cease: connection collision resolution', 'end'], label);
			assert.deepEqual(wires[winner].log, ['OPEN', 'KEEPALIVE'], label);
			at.session.received(wires[winner], encodeKeepalive());
			assert.equal(at.session.state, 'Established', label);
			assert.equal(at.established.length, 1, label);
		}
});

test('with equal router IDs the higher AS wins the collision (RFC 6286)', () => {
	const at = stage({ routerId: 20 });
	at.session.start();
	const [outgoing, incoming] = [new Wire(), new Wire()];
	at.session.connected(outgoing);
	at.session.accepted(incoming);
	at.session.received(outgoing, encodeOpen(openMessage()));
	at.session.received(incoming, encodeOpen(openMessage()));
	assert.match(outgoing.log.join(), /collision/);
});

test('a connection that comes to an established session is refused', () => {
	const at = stage();
	establish(at);
	const wire = new Wire();
	at.session.accepted(wire);
	assert.deepEqual(wire.log, ['Cease: connection collision resolution', 'end']);
	assert.equal(at.session.state, 'Established');
});

test('with graceful restart it means that the peer has restarted, and takes over', () => {
	const at = stage({ graceful: true });
	const graceful = { restarting: false, notification: false, restartTimeSeconds: 60, families: [{ family: 4 as const, forwarding: true }] };
	const open = openMessage({ capabilities: { ...openMessage().capabilities, gracefulRestart: graceful } });
	const old = establish(at, open);
	const wire = new Wire();
	at.session.accepted(wire);
	assert.deepEqual(old.log.slice(-1), ['abort']);
	assert.deepEqual(
		at.ends.map(({ restart }) => restart),
		[true],
	);
	at.session.received(wire, Buffer.concat([encodeOpen(open), encodeKeepalive()]));
	assert.equal(at.session.state, 'Established');
});

test('what the end of a session means for routes', () => {
	const capability = (bit: boolean) => ({
		restarting: false,
		notification: bit,
		restartTimeSeconds: 60,
		families: [{ family: 4 as const, forwarding: true }],
	});
	const open = (bit: boolean) => openMessage({ capabilities: { ...openMessage().capabilities, gracefulRestart: capability(bit) } });
	const table: readonly (readonly [string, boolean, (at: Stage, wire: Wire) => void, boolean])[] = [
		['connection lost', false, (at, wire) => at.session.closed(wire, 'Connection reset'), true],
		['notification received', false, (at, wire) => at.session.received(wire, encodeNotification(notification(6, 4))), false],
		['notification received, RFC 8538', true, (at, wire) => at.session.received(wire, encodeNotification(notification(6, 4))), true],
		[
			'hard reset received, RFC 8538',
			true,
			(at, wire) => at.session.received(wire, encodeNotification(notification(6, CeaseError.hardReset))),
			false,
		],
		['malformed message, RFC 8538', true, (at, wire) => at.session.received(wire, frame(MessageType.update, new Uint8Array(5))), true],
		['stopped by us', true, (at) => at.session.stop(notification(6, CeaseError.peerDeconfigured)), false],
	];
	for (const [name, bit, action, restart] of table) {
		const at = stage({ graceful: true });
		const wire = establish(at, open(bit));
		action(at, wire);
		assert.deepEqual(
			at.ends.map((end) => end.restart),
			[restart],
			name,
		);
	}
});

test('a session that is stopped says so, hard where the peer would keep our routes, and stays down', () => {
	const at = stage();
	const wire = establish(at);
	at.session.stop(notification(ErrorCode.cease, CeaseError.peerDeconfigured));
	assert.deepEqual(wire.log.slice(-2), ['Cease: peer de-configured', 'end']);
	at.pass(60_000);
	assert.deepEqual([at.session.state, at.connects.length], ['Idle', 1]);
	const stranger = new Wire();
	at.session.accepted(stranger);
	assert.deepEqual(stranger.log, ['abort']);
});

test('abandoning a session says nothing to the peer', () => {
	const at = stage();
	const wire = establish(at);
	at.session.abandon();
	assert.deepEqual(wire.log.slice(-1), ['abort']);
	assert.deepEqual(at.ends, []);
});

test('any sequence of events and bytes leaves a session that still can come up', () => {
	const message = fc.oneof(
		fc.constant(encodeOpen(openMessage())),
		fc.constant(encodeOpen(openMessage({ asNumber: 1 }))),
		fc.constant(encodeKeepalive()),
		fc.constant(encodeEndOfRib(4)),
		fc.constant(encodeNotification(notification(6, 7))),
		fc.constant(encodeNotification(notification(6, 2))),
		fc.constant(encodeRouteRefresh(4, 'request')),
		fc.uint8Array({ minLength: 1, maxLength: 30 }),
	);
	const event = fc.oneof(
		fc.record({
			kind: fc.constantFrom('connected', 'failed', 'accepted', 'closed', 'pass'),
			which: fc.nat(5),
			bytes: fc.constant(new Uint8Array()),
		}),
		fc.record({ kind: fc.constant('bytes'), which: fc.nat(5), bytes: message }),
	);
	fc.assert(
		fc.property(fc.boolean(), fc.boolean(), fc.array(event, { maxLength: 40 }), (passive, graceful, events) => {
			const at = stage({ passive, graceful });
			at.session.start();
			const wires: Wire[] = [];
			const add = (): Wire => {
				const wire = new Wire();
				wires.push(wire);
				return wire;
			};
			let up = false;
			for (const { kind, which, bytes } of events) {
				const wire = wires[which % Math.max(1, wires.length)];
				if (kind === 'connected') at.session.connected(add());
				else if (kind === 'failed') at.session.connectFailed('failed');
				else if (kind === 'accepted') at.session.accepted(add());
				else if (kind === 'pass') at.pass(3000);
				else if (wire !== undefined && kind === 'closed') at.session.closed(wire, 'closed');
				else if (wire !== undefined) at.session.received(wire, bytes);
				const balance = at.established.length - at.ends.length;
				up = at.session.state === 'Established';
				assert.equal(balance, up ? 1 : 0);
				const open = wires.filter(({ log }) => !log.includes('abort') && !log.includes('end'));
				assert.ok(open.length <= 2);
			}
			for (const wire of wires) at.session.closed(wire, 'closed');
			at.session.connectFailed('failed');
			at.pass(20_000);
			const last = add();
			at.session.accepted(last);
			at.session.received(last, Buffer.concat([encodeOpen(openMessage()), encodeKeepalive()]));
			assert.equal(at.session.state, 'Established');
		}),
		{ numRuns: 2000 },
	);
});
