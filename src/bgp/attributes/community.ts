import { bgpError } from '../errors.ts';

/** Communities to add, parsed. */
export interface Communities {
	/** RFC 1997, unsigned 32 bits each. */
	readonly standard: readonly number[];
	/** RFC 8092, three unsigned 32 bit parts each. */
	readonly large: readonly (readonly [number, number, number])[];
}

/**
 * Parses communities as configured: `asn:value` or `administrator:part1:part2`.
 *
 * @throws BGP_BAD_CONFIG
 */
export function parseCommunities(texts: readonly string[], path?: string): Communities {
	const standard: number[] = [];
	const large: [number, number, number][] = [];
	for (const text of texts) {
		const parts = text.split(':').map((part) => (/^[0-9]{1,10}$/.test(part) ? Number(part) : Number.NaN));
		const [a = Number.NaN, b = Number.NaN, c = Number.NaN] = parts;
		if (parts.length === 2 && a <= 0xffff && b <= 0xffff) standard.push(((a << 16) | b) >>> 0);
		else if (parts.length === 3 && parts.every((part) => part <= 0xffffffff)) large.push([a, b, c]);
		else
			throw bgpError('BGP_BAD_CONFIG', {
				message: `${JSON.stringify(text)} is not a BGP community`,
				path,
				found: text,
				allowed: 'aa:nn with 16 bits each, or aa:nn:mm with 32 bits each',
			});
	}
	return { standard, large };
}
