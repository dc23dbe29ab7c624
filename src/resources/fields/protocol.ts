/** Protocols that have a name in policy, with their IANA numbers. */
const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, ICMP: 1, ICMPv6: 58, SCTP: 132, UDPLite: 136 } as const;

export type ProtocolName = keyof typeof PROTOCOL_NUMBERS;

/** A protocol in canonical form: its name where it has one, else its number, 1 to 255. */
export type Protocol = ProtocolName | number;

const BY_LOWER_CASE = new Map<string, ProtocolName>();
const BY_NUMBER = new Map<number, ProtocolName>();
for (const [name, number] of Object.entries(PROTOCOL_NUMBERS) as [ProtocolName, number][]) {
	BY_LOWER_CASE.set(name.toLowerCase(), name);
	BY_NUMBER.set(number, name);
}

export const PROTOCOL_NAMES = Object.keys(PROTOCOL_NUMBERS) as readonly ProtocolName[];

/**
 * Reads a protocol as policy writes it: a name in any case, or a number from 1 to 255, also as a text of digits.
 * A number stays a number, so that a resource is written back as its author wrote it.
 *
 * @returns undefined if it is neither
 */
export function parseProtocol(value: string | number): Protocol | undefined {
	if (typeof value === 'string' && !/^[0-9]{1,3}$/.test(value)) return BY_LOWER_CASE.get(value.toLowerCase());
	const number = Number(value);
	return Number.isInteger(number) && number >= 1 && number <= 255 ? number : undefined;
}

/** The IANA number of a protocol. */
export function protocolNumber(protocol: Protocol): number {
	return typeof protocol === 'number' ? protocol : PROTOCOL_NUMBERS[protocol];
}

/** The name of a protocol number, where policy knows one. */
export function protocolName(protocol: Protocol): ProtocolName | undefined {
	return typeof protocol === 'number' ? BY_NUMBER.get(protocol) : protocol;
}

/** Whether packets of a protocol carry ports that policy can match. */
export function protocolHasPorts(protocol: Protocol): boolean {
	const name = protocolName(protocol);
	return name === 'TCP' || name === 'UDP' || name === 'SCTP';
}
