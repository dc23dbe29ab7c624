import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr, ip } from '#net';
import { parseReply } from './control.ts';
import { BirdFilters } from './filters.ts';
import { parseProtocols, parseRouteCount, parseStatus } from './status.ts';

/** As BIRD 2.0.12 answers, one reply after the other. */
const PROTOCOLS = `2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     2026-11-23 05:19:01.663  
1006-
1002-Mesh_10_9_0_2 BGP        ---        up     2026-11-23 05:19:03.250  Established   
1006-  BGP state:          Established
     Neighbor address: 10.9.0.2
     Neighbor AS:      64512
     Local AS:         64512
     Neighbor ID:      10.9.0.2
   Channel ipv4
     State:          UP
     Table:          master4
     Routes:         2 imported, 3 exported, 1 preferred
1006-
1002-Global_fd09__9 BGP        ---        start  2026-11-23 05:19:02.000  Active        Socket: Connection refused
1006-  BGP state:          Active
     Neighbor address: fd09::9
     Neighbor AS:      4200000000
     Local AS:         64512
     Last error:       Socket: Connection refused
   Channel ipv6
     State:          DOWN
1006-
0000 
`;

test('sessions are read from what BIRD prints', () => {
	const peers = parseProtocols(parseReply(PROTOCOLS) ?? []);
	const sinceMs = new Date(2026, 10, 23, 5, 19, 3, 250).getTime();
	assert.deepEqual(peers, [
		{
			name: 'Mesh_10_9_0_2',
			address: ip('10.9.0.2'),
			asNumber: 64512,
			state: 'Established',
			sinceMs,
			info: '',
			received: { 4: 2, 6: 0 },
			advertised: { 4: 3, 6: 0 },
		},
		{
			name: 'Global_fd09__9',
			address: ip('fd09::9'),
			asNumber: 4_200_000_000,
			state: 'Active',
			sinceMs: sinceMs - 1250,
			info: 'Socket: Connection refused',
			received: { 4: 0, 6: 0 },
			advertised: { 4: 0, 6: 0 },
		},
	]);
});

test('the daemon’s own state is read from what BIRD prints', () => {
	const started = '1000-BIRD 2.0.12\n1011-Router ID is 1.1.1.1\n Hostname is vm\n0013 Daemon is up and running\n';
	assert.deepEqual(parseStatus(parseReply(started) ?? []), { routerId: '1.1.1.1', recovering: false });
	const recovering =
		'1000-BIRD 2.0.12\n1011-Router ID is 1.1.1.1\n0024-Graceful restart recovery in progress\n0013 Daemon is up and running\n';
	assert.equal(parseStatus(parseReply(recovering) ?? []).recovering, true);
	assert.equal(parseRouteCount(parseReply('1007-3 of 4 routes for 2 networks in table master4\n0000 \n') ?? []), 2);
});

test('what is no reply is told from one, whatever it is', () => {
	assert.equal(parseReply('HTTP/1.1 400 Bad Request\n'), undefined);
	assert.equal(parseReply(' goes on without a beginning\n'), undefined);
	fc.assert(
		fc.property(
			fc.oneof(
				fc.string(),
				fc.string().map((text) => `${PROTOCOLS.slice(0, 700)}${text}`),
			),
			(text) => {
				const lines = parseReply(text) ?? [];
				parseProtocols(lines);
				parseStatus(lines);
				parseRouteCount(lines);
			},
		),
	);
});

test('equal filters are written once, and another meaning is another name', () => {
	const filters = new BirdFilters();
	const inPool = { rules: [{ match: { within: cidr('10.0.0.0/8') }, action: 'accept' }], otherwise: 'reject' } as const;
	assert.equal(filters.name(inPool, 4), filters.name({ ...inPool }, 4));
	assert.notEqual(filters.name(inPool, 4), filters.name({ ...inPool, otherwise: 'accept' }, 4));
	assert.equal(filters.text().match(/net ~ 10\.0\.0\.0\/8/g)?.length, 2);
	assert.doesNotMatch(new BirdFilters().text(), /./);
	const ofSix = new BirdFilters();
	ofSix.name(inPool, 6);
	assert.doesNotMatch(ofSix.text(), /10\.0\.0\.0/, 'a prefix of the other family is left out');
});
