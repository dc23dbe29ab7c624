import { join } from 'node:path';
import { stringify } from 'yaml';
import type { PeerStatus, SessionState } from '#bgp';
import { ipFamily } from '#net';
import { askNode, NODE_SOCKET, type NodeStatus, nodeApiError } from '#node-api';
import { ctlError } from './errors.ts';
import { formatBox } from './table.ts';

const PEER_TYPES: Readonly<Record<string, string>> = { Mesh: 'node-to-node mesh', Node: 'node specific', Global: 'global' };

/** Words of BIRD, which scripts look for. */
const STATE_WORDS: Readonly<Record<SessionState, string>> = {
	Idle: 'down',
	Connect: 'start',
	Active: 'start',
	OpenSent: 'start',
	OpenConfirm: 'start',
	Established: 'up',
};

/**
 * The state of the node on this machine.
 *
 * @param env `CALICO_HOST_ROOT` tells where the node's directories are, if not under `/`
 * @throws CTL_NO_NODE
 */
export async function nodeStatus(format: 'ps' | 'json' | 'yaml', env: Readonly<Record<string, string | undefined>>): Promise<string> {
	const status = await readStatus(join(env['CALICO_HOST_ROOT'] ?? '/', NODE_SOCKET));
	switch (format) {
		case 'json':
			return `${JSON.stringify(status, null, 2)}\n`;
		case 'yaml':
			return stringify(status, { lineWidth: 0 });
		case 'ps':
			return describe(status);
	}
}

async function readStatus(socket: string): Promise<NodeStatus> {
	try {
		return await askNode(socket, 'GET /v1/status', undefined);
	} catch (cause) {
		if (!nodeApiError.is(cause, 'NODE_API_UNAVAILABLE')) throw cause;
		throw ctlError('CTL_NO_NODE', { message: 'Calico process is not running.', hint: 'see: systemctl status calico-node', cause });
	}
}

function describe(status: NodeStatus): string {
	const parts = ['Calico process is running.\n'];
	if (!status.ready) parts.push(`It is not ready: ${status.reason}\n`);
	for (const { subject, message } of status.problems) parts.push(`Problem: ${subject}: ${message}\n`);
	if (status.bgp === null)
		parts.push(`\n${status.backend === 'none' ? 'BGP is turned off on this node.' : 'The BGP daemon is not running.'}\n`);
	else for (const family of [4, 6] as const) parts.push(`\n${peerTable(family, status.bgp.peers)}`);
	return parts.join('');
}

function peerTable(family: 4 | 6, peers: readonly PeerStatus[]): string {
	const own = peers.filter(({ address }) => ipFamily(address) === family);
	const heading = `IPv${family} BGP status\n`;
	if (own.length === 0) return `${heading}No IPv${family} peers found.\n`;
	const rows = own.map(({ name, address, state, sinceMs, info }) => [
		address,
		PEER_TYPES[name.split('_')[0] as string] ?? 'unknown',
		STATE_WORDS[state],
		new Date(sinceMs).toISOString().slice(0, 19).replace('T', ' '),
		info === '' || state === 'Established' ? state : `${state}: ${info}`,
	]);
	return heading + formatBox(['PEER ADDRESS', 'PEER TYPE', 'STATE', 'SINCE', 'INFO'], rows);
}
