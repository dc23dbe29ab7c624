import type { RouterStatus } from '#bgp';
import type { Health } from '../threads/messages.ts';

/** For this long after the node's start every session has to be up; after that one is enough, since a lost peer is no reason to take the node out. */
const STARTUP_MS = 90_000;

/** Whether a node's BGP counts as ready: without peers always; while it starts, when all sessions are up and recovery is over. */
export function bgpReadiness(status: RouterStatus | null, upMs: number): Health {
	if (status === null) return { ready: false, reason: 'the BGP daemon does not answer' };
	const down = status.peers.filter(({ state }) => state !== 'Established');
	if (status.peers.length === 0 || (down.length === 0 && !status.recovering)) return { ready: true, reason: '' };
	if (upMs >= STARTUP_MS && down.length < status.peers.length) return { ready: true, reason: '' };
	if (down.length === 0) return { ready: false, reason: 'BGP waits for the routes of its peers after a restart' };
	return {
		ready: false,
		reason: `BGP sessions are not established: ${down.map(({ address, state }) => `${address} (${state})`).join(', ')}`,
	};
}
