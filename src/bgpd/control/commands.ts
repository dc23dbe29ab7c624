import type { PeerStatus, RouterStatus } from '#bgp';
import { type Family, ipFamily } from '#net';
import { type ReplyLine } from './reply.ts';
import { longTime, shortTime } from './time.ts';

/** What `show status` and `show protocols` tell about. */
export interface ControlView {
	/** Undefined while nothing is configured. */
	readonly status: RouterStatus | undefined;
	/** All times in milliseconds since the epoch. */
	readonly nowMs: number;
	readonly startedMs: number;
	readonly configuredMs: number;
	/** Shows peers of this family only. */
	readonly family: Family | undefined;
}

/** First line of every connection and of `show status`. Tools look for the form of BIRD 1.x. */
export const VERSION_TEXT = 'BIRD v0.3.3+birdv1.6.8 (Tortie)';

/** `show status`: lines and the last line. */
export function showStatus(view: ControlView): { readonly lines: readonly ReplyLine[]; readonly last: ReplyLine } {
	const lines = [
		{ code: 1000, text: VERSION_TEXT },
		{ code: 1011, text: `Router ID is ${view.status?.routerId ?? '0.0.0.0'}` },
		{ code: 1011, text: `Current server time is ${longTime(view.nowMs)}` },
		{ code: 1011, text: `Last reboot on ${longTime(view.startedMs)}` },
		{ code: 1011, text: `Last reconfiguration on ${longTime(view.configuredMs)}` },
	];
	if (view.status?.recovering === true) lines.push({ code: 24, text: 'Graceful restart recovery in progress' });
	return { lines, last: { code: 13, text: 'Daemon is up and running' } };
}

/** `show protocols`: one row per protocol. */
export function showProtocols(view: ControlView, detailed: boolean, name: string | undefined): readonly ReplyLine[] | undefined {
	const built = ['static1 Static', 'kernel1 Kernel', 'device1 Device', 'direct1 Direct'].map((pair) => pair.split(' ') as [string, string]);
	const lines: ReplyLine[] = [{ code: 2002, text: row('name', 'proto', 'table', 'state', 'since', 'info') }];
	for (const [own, kind] of built) {
		if (name !== undefined && name !== own) continue;
		lines.push({ code: 1002, text: row(own, kind, 'master', 'up', shortTime(view.startedMs, view.nowMs), '') });
	}
	for (const peer of view.status?.peers ?? []) {
		if (name !== undefined && name !== peer.name) continue;
		if (view.family !== undefined && ipFamily(peer.address) !== view.family) continue;
		lines.push({ code: 1002, text: peerRow(peer, view.nowMs) });
		if (detailed) for (const text of peerDetails(peer, view.family)) lines.push({ code: 1006, text });
	}
	return name !== undefined && lines.length === 1 ? undefined : lines;
}

function peerRow(peer: PeerStatus, nowMs: number): string {
	const state = peer.state === 'Established' ? 'up' : 'start';
	return row(peer.name, 'BGP', 'master', state, shortTime(peer.sinceMs, nowMs), `${peer.state.padEnd(14)}${peer.info}`);
}

function peerDetails(peer: PeerStatus, family: Family | undefined): string[] {
	const total = (counts: PeerStatus['received']): number => (family === undefined ? counts[4] + counts[6] : counts[family]);
	return [
		'  Preference:     100',
		'  Input filter:   (unnamed)',
		'  Output filter:  (unnamed)',
		`  Routes:         ${total(peer.received)} imported, ${total(peer.advertised)} exported, ${total(peer.received)} preferred`,
		`  BGP state:          ${peer.state}`,
		`    Neighbor address: ${peer.address}`,
		`    Neighbor AS:      ${peer.asNumber}`,
		...(peer.info === '' ? [] : [`    Last error:       ${peer.info}`]),
	];
}

/** Columns of BIRD 1.x. */
function row(name: string, proto: string, table: string, state: string, since: string, info: string): string {
	return `${name.padEnd(8)} ${proto.padEnd(8)} ${table.padEnd(8)} ${state.padEnd(6)} ${since.padEnd(10)}  ${info}`;
}
