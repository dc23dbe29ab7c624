import { putUint32, uint16, uint32 } from '../wire/bytes.ts';
import { Attribute, AttributeFlag, MAX_MESSAGE_LENGTH } from '../wire/constants.ts';
import { prependAs } from './as-path.ts';
import type { AttributeSet, AttributeTable } from './attribute-set.ts';
import type { Communities } from './community.ts';
import { AttributeWriter } from './writer.ts';

/** What to change in an attribute set. What is absent stays. */
export interface AttributeChange {
	/** Key of the new next hop (4, 16 or 32 latin-1 characters); `remove` makes the set one of a route of our own. */
	readonly nextHop?: string | undefined;
	/** Leftmost first. */
	readonly prepend?: readonly number[];
	readonly localPreference?: number | 'remove';
	readonly removeMed?: boolean;
	/** Marks a reflected route (RFC 4456 §8); `remove` takes the marks away. */
	readonly reflection?: { readonly originatorId: number; readonly clusterId: number } | 'remove';
	readonly addCommunities?: Communities;
	/** The route leaves the AS: extended communities that are not transitive go (RFC 4360 §6). */
	readonly external?: boolean;
}

interface Field {
	readonly type: number;
	readonly flags: number;
	readonly value: Uint8Array;
}

/** Makes changed copies of attribute sets. */
export class AttributeRewriter {
	readonly #table: AttributeTable;
	readonly #source = new Uint8Array(16384);
	readonly #sourceText = Buffer.from(this.#source.buffer);
	readonly #writer = new AttributeWriter();

	constructor(table: AttributeTable) {
		this.#table = table;
	}

	/** The attributes of a route of our own: ORIGIN IGP, an empty AS_PATH, ourselves as the next hop. */
	own(): AttributeSet {
		this.#writer.reset();
		this.#writer.put(AttributeFlag.transitive, Attribute.origin, Uint8Array.of(0));
		this.#writer.put(AttributeFlag.transitive, Attribute.asPath, new Uint8Array(0));
		return this.#writer.intern(this.#table, undefined);
	}

	/**
	 * The set under a change. The caller retains it or never asks for it again.
	 *
	 * @returns undefined if the result would be longer than `maxLength` bytes on the wire
	 */
	rewrite(set: AttributeSet, change: AttributeChange, maxLength = MAX_MESSAGE_LENGTH): AttributeSet | undefined {
		const fields = this.#fields(set, change);
		const writer = this.#writer;
		writer.reset();
		for (const { type, flags, value } of fields) if (!writer.put(flags, type, value)) return undefined;
		if (writer.length > maxLength) return undefined;
		const nextHop = change.nextHop ?? set.nextHop?.key;
		return writer.intern(this.#table, nextHop === undefined || nextHop.length === 4 ? undefined : nextHop);
	}

	#fields(set: AttributeSet, change: AttributeChange): Field[] {
		const bytes = this.#source;
		this.#sourceText.write(set.key, 0, 'latin1');
		const fields: Field[] = [];
		const added = additions(change, set);
		let next = 0;
		for (let offset = 0; offset < set.wireLength; ) {
			const flags = bytes[offset] as number;
			const type = bytes[offset + 1] as number;
			const extended = (flags & AttributeFlag.extendedLength) !== 0;
			const start = offset + (extended ? 4 : 3);
			offset = start + (extended ? uint16(bytes, offset + 2) : (bytes[offset + 2] as number));
			const value = bytes.subarray(start, offset);
			while ((added[next]?.type ?? 256) < type) fields.push(added[next++] as Field);
			const addition = added[next]?.type === type ? (added[next++] as Field) : undefined;
			const field = merge({ type, flags, value }, addition, change);
			if (field !== undefined) fields.push(field);
		}
		fields.push(...added.slice(next));
		return fields;
	}
}

/** The attributes that a change sets or extends, ascending by type. */
function additions(change: AttributeChange, set: AttributeSet): Field[] {
	const fields: Field[] = [];
	const nextHop = change.nextHop;
	if (nextHop?.length === 4)
		fields.push({ type: Attribute.nextHop, flags: AttributeFlag.transitive, value: Buffer.from(nextHop, 'latin1') });
	if (typeof change.localPreference === 'number')
		fields.push({ type: Attribute.localPreference, flags: AttributeFlag.transitive, value: number32(change.localPreference) });
	if (change.addCommunities !== undefined && change.addCommunities.standard.length > 0)
		fields.push({ type: Attribute.communities, flags: 0xc0, value: concat(change.addCommunities.standard.map(number32)) });
	if (typeof change.reflection === 'object') {
		fields.push({
			type: Attribute.originatorId,
			flags: AttributeFlag.optional,
			value: number32(set.originatorId === 0 ? change.reflection.originatorId : set.originatorId),
		});
		fields.push({ type: Attribute.clusterList, flags: AttributeFlag.optional, value: number32(change.reflection.clusterId) });
	}
	if (change.addCommunities !== undefined && change.addCommunities.large.length > 0)
		fields.push({ type: Attribute.largeCommunities, flags: 0xc0, value: concat(change.addCommunities.large.flat().map(number32)) });
	return fields;
}

/** One attribute of the old set under the change; undefined takes it away. */
function merge(field: Field, addition: Field | undefined, change: AttributeChange): Field | undefined {
	const { type, value } = field;
	if (type === Attribute.asPath) return change.prepend === undefined ? field : { ...field, value: prependAs(value, change.prepend) };
	if (type === Attribute.nextHop) return change.nextHop === undefined ? field : addition;
	if (type === Attribute.multiExitDisc) return change.removeMed === true ? undefined : field;
	if (type === Attribute.localPreference) return change.localPreference === 'remove' ? undefined : (addition ?? field);
	if (type === Attribute.originatorId) return change.reflection === 'remove' ? undefined : (addition ?? field);
	if (type === Attribute.clusterList) {
		if (change.reflection === 'remove') return undefined;
		return addition === undefined ? field : { ...field, value: concat([addition.value, value]) };
	}
	if (type === Attribute.communities) return addition === undefined ? field : { ...field, value: union(value, addition.value, 4) };
	if (type === Attribute.largeCommunities) return addition === undefined ? field : { ...field, value: union(value, addition.value, 12) };
	if (type === Attribute.extendedCommunities && change.external === true) {
		const kept = transitiveOnly(value);
		return kept.length === 0 ? undefined : { ...field, value: kept };
	}
	return field;
}

/** Both lists without repetition, the old ones first. */
function union(old: Uint8Array, more: Uint8Array, width: number): Uint8Array {
	const parts: Uint8Array[] = [];
	const seen = new Set<string>();
	for (const list of [old, more])
		for (let offset = 0; offset < list.length; offset += width) {
			const part = list.subarray(offset, offset + width);
			const key = part.join('.');
			if (!seen.has(key)) parts.push(part);
			seen.add(key);
		}
	return concat(parts);
}

/** RFC 4360 §2: bit 0x40 of the type's high octet marks a community as non-transitive. */
function transitiveOnly(value: Uint8Array): Uint8Array {
	const parts: Uint8Array[] = [];
	for (let offset = 0; offset < value.length; offset += 8)
		if (((uint32(value, offset) >>> 24) & 0x40) === 0) parts.push(value.subarray(offset, offset + 8));
	return concat(parts);
}

function number32(value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	putUint32(bytes, 0, value);
	return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
	const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let offset = 0;
	for (const part of parts) {
		result.set(part, offset);
		offset += part.length;
	}
	return result;
}
