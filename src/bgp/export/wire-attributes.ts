import { narrowAsPath } from '../attributes/as-path.ts';
import type { AttributeSet } from '../attributes/attribute-set.ts';
import { AttributeWriter } from '../attributes/writer.ts';
import { uint16, uint32 } from '../wire/bytes.ts';
import { AS_TRANS, Attribute, AttributeFlag } from '../wire/constants.ts';

/** Optional transitive. */
const FLAGS = AttributeFlag.optional | AttributeFlag.transitive;

/**
 * The attributes of a set as they go over the wire, MP_REACH_NLRI left out.
 *
 * @param as4 false converts AS_PATH and AGGREGATOR for a speaker of two-octet AS numbers and adds AS4_PATH and AS4_AGGREGATOR
 *   where something was lost (RFC 6793 §4.2.2)
 */
export function wireAttributes(set: AttributeSet, as4: boolean): Uint8Array {
	const bytes = Buffer.from(set.key.slice(0, set.wireLength), 'latin1');
	if (as4) return bytes;
	const writer = new AttributeWriter();
	const later: [type: number, value: Uint8Array][] = [];
	for (let offset = 0; offset < bytes.length; ) {
		const flags = bytes[offset] as number;
		const type = bytes[offset + 1] as number;
		const extended = (flags & AttributeFlag.extendedLength) !== 0;
		const start = offset + (extended ? 4 : 3);
		offset = start + (extended ? uint16(bytes, offset + 2) : (bytes[offset + 2] as number));
		const value = bytes.subarray(start, offset);
		if (type > Attribute.as4Aggregator) for (const [late, lateValue] of later.splice(0)) writer.put(FLAGS, late, lateValue);
		if (type === Attribute.asPath) {
			const { path, lossy } = narrowAsPath(value);
			writer.put(flags, type, path);
			if (lossy) later.push([Attribute.as4Path, value]);
		} else if (type === Attribute.aggregator) {
			const asNumber = uint32(value, 0);
			const narrow = asNumber > 0xffff ? AS_TRANS : asNumber;
			writer.put(flags, type, Uint8Array.of(narrow >> 8, narrow & 0xff, ...value.subarray(4)));
			if (narrow !== asNumber) later.push([Attribute.as4Aggregator, value]);
		} else writer.put(flags, type, value);
	}
	for (const [late, lateValue] of later) writer.put(FLAGS, late, lateValue);
	return writer.bytes.subarray(0, writer.length);
}
