import { netError } from './errors.ts';

/** A 48-bit MAC address, lower case, colon separated. */
export type Mac = string & { readonly __mac: unique symbol };

/** The canonical text of a MAC address written with `:`, `-` or in three groups of four with `.`; undefined otherwise. */
export function parseMac(text: string): Mac | undefined {
	if (
		!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) &&
		!/^([0-9a-f]{2}-){5}[0-9a-f]{2}$/i.test(text) &&
		!/^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i.test(text)
	)
		return undefined;
	const digits = text.replace(/[:.-]/g, '').toLowerCase();
	return (digits.match(/../g) as string[]).join(':') as Mac;
}

/** The six bytes of a MAC address. */
export function macBytes(mac: Mac): Uint8Array {
	return Uint8Array.from(mac.split(':'), (pair) => Number.parseInt(pair, 16));
}

/**
 * The text of six bytes.
 *
 * @throws NET_BAD_MAC for any other length
 */
export function formatMac(bytes: Uint8Array): Mac {
	if (bytes.length !== 6) throw netError('NET_BAD_MAC', { message: `a MAC address has 6 bytes, not ${bytes.length}` });
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}
