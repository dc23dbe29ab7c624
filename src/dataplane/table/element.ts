import { packKey, packRange, type SetDataType, type SetElement, type SetKeyType, type SetSpec, unpackKey, type Verdict } from '#kernel';
import { addressBits, type Family, type Ip, ipFromBigInt, ipToBigInt, parseCidr } from '#net';

/**
 * What the members of a set are, and how they are written as text:
 *
 * | form | text | key in the kernel |
 * |---|---|---|
 * | `host` | `10.0.0.1/32` | address |
 * | `prefix` | `10.0.0.0/8` | range of addresses |
 * | `address-port` | `10.0.0.1,tcp:80` | address . protocol . port |
 * | `interface` | `cali1` | interface name |
 * | `interface-host` | `cali1 10.0.0.1/32` | interface name . address |
 * | `interface-prefix` | `cali1 10.0.0.0/8` | interface name . range of addresses |
 * | `interface-verdict` | `cali1 goto le4-…` | interface name → verdict |
 */
export type ElementForm = 'host' | 'prefix' | 'address-port' | 'interface' | 'interface-host' | 'interface-prefix' | 'interface-verdict';

interface FormFacts {
	readonly key: (address: SetKeyType) => readonly SetKeyType[];
	readonly interval: boolean;
	readonly data?: SetDataType;
}

const FORMS: Readonly<Record<ElementForm, FormFacts>> = {
	host: { key: (address) => [address], interval: false },
	prefix: { key: (address) => [address], interval: true },
	'address-port': { key: (address) => [address, 'inet_proto', 'inet_service'], interval: false },
	interface: { key: () => ['ifname'], interval: false },
	'interface-host': { key: (address) => ['ifname', address], interval: false },
	'interface-prefix': { key: (address) => ['ifname', address], interval: true },
	'interface-verdict': { key: () => ['ifname'], interval: false, data: 'verdict' },
};

const PROTOCOL_NUMBERS: ReadonlyMap<string, string> = new Map([
	['tcp', '6'],
	['udp', '17'],
	['sctp', '132'],
]);
const PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map([...PROTOCOL_NUMBERS].map(([name, number]) => [number, name]));

/** The kernel's type of an address of a family. */
export function addressType(family: Family): 'ipv4_addr' | 'ipv6_addr' {
	return family === 4 ? 'ipv4_addr' : 'ipv6_addr';
}

/** The declaration of a set whose members have a form; `family` is of no meaning to forms without an address. */
export function setSpec(name: string, form: ElementForm, family: Family, comment?: string): SetSpec {
	const facts = FORMS[form];
	return {
		name,
		key: facts.key(addressType(family)),
		...(facts.data === undefined ? {} : { data: facts.data }),
		...(facts.interval ? { interval: true } : {}),
		...(comment === undefined ? {} : { comment }),
	};
}

/**
 * A member as the kernel's element.
 *
 * @throws KERNEL_BAD_ARGUMENT if the text does not fit the form and the set
 */
export function elementOf(spec: SetSpec, form: ElementForm, member: string): SetElement {
	switch (form) {
		case 'host':
			return { key: packKey(spec.key, [withoutHostLength(member)]) };
		case 'prefix':
			return packRange(spec.key, [member]);
		case 'address-port': {
			const comma = member.lastIndexOf(',');
			const colon = member.lastIndexOf(':');
			const protocol = member.slice(comma + 1, colon);
			return { key: packKey(spec.key, [member.slice(0, comma), PROTOCOL_NUMBERS.get(protocol) ?? protocol, member.slice(colon + 1)]) };
		}
		case 'interface':
			return { key: packKey(spec.key, [member]) };
		case 'interface-host': {
			const [name, address] = splitAt(member);
			return { key: packKey(spec.key, [name, withoutHostLength(address)]) };
		}
		case 'interface-prefix':
			return packRange(spec.key, splitAt(member));
		case 'interface-verdict': {
			const [name, verdict] = splitAt(member);
			return { key: packKey(spec.key, [name]), data: verdictOf(verdict) };
		}
	}
}

/** The text of an element as a listing gave it: for every element, ours or not, one that {@link elementOf} takes back. */
export function memberOf(spec: SetSpec, form: ElementForm, element: SetElement): string {
	const [first = '', ...rest] = unpackKey(spec.key, element.key);
	switch (form) {
		case 'host':
			return withHostLength(first);
		case 'prefix':
			return rangeText(first, lastKey(spec, element)[0] ?? first);
		case 'address-port':
			return `${first},${PROTOCOL_NAMES.get(rest[0] ?? '') ?? rest[0]}:${rest[1]}`;
		case 'interface':
			return first;
		case 'interface-host':
			return `${first} ${withHostLength(rest[0] ?? '')}`;
		case 'interface-prefix':
			return `${first} ${rangeText(rest[0] ?? '', lastKey(spec, element)[1] ?? '')}`;
		case 'interface-verdict':
			return `${first} ${verdictText(element.data)}`;
	}
}

function splitAt(member: string): [string, string] {
	const space = member.indexOf(' ');
	return [member.slice(0, space), member.slice(space + 1)];
}

function withoutHostLength(host: string): string {
	const slash = host.indexOf('/');
	return slash < 0 ? host : host.slice(0, slash);
}

function withHostLength(address: string): string {
	return `${address}/${addressBits(address.includes(':') ? 6 : 4)}`;
}

function lastKey(spec: SetSpec, element: SetElement): readonly string[] {
	return unpackKey(spec.key, element.keyEnd ?? element.key);
}

/** A prefix where the bounds are those of one, else `first-last`. */
function rangeText(first: string, last: string): string {
	const family: Family = first.includes(':') ? 6 : 4;
	const low = ipToBigInt(first as Ip);
	const size = ipToBigInt(last as Ip) - low + 1n;
	const isPrefix = size > 0n && (size & (size - 1n)) === 0n && low % size === 0n;
	if (!isPrefix) return `${first}-${last}`;
	return parseCidr(`${ipFromBigInt(family, low)}/${addressBits(family) - (size.toString(2).length - 1)}`) ?? `${first}-${last}`;
}

function verdictOf(text: string): Verdict {
	const [verdict = '', chain] = text.split(' ');
	switch (verdict) {
		case 'jump':
		case 'goto':
			return { verdict, chain: chain ?? '' };
		case 'accept':
		case 'continue':
		case 'return':
			return { verdict };
		default:
			return { verdict: 'drop' };
	}
}

function verdictText(data: SetElement['data']): string {
	if (data === undefined || data instanceof Uint8Array) return 'drop';
	return 'chain' in data ? `${data.verdict} ${data.chain}` : data.verdict;
}
