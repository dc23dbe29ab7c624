import type { Family } from '#net';

/** RFC 4271 §4.1: marker, length and type. */
export const HEADER_LENGTH = 19;
/** RFC 4271 §4. Extended messages (RFC 8654) are not negotiated. */
export const MAX_MESSAGE_LENGTH = 4096;

/** RFC 4271 §4.1, RFC 2918. */
export const MessageType = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

/** IANA "BGP Path Attributes". */
export const Attribute = {
	origin: 1,
	asPath: 2,
	nextHop: 3,
	multiExitDisc: 4,
	localPreference: 5,
	atomicAggregate: 6,
	aggregator: 7,
	communities: 8,
	originatorId: 9,
	clusterList: 10,
	mpReach: 14,
	mpUnreach: 15,
	extendedCommunities: 16,
	as4Path: 17,
	as4Aggregator: 18,
	largeCommunities: 32,
} as const;

/** RFC 4271 §4.3. */
export const AttributeFlag = { optional: 0x80, transitive: 0x40, partial: 0x20, extendedLength: 0x10 } as const;

/** RFC 6793 §9: stands for an AS number that does not fit in two octets. */
export const AS_TRANS = 23456;

/** IANA "BGP Well-known Communities". */
export const WellKnownCommunity = {
	gracefulShutdown: 0xffff0000,
	noExport: 0xffffff01,
	noAdvertise: 0xffffff02,
	noExportSubconfed: 0xffffff03,
} as const;

export const SAFI_UNICAST = 1;

/** IANA "Address Family Numbers". */
export function afiOf(family: Family): 1 | 2 {
	return family === 4 ? 1 : 2;
}

/** The family of an AFI and SAFI that we exchange, undefined for any other. */
export function familyOfAfi(afi: number, safi: number): Family | undefined {
	if (safi !== SAFI_UNICAST) return undefined;
	return afi === 1 ? 4 : afi === 2 ? 6 : undefined;
}
