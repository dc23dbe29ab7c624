import type { Family } from '#net';
import { uint16 } from './bytes.ts';
import { afiOf, familyOfAfi, MessageType, SAFI_UNICAST } from './constants.ts';
import { frame } from './framing.ts';
import { ErrorCode, type Notification, notification } from './notification.ts';

/** RFC 7313 §3.2; `begin` and `end` are BoRR and EoRR. */
export type RefreshKind = 'request' | 'begin' | 'end';

/** A ROUTE-REFRESH message (RFC 2918, RFC 7313). */
export interface RouteRefresh {
	readonly type: 'refresh';
	readonly family: Family;
	readonly kind: RefreshKind;
}

const KINDS: readonly RefreshKind[] = ['request', 'begin', 'end'];

export function encodeRouteRefresh(family: Family, kind: RefreshKind): Uint8Array {
	return frame(MessageType.routeRefresh, Uint8Array.of(0, afiOf(family), KINDS.indexOf(kind), SAFI_UNICAST));
}

/** Reads a ROUTE-REFRESH body; undefined is a family or subtype that is to be ignored (RFC 7313 §5). */
export function decodeRouteRefresh(bytes: Uint8Array, start: number, end: number): RouteRefresh | Notification | undefined {
	if (end - start !== 4) return notification(ErrorCode.routeRefresh, 1, bytes.slice(start, end));
	const family = familyOfAfi(uint16(bytes, start), bytes[start + 3] as number);
	const kind = KINDS[bytes[start + 2] as number];
	return family === undefined || kind === undefined ? undefined : { type: 'refresh', family, kind };
}
