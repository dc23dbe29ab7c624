import { FAMILIES, type Family } from '#net';
import { putUint16, putUint32, uint16, uint32 } from './bytes.ts';
import { afiOf, familyOfAfi, SAFI_UNICAST } from './constants.ts';

/** IANA "Capability Codes". */
const Code = {
	multiprotocol: 1,
	routeRefresh: 2,
	extendedNextHop: 5,
	gracefulRestart: 64,
	as4: 65,
	addPath: 69,
	enhancedRouteRefresh: 70,
} as const;

/** What a speaker says it can do (RFC 5492), as far as we know it; unknown capabilities are ignored. */
export interface Capabilities {
	/** RFC 4760; undefined when the speaker named no family at all, which means IPv4 unicast. */
	readonly families: readonly Family[] | undefined;
	/** RFC 2918. */
	readonly routeRefresh: boolean;
	/** RFC 7313. */
	readonly enhancedRouteRefresh: boolean;
	/** RFC 6793; undefined from a speaker of two-octet AS numbers. */
	readonly as4: number | undefined;
	readonly gracefulRestart: GracefulRestartCapability | undefined;
	/** RFC 7911: per family, what the speaker is able to do. */
	readonly addPath: readonly { readonly family: Family; readonly receive: boolean; readonly send: boolean }[];
	/** RFC 8950: families whose routes may have an IPv6 next hop. */
	readonly extendedNextHop: readonly Family[];
}

/** RFC 4724 §3, with the notification bit of RFC 8538. */
export interface GracefulRestartCapability {
	/** The R bit: the speaker has restarted and waits for our End-of-RIB. */
	readonly restarting: boolean;
	readonly notification: boolean;
	/** 0 to 4095. */
	readonly restartTimeSeconds: number;
	/** Families in the capability, and whether forwarding state was kept. */
	readonly families: readonly { readonly family: Family; readonly forwarding: boolean }[];
}

export const NO_CAPABILITIES: Capabilities = {
	families: undefined,
	routeRefresh: false,
	enhancedRouteRefresh: false,
	as4: undefined,
	gracefulRestart: undefined,
	addPath: [],
	extendedNextHop: [],
};

/**
 * Reads the capabilities of one optional parameter and adds them to those of earlier ones.
 *
 * @returns undefined if a length runs past the end. A known capability whose content does not fit its length is ignored (RFC 5492 §5).
 */
export function decodeCapabilities(bytes: Uint8Array, start: number, end: number, earlier: Capabilities): Capabilities | undefined {
	let result = earlier;
	let offset = start;
	while (offset < end) {
		if (end - offset < 2) return undefined;
		const code = bytes[offset] as number;
		const length = bytes[offset + 1] as number;
		offset += 2;
		if (length > end - offset) return undefined;
		result = { ...result, ...decodeCapability(code, bytes.subarray(offset, offset + length), result) };
		offset += length;
	}
	return result;
}

function decodeCapability(code: number, value: Uint8Array, earlier: Capabilities): Partial<Capabilities> {
	switch (code) {
		case Code.multiprotocol: {
			if (value.length !== 4) return {};
			const family = familyOfAfi(uint16(value, 0), value[3] as number);
			const families = earlier.families ?? [];
			return { families: family === undefined || families.includes(family) ? families : [...families, family] };
		}
		case Code.routeRefresh:
			return { routeRefresh: true };
		case Code.enhancedRouteRefresh:
			return { enhancedRouteRefresh: true };
		case Code.as4:
			return value.length === 4 ? { as4: uint32(value, 0) } : {};
		case Code.gracefulRestart:
			return value.length % 4 === 2 ? { gracefulRestart: decodeGracefulRestart(value) } : {};
		case Code.addPath:
			return value.length % 4 === 0 ? { addPath: decodeAddPath(value) } : {};
		case Code.extendedNextHop:
			return value.length % 6 === 0 ? { extendedNextHop: decodeExtendedNextHop(value) } : {};
		default:
			return {};
	}
}

function decodeGracefulRestart(value: Uint8Array): GracefulRestartCapability {
	const head = uint16(value, 0);
	const families = new Map<Family, boolean>();
	for (let offset = 2; offset < value.length; offset += 4) {
		const family = familyOfAfi(uint16(value, offset), value[offset + 2] as number);
		if (family !== undefined) families.set(family, ((value[offset + 3] as number) & 0x80) !== 0);
	}
	return {
		restarting: (head & 0x8000) !== 0,
		notification: (head & 0x4000) !== 0,
		restartTimeSeconds: head & 0x0fff,
		families: [...families].map(([family, forwarding]) => ({ family, forwarding })),
	};
}

function decodeAddPath(value: Uint8Array): Capabilities['addPath'] {
	const families = new Map<Family, number>();
	for (let offset = 0; offset < value.length; offset += 4) {
		const family = familyOfAfi(uint16(value, offset), value[offset + 2] as number);
		const mode = value[offset + 3] as number;
		// RFC 7911 §4: other modes are to be ignored, and the last entry of a family counts
		if (family !== undefined && mode >= 1 && mode <= 3) families.set(family, mode);
	}
	return [...families].map(([family, mode]) => ({ family, receive: (mode & 1) !== 0, send: (mode & 2) !== 0 }));
}

function decodeExtendedNextHop(value: Uint8Array): Family[] {
	const families = new Set<Family>();
	for (let offset = 0; offset < value.length; offset += 6) {
		const family = familyOfAfi(uint16(value, offset), uint16(value, offset + 2));
		if (family !== undefined && uint16(value, offset + 4) === 2) families.add(family);
	}
	return [...families];
}

/** The capabilities as one byte string of code, length and value. */
export function encodeCapabilities(capabilities: Capabilities): Uint8Array {
	const out: number[] = [];
	const add = (code: number, value: readonly number[]): void => void out.push(code, value.length, ...value);
	for (const family of capabilities.families ?? []) add(Code.multiprotocol, [0, afiOf(family), 0, SAFI_UNICAST]);
	if (capabilities.routeRefresh) add(Code.routeRefresh, []);
	if (capabilities.extendedNextHop.length > 0)
		add(
			Code.extendedNextHop,
			capabilities.extendedNextHop.flatMap((family) => [0, afiOf(family), 0, SAFI_UNICAST, 0, 2]),
		);
	if (capabilities.gracefulRestart !== undefined) add(Code.gracefulRestart, gracefulRestartValue(capabilities.gracefulRestart));
	if (capabilities.as4 !== undefined) {
		const value = new Uint8Array(4);
		putUint32(value, 0, capabilities.as4);
		add(Code.as4, [...value]);
	}
	if (capabilities.addPath.length > 0)
		add(
			Code.addPath,
			capabilities.addPath.flatMap(({ family, receive, send }) => [0, afiOf(family), SAFI_UNICAST, (receive ? 1 : 0) | (send ? 2 : 0)]),
		);
	if (capabilities.enhancedRouteRefresh) add(Code.enhancedRouteRefresh, []);
	return Uint8Array.from(out);
}

function gracefulRestartValue(capability: GracefulRestartCapability): number[] {
	const head = new Uint8Array(2);
	const flags = (capability.restarting ? 0x8000 : 0) | (capability.notification ? 0x4000 : 0);
	putUint16(head, 0, flags | Math.min(capability.restartTimeSeconds, 0x0fff));
	return [...head, ...capability.families.flatMap(({ family, forwarding }) => [0, afiOf(family), SAFI_UNICAST, forwarding ? 0x80 : 0])];
}

/** Families both sides named; a speaker without the capability exchanges IPv4 unicast (RFC 4760 §8). */
export function commonFamilies(ours: readonly Family[], theirs: readonly Family[] | undefined): Family[] {
	const named = theirs ?? [4];
	return FAMILIES.filter((family) => ours.includes(family) && named.includes(family));
}
