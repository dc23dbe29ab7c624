import { filterKey } from '../policy/filter.ts';
import type { PeerConfig } from '../router-config.ts';

/** Whether a change of a peer's configuration only takes effect with a new session. */
export function needsNewSession(old: PeerConfig, wanted: PeerConfig): boolean {
	return (
		old.asNumber !== wanted.asNumber ||
		old.localAsNumber !== wanted.localAsNumber ||
		old.port !== wanted.port ||
		old.sourceAddress !== wanted.sourceAddress ||
		old.password !== wanted.password ||
		old.ttlSecurityHops !== wanted.ttlSecurityHops ||
		old.routeReflectorClusterId !== wanted.routeReflectorClusterId ||
		familyNames(old) !== familyNames(wanted)
	);
}

/** Whether routes received earlier could be treated differently now, so that the peer has to send them again. */
export function changesImport(old: PeerConfig, wanted: PeerConfig, family: PeerConfig['families'][number]): boolean {
	const before = old.families.find((entry) => entry.family === family.family);
	const sameFilter = before !== undefined && filterKey(before.importFilter) === filterKey(family.importFilter);
	return old.allowedLocalAs !== wanted.allowedLocalAs || !sameFilter;
}

function familyNames(peer: PeerConfig): string {
	return peer.families
		.map(({ family }) => family)
		.sort((a, b) => a - b)
		.join();
}
