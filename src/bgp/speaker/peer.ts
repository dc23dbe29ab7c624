import type { Family } from '#net';
import type { AttributeContext } from '../attributes/parse.ts';
import type { Member } from '../export/member.ts';
import type { UpdateGroup } from '../export/update-group.ts';
import type { CompiledFilter } from '../policy/filter.ts';
import type { PeerFacts, Source } from '../rib/source.ts';
import type { PeerConfig } from '../router-config.ts';
import type { Transport } from '../session/connection.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { Session } from '../session/session.ts';

/** One family of a peer. */
export interface PeerFamily {
	readonly family: Family;
	importFilter: CompiledFilter;
	exportFilter: CompiledFilter;
	/** By path identifier; routes of an earlier session that are not kept have other sources. */
	sources: Map<number, Source>;
	/** Paths in the RIB. */
	received: number;
	/** Until when routes marked stale are kept (RFC 4724 §4.2); undefined if there are none. */
	staleUntilMs: number | undefined;
	/** Whether the peer has sent End-of-RIB in this session. */
	endOfRib: boolean;
	/** Its place in an update group while established. */
	export: { readonly group: UpdateGroup; readonly member: Member } | undefined;
}

/** A configured peer with everything known of it. */
export interface Peer {
	config: PeerConfig;
	readonly facts: PeerFacts;
	readonly session: Session;
	readonly families: Map<Family, PeerFamily>;
	/** Only while established. */
	established: { readonly negotiated: Negotiated; readonly transport: Transport; readonly context: AttributeContext } | undefined;
	/** Wall clock time of the last change of state. */
	sinceMs: number;
}
