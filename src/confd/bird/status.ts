import type { PeerStatus, RouterStatus, SessionState } from '#bgp';
import { type Family, type Ip, ipFamily, parseIp } from '#net';
import type { ReplyLine } from './control.ts';

/** Codes of the lines that matter (`doc/reply_codes` in BIRD). */
const CODE = { protocol: 1002, protocolDetail: 1006, route: 1007, status: 1011, recovering: 24 } as const;

/** The BGP sessions in the reply to `show protocols all`. */
export function parseProtocols(lines: readonly ReplyLine[]): PeerStatus[] {
	const peers: PeerStatus[] = [];
	for (let index = 0; index < lines.length; index++) {
		const line = lines[index];
		if (line?.code !== CODE.protocol) continue;
		const row = /^(\S+)\s+BGP\s+\S+\s+(\S+)\s+([0-9-]+ [0-9:.]+|[0-9:.-]+)\s*(.*)$/.exec(line.text);
		if (row === null) continue;
		const details: string[] = [];
		for (let next = lines[index + 1]; next?.code === CODE.protocolDetail; next = lines[++index + 1]) details.push(next.text);
		const peer = parsePeer(row, details);
		if (peer !== undefined) peers.push(peer);
	}
	return peers;
}

function parsePeer(row: RegExpExecArray, details: readonly string[]): PeerStatus | undefined {
	const address = parseIp((field(details, 'Neighbor address') ?? '').split('%')[0] as string);
	if (address === undefined) return undefined;
	const [, name = '', , since = '', info = ''] = row;
	const state = field(details, 'BGP state') ?? '';
	const family = ipFamily(address);
	const received: Record<Family, number> = { 4: 0, 6: 0 };
	const advertised: Record<Family, number> = { 4: 0, 6: 0 };
	let channel: Family = family;
	for (const detail of details) {
		const start = /^\s*Channel ipv([46])\s*$/.exec(detail);
		if (start !== null) channel = start[1] === '4' ? 4 : 6;
		const routes = /^\s*Routes:\s+([0-9]+) imported,.*?([0-9]+) exported/.exec(detail);
		if (routes !== null) {
			received[channel] = Number(routes[1]);
			advertised[channel] = Number(routes[2]);
		}
	}
	const failure = field(details, 'Last error');
	return {
		name,
		address,
		asNumber: Number(field(details, 'Neighbor AS') ?? 0),
		state: isSessionState(state) ? state : 'Idle',
		sinceMs: Date.parse(since) || 0,
		info: failure ?? info.replace(/^\S+\s*/, '').trim(),
		received,
		advertised,
	};
}

function field(details: readonly string[], name: string): string | undefined {
	for (const detail of details) {
		const text = detail.trim();
		if (text.startsWith(`${name}:`)) return text.slice(name.length + 1).trim();
	}
	return undefined;
}

/** BIRD also shows `Down` and `Close`, which RFC 4271 counts as Idle. */
function isSessionState(text: string): text is SessionState {
	return ['Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established'].includes(text);
}

/** The daemon's own lines in the reply to `show status`. */
export function parseStatus(lines: readonly ReplyLine[]): Pick<RouterStatus, 'recovering'> & { readonly routerId: Ip | undefined } {
	let routerId: Ip | undefined;
	for (const { code, text } of lines) if (code === CODE.status) routerId ??= parseIp(/^Router ID is (\S+)$/.exec(text.trim())?.[1] ?? '');
	return { routerId, recovering: lines.some(({ code }) => code === CODE.recovering) };
}

/** The number of prefixes in the reply to `show route table … count`. */
export function parseRouteCount(lines: readonly ReplyLine[]): number {
	for (const { code, text } of lines) {
		const count = code === CODE.route ? /for ([0-9]+) networks/.exec(text) : null;
		if (count !== null) return Number(count[1]);
	}
	return 0;
}
