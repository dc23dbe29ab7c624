import type { Family } from '#net';
import { Attribute, AttributeFlag, afiOf, MessageType, SAFI_UNICAST } from './constants.ts';
import { frame } from './framing.ts';

/** The End-of-RIB marker of a family (RFC 4724 §2). */
export function encodeEndOfRib(family: Family): Uint8Array {
	if (family === 4) return frame(MessageType.update, new Uint8Array(4));
	return frame(
		MessageType.update,
		Uint8Array.of(0, 0, 0, 6, AttributeFlag.optional, Attribute.mpUnreach, 3, 0, afiOf(family), SAFI_UNICAST),
	);
}
