import type { Family } from '#net';
import type { Capabilities } from '../wire/capability.ts';
import { commonFamilies } from '../wire/capability.ts';
import { CeaseError, ErrorCode, type Notification, notification, notificationWith16, OpenError } from '../wire/notification.ts';
import type { OpenMessage } from '../wire/open.ts';

/** What both sides of a session agreed on. */
export interface Negotiated {
	/** The peer's BGP Identifier as an unsigned number. */
	readonly routerId: number;
	readonly external: boolean;
	/** 0 turns the hold timer and keepalives off. */
	readonly holdTimeMs: number;
	/** Whether AS numbers take four octets. */
	readonly as4: boolean;
	readonly families: readonly Family[];
	readonly routeRefresh: boolean;
	readonly enhancedRouteRefresh: boolean;
	/** Families in which the peer sends path identifiers (RFC 7911). */
	readonly addPathReceive: ReadonlySet<Family>;
	readonly gracefulRestart: NegotiatedGracefulRestart | undefined;
}

/** The peer's graceful restart capability (RFC 4724), for families both sides exchange. */
export interface NegotiatedGracefulRestart {
	readonly restarting: boolean;
	readonly restartTimeMs: number;
	/** Both sides also keep routes after a NOTIFICATION that is no hard reset (RFC 8538). */
	readonly notification: boolean;
	/** Families whose routes we keep while the peer is away; the value says whether it kept its forwarding state. */
	readonly families: ReadonlyMap<Family, boolean>;
}

/** What our side brings to the negotiation. */
export interface LocalOpen {
	readonly localAs: number;
	readonly peerAs: number;
	readonly open: OpenMessage;
}

/** A refusal, with the reason in words for people. */
export interface Refusal {
	readonly notification: Notification;
	readonly reason: string;
}

/**
 * Compares the peer's OPEN with our own.
 *
 * @returns the refusal of RFC 4271 §6.2 if the session must not come up
 */
export function negotiate(local: LocalOpen, peer: OpenMessage): Negotiated | Refusal {
	if (peer.asNumber !== local.peerAs)
		return {
			notification: notificationWith16(ErrorCode.open, OpenError.badPeerAs, Math.min(peer.asNumber, 0xffff)),
			reason: `Wrong AS: the peer says it is AS ${peer.asNumber}, configured is AS ${local.peerAs}`,
		};
	const external = local.localAs !== local.peerAs;
	// RFC 6286 §2.2
	if (!external && peer.routerId === local.open.routerId)
		return {
			notification: notification(ErrorCode.open, OpenError.badIdentifier),
			reason: 'The peer is in our AS and has our own router ID',
		};
	const ours = local.open.capabilities;
	const families = commonFamilies(ours.families ?? [4], peer.capabilities.families);
	if (families.length === 0)
		return {
			notification: notification(ErrorCode.cease, CeaseError.connectionRejected),
			reason: 'No address family in common',
		};
	return {
		routerId: peer.routerId,
		external,
		holdTimeMs: Math.min(peer.holdTimeSeconds, local.open.holdTimeSeconds) * 1000,
		as4: peer.capabilities.as4 !== undefined,
		families,
		routeRefresh: peer.capabilities.routeRefresh,
		enhancedRouteRefresh: peer.capabilities.enhancedRouteRefresh && ours.enhancedRouteRefresh,
		addPathReceive: new Set(families.filter((family) => canReceivePaths(ours, family) && canSendPaths(peer.capabilities, family))),
		gracefulRestart: gracefulRestart(ours, peer.capabilities, families),
	};
}

export function isRefusal(result: Negotiated | Refusal): result is Refusal {
	return 'notification' in result;
}

function canReceivePaths(capabilities: Capabilities, family: Family): boolean {
	return capabilities.addPath.some((entry) => entry.family === family && entry.receive);
}

function canSendPaths(capabilities: Capabilities, family: Family): boolean {
	return capabilities.addPath.some((entry) => entry.family === family && entry.send);
}

function gracefulRestart(ours: Capabilities, theirs: Capabilities, families: readonly Family[]): NegotiatedGracefulRestart | undefined {
	const capability = theirs.gracefulRestart;
	if (ours.gracefulRestart === undefined || capability === undefined) return undefined;
	const shared = capability.families.filter(({ family }) => families.includes(family));
	return {
		restarting: capability.restarting,
		restartTimeMs: capability.restartTimeSeconds * 1000,
		notification: ours.gracefulRestart.notification && capability.notification,
		families: new Map(shared.map(({ family, forwarding }) => [family, forwarding])),
	};
}
