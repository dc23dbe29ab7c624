import type { Family } from '#net';
import { uint16, uint32 } from '../wire/bytes.ts';
import { Attribute, AttributeFlag, familyOfAfi } from '../wire/constants.ts';
import { ErrorCode, type Notification, notification, UpdateError } from '../wire/notification.ts';
import { countAs, isAsPath, mergeAs4Path, widenAsPath } from './as-path.ts';
import type { AttributeSet, AttributeTable } from './attribute-set.ts';
import { AttributeWriter } from './writer.ts';

/** What the treatment of attributes depends on. */
export interface AttributeContext {
	readonly external: boolean;
	/** Whether AS numbers take four octets (RFC 6793). */
	readonly as4: boolean;
	/** A route whose AS_PATH holds this AS more than `allowedLocalAs` times has been here before. */
	readonly localAs: number;
	readonly allowedLocalAs: number;
	/** Our BGP Identifier and, as a route reflector, our cluster: routes that name them have been here before (RFC 4456 §8). */
	readonly routerId: number;
	readonly clusterId: number | undefined;
}

/** A run of NLRI inside the message. */
export interface NlriRange {
	readonly family: Family;
	readonly start: number;
	readonly end: number;
}

/** The path attributes of one UPDATE, after the treatment of RFC 7606. */
export interface ParsedAttributes {
	/** Why all routes of the message are to be treated as withdrawn; undefined if they are good. */
	readonly withdraw: string | undefined;
	/** True for a routing loop, which is not the sender's fault. */
	readonly loop: boolean;
	/** For the IPv4 NLRI at the end of the message; undefined if {@link withdraw}. */
	readonly plain: AttributeSet | undefined;
	readonly reach: (NlriRange & { readonly attributes: AttributeSet | undefined }) | undefined;
	readonly unreach: NlriRange | undefined;
}

const Kind = { wellKnown: AttributeFlag.transitive, optionalTransitive: 0xc0, optionalNonTransitive: AttributeFlag.optional } as const;

/** The Optional and Transitive bits each known attribute must have (RFC 7606 §3 c). */
const EXPECTED_FLAGS: Readonly<Record<number, number>> = {
	[Attribute.origin]: Kind.wellKnown,
	[Attribute.asPath]: Kind.wellKnown,
	[Attribute.nextHop]: Kind.wellKnown,
	[Attribute.multiExitDisc]: Kind.optionalNonTransitive,
	[Attribute.localPreference]: Kind.wellKnown,
	[Attribute.atomicAggregate]: Kind.wellKnown,
	[Attribute.aggregator]: Kind.optionalTransitive,
	[Attribute.communities]: Kind.optionalTransitive,
	[Attribute.originatorId]: Kind.optionalNonTransitive,
	[Attribute.clusterList]: Kind.optionalNonTransitive,
	[Attribute.mpReach]: Kind.optionalNonTransitive,
	[Attribute.mpUnreach]: Kind.optionalNonTransitive,
	[Attribute.extendedCommunities]: Kind.optionalTransitive,
	[Attribute.as4Path]: Kind.optionalTransitive,
	[Attribute.as4Aggregator]: Kind.optionalTransitive,
	[Attribute.largeCommunities]: Kind.optionalTransitive,
};

type Verdict = 'good' | 'discard' | 'withdraw';

/** Parses path attributes into interned sets. One parser serves all sessions of a speaker. */
export class AttributeParser {
	readonly #table: AttributeTable;
	readonly #writer = new AttributeWriter();
	/** Where each attribute type was first seen in the current message; valid where the round matches. */
	readonly #start = new Int32Array(256);
	readonly #end = new Int32Array(256);
	readonly #flags = new Uint8Array(256);
	readonly #round = new Int32Array(256);
	readonly #types = new Uint8Array(256);
	#thisRound = 0;

	constructor(table: AttributeTable) {
		this.#table = table;
	}

	/**
	 * Reads the attributes in `[start, end)`.
	 *
	 * @param hasPlainNlri whether IPv4 NLRI stand at the end of the message, so that NEXT_HOP is needed
	 * @returns a notification only where RFC 7606 still asks for a session reset
	 */
	parse(bytes: Uint8Array, start: number, end: number, hasPlainNlri: boolean, context: AttributeContext): ParsedAttributes | Notification {
		const round = this.#nextRound();
		let count = 0;
		let problem: string | undefined;
		for (let offset = start; offset < end; ) {
			const flags = bytes[offset] as number;
			const head = (flags & AttributeFlag.extendedLength) !== 0 ? 4 : 3;
			if (end - offset < head) {
				problem ??= 'attribute list is cut off';
				break;
			}
			const type = bytes[offset + 1] as number;
			const valueStart = offset + head;
			const valueEnd = valueStart + (head === 4 ? uint16(bytes, offset + 2) : (bytes[offset + 2] as number));
			if (valueEnd > end) {
				problem ??= `attribute ${type} is cut off`;
				break;
			}
			offset = valueEnd;
			if (this.#round[type] === round) {
				// RFC 7606 §3 g: the first counts, but MP attributes must not be repeated
				if (type === Attribute.mpReach || type === Attribute.mpUnreach)
					return notification(ErrorCode.update, UpdateError.malformedAttributes);
				continue;
			}
			this.#round[type] = round;
			this.#start[type] = valueStart;
			this.#end[type] = valueEnd;
			this.#flags[type] = flags;
			const verdict = checkAttribute(type, flags, bytes, valueStart, valueEnd, context);
			// RFC 4760 §3: without plain NLRI a NEXT_HOP is to be ignored
			if (type === Attribute.nextHop && !hasPlainNlri) continue;
			if (verdict === 'withdraw') problem ??= `attribute ${type} is malformed`;
			if (verdict === 'good') this.#types[count++] = type;
		}
		const reach = this.#reach(bytes);
		if (reach !== undefined && 'type' in reach) return reach;
		const unreach = this.#unreach(bytes);
		if (unreach !== undefined && 'type' in unreach) return unreach;
		const announces = hasPlainNlri || (reach !== undefined && reach.end > reach.start);
		if (!announces) {
			// RFC 7606 §5.2: with nothing to treat as withdrawn, NLRI may have been lost
			if (problem !== undefined) return notification(ErrorCode.update, UpdateError.malformedAttributes);
			return { withdraw: undefined, loop: false, plain: undefined, reach: undefined, unreach };
		}
		problem ??= this.#missing(hasPlainNlri);
		const path = problem === undefined ? this.#asPath(bytes, context) : undefined;
		const loop = path === undefined ? undefined : this.#loop(bytes, path, context);
		const withdraw = problem ?? loop;
		if (withdraw !== undefined || path === undefined) {
			const range = reach && { family: reach.family, start: reach.start, end: reach.end, attributes: undefined };
			return { withdraw: withdraw ?? 'AS_PATH is missing', loop: problem === undefined, plain: undefined, reach: range, unreach };
		}
		const types = this.#types.subarray(0, count).sort();
		return {
			withdraw: undefined,
			loop: false,
			plain: hasPlainNlri ? this.#build(bytes, types, path, undefined) : undefined,
			reach: reach && {
				family: reach.family,
				start: reach.start,
				end: reach.end,
				attributes: this.#build(bytes, types, path, reach.nextHop),
			},
			unreach,
		};
	}

	#nextRound(): number {
		this.#thisRound = (this.#thisRound + 1) | 0;
		if (this.#thisRound === 0) {
			this.#round.fill(0);
			this.#thisRound = 1;
		}
		return this.#thisRound;
	}

	#has(type: number): boolean {
		return this.#round[type] === this.#thisRound;
	}

	/** RFC 7606 §3 d, with NEXT_HOP only where plain NLRI need it (RFC 4760 §3). */
	#missing(hasPlainNlri: boolean): string | undefined {
		if (!this.#has(Attribute.origin)) return 'ORIGIN is missing';
		if (!this.#has(Attribute.asPath)) return 'AS_PATH is missing';
		return hasPlainNlri && !this.#has(Attribute.nextHop) ? 'NEXT_HOP is missing' : undefined;
	}

	/** MP_REACH_NLRI (RFC 4760 §3); undefined if absent or of a family we do not know. */
	#reach(bytes: Uint8Array): (NlriRange & { readonly nextHop: string }) | Notification | undefined {
		if (!this.#has(Attribute.mpReach)) return undefined;
		const start = this.#start[Attribute.mpReach] as number;
		const end = this.#end[Attribute.mpReach] as number;
		const malformed = notification(ErrorCode.update, UpdateError.malformedAttributes);
		if (end - start < 5) return malformed;
		const family = familyOfAfi(uint16(bytes, start), bytes[start + 2] as number);
		const length = bytes[start + 3] as number;
		const nlri = start + 4 + length + 1;
		if (nlri > end) return malformed;
		if (family === undefined) return undefined;
		// RFC 2545 §3 and RFC 8950 §3: 16 or 32 octets of IPv6; 4 of IPv4 only for IPv4 NLRI
		if (length !== 16 && length !== 32 && !(family === 4 && length === 4)) return malformed;
		let key = '';
		for (let index = start + 4; index < start + 4 + length; index++) key += String.fromCharCode(bytes[index] as number);
		return { family, start: nlri, end, nextHop: key };
	}

	/** MP_UNREACH_NLRI (RFC 4760 §4). */
	#unreach(bytes: Uint8Array): NlriRange | Notification | undefined {
		if (!this.#has(Attribute.mpUnreach)) return undefined;
		const start = this.#start[Attribute.mpUnreach] as number;
		const end = this.#end[Attribute.mpUnreach] as number;
		if (end - start < 3) return notification(ErrorCode.update, UpdateError.malformedAttributes);
		const family = familyOfAfi(uint16(bytes, start), bytes[start + 2] as number);
		return family === undefined ? undefined : { family, start: start + 3, end };
	}

	/** The AS_PATH with four octets per number; the message's own bytes where they have that form. */
	#asPath(bytes: Uint8Array, context: AttributeContext): Uint8Array {
		const start = this.#start[Attribute.asPath] as number;
		const end = this.#end[Attribute.asPath] as number;
		if (context.as4) return bytes.subarray(start, end);
		const path = widenAsPath(bytes, start, end);
		if (!this.#has(Attribute.as4Path)) return path;
		const as4Start = this.#start[Attribute.as4Path] as number;
		const as4End = this.#end[Attribute.as4Path] as number;
		// RFC 6793 §6: a malformed AS4_PATH is discarded
		return isAsPath(bytes, as4Start, as4End, 4) ? mergeAs4Path(path, bytes.subarray(as4Start, as4End)) : path;
	}

	#loop(bytes: Uint8Array, path: Uint8Array, context: AttributeContext): string | undefined {
		if (countAs(path, 0, path.length, context.localAs) > context.allowedLocalAs) return 'AS_PATH holds our own AS';
		if (context.external) return undefined;
		if (this.#has(Attribute.originatorId) && uint32(bytes, this.#start[Attribute.originatorId] as number) === context.routerId)
			return 'ORIGINATOR_ID is our own';
		if (context.clusterId !== undefined && this.#has(Attribute.clusterList))
			for (let at = this.#start[Attribute.clusterList] as number; at < (this.#end[Attribute.clusterList] as number); at += 4)
				if (uint32(bytes, at) === context.clusterId) return 'CLUSTER_LIST holds our own cluster';
		return undefined;
	}

	/** @param nextHop the one of MP_REACH_NLRI; undefined takes NEXT_HOP */
	#build(bytes: Uint8Array, types: Uint8Array, path: Uint8Array, nextHop: string | undefined): AttributeSet | undefined {
		const writer = this.#writer;
		writer.reset();
		let room = true;
		for (const type of types) {
			if (type === Attribute.asPath) room &&= writer.put(Kind.wellKnown, type, path);
			else if (type === Attribute.nextHop) {
				if (nextHop === undefined) room &&= writer.put(Kind.wellKnown, type, bytes, this.#start[type], this.#end[type]);
			} else room &&= writer.put(canonicalFlags(type, this.#flags[type] as number), type, bytes, this.#start[type], this.#end[type]);
			if (type === Attribute.asPath && nextHop?.length === 4)
				room &&= writer.put(Kind.wellKnown, Attribute.nextHop, Buffer.from(nextHop, 'latin1'));
		}
		return room ? writer.intern(this.#table, nextHop?.length === 4 ? undefined : nextHop) : undefined;
	}
}

/** Known attributes get the flags their definition gives; unknown ones that we pass on get Partial (RFC 4271 §5). */
function canonicalFlags(type: number, flags: number): number {
	const expected = EXPECTED_FLAGS[type];
	if (expected === undefined) return Kind.optionalTransitive | AttributeFlag.partial;
	return expected === Kind.optionalTransitive ? expected | (flags & AttributeFlag.partial) : expected;
}

/** The fate of one attribute by RFC 7606 §7. */
function checkAttribute(type: number, flags: number, bytes: Uint8Array, start: number, end: number, context: AttributeContext): Verdict {
	const length = end - start;
	const expected = EXPECTED_FLAGS[type];
	const kind = flags & Kind.optionalTransitive;
	if (expected === undefined) {
		if ((flags & AttributeFlag.optional) === 0) return 'withdraw';
		return kind === Kind.optionalTransitive ? 'good' : 'discard';
	}
	if (kind !== expected) return 'withdraw';
	switch (type) {
		case Attribute.origin:
			return length === 1 && (bytes[start] as number) <= 2 ? 'good' : 'withdraw';
		case Attribute.asPath:
			return isAsPath(bytes, start, end, context.as4 ? 4 : 2) ? 'good' : 'withdraw';
		case Attribute.nextHop:
			return length === 4 && isUnicastIpv4(bytes[start] as number) ? 'good' : 'withdraw';
		case Attribute.multiExitDisc:
			return length === 4 ? 'good' : 'withdraw';
		case Attribute.localPreference:
			if (context.external) return 'discard';
			return length === 4 ? 'good' : 'withdraw';
		case Attribute.atomicAggregate:
			return length === 0 ? 'good' : 'discard';
		case Attribute.aggregator:
			return aggregatorIsGood(bytes, start, length, context) ? 'good' : 'discard';
		case Attribute.communities:
			return length > 0 && length % 4 === 0 ? 'good' : 'withdraw';
		case Attribute.extendedCommunities:
			return length > 0 && length % 8 === 0 ? 'good' : 'withdraw';
		case Attribute.largeCommunities:
			return length > 0 && length % 12 === 0 ? 'good' : 'withdraw';
		case Attribute.originatorId:
			if (context.external) return 'discard';
			return length === 4 ? 'good' : 'withdraw';
		case Attribute.clusterList:
			if (context.external) return 'discard';
			return length > 0 && length % 4 === 0 ? 'good' : 'withdraw';
		default:
			// MP attributes are handled apart; AS4_* only matter while the path is read
			return 'discard';
	}
}

/** A two-octet AGGREGATOR is left out rather than widened: it is informational (RFC 4271 §5.1.7). */
function aggregatorIsGood(bytes: Uint8Array, start: number, length: number, context: AttributeContext): boolean {
	return context.as4 && length === 8 && uint32(bytes, start) !== 0;
}

/** RFC 4271 §6.3: a next hop has to be a valid host address. */
function isUnicastIpv4(firstOctet: number): boolean {
	return firstOctet !== 0 && firstOctet < 224 && firstOctet !== 127;
}
