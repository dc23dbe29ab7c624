import { type Cidr, cidrParts, type Family, type Mac, splitCidr } from '#net';
import { cniError } from './errors.ts';
import { type CniVersion, isAtLeast } from './version.ts';

/** What an ADD brought about, as every version of the specification can be told. */
export interface CniResult {
	readonly interfaces: readonly CniInterface[];
	/** Host prefixes of the container's addresses, all on the last of the interfaces. */
	readonly addresses: readonly Cidr[];
	/** Destinations that lead to the container; IPAM plugins give one for each address. */
	readonly routes: readonly Cidr[];
}

export interface CniInterface {
	readonly name: string;
	readonly mac?: Mac;
	readonly mtu?: number;
	/** Path of the namespace, for interfaces in the container. */
	readonly sandbox?: string;
}

/** The result object in the form that the version prescribes. */
export function formatResult(result: CniResult, version: CniVersion): object {
	return isAtLeast(version, '0.3.0') ? listResult(result, version) : familyResult(result, version);
}

/** Since 0.3.0: interfaces, and addresses that point at them. */
function listResult({ interfaces, addresses, routes }: CniResult, cniVersion: CniVersion): object {
	return {
		cniVersion,
		...(interfaces.length === 0
			? {}
			: {
					interfaces: interfaces.map(({ name, mac, mtu, sandbox }) => ({
						name,
						...(mac === undefined ? {} : { mac }),
						...(mtu !== undefined && isAtLeast(cniVersion, '1.1.0') ? { mtu } : {}),
						...(sandbox === undefined ? {} : { sandbox }),
					})),
				}),
		ips: addresses.map((address) => ({
			// until 1.0.0, which found it redundant
			...(isAtLeast(cniVersion, '1.0.0') ? {} : { version: String(cidrParts(address).family) }),
			...(interfaces.length === 0 ? {} : { interface: interfaces.length - 1 }),
			address,
		})),
		...(routes.length === 0 ? {} : { routes: routes.map((dst) => ({ dst })) }),
		dns: {},
	};
}

/** Before 0.3.0: at most one address of each family. */
function familyResult({ addresses, routes }: CniResult, cniVersion: CniVersion): object {
	const family = (wanted: Family): object => {
		const address = addresses.find((one) => cidrParts(one).family === wanted);
		if (address === undefined) return {};
		const own = routes.filter((dst) => cidrParts(dst).family === wanted);
		return { [`ip${wanted}`]: { ip: address, ...(own.length === 0 ? {} : { routes: own.map((dst) => ({ dst })) }) } };
	};
	return { cniVersion, ...family(4), ...family(6), dns: {} };
}

/**
 * The addresses that a runtime hands back in `prevResult`, in any version's form, as host prefixes or wider ones.
 *
 * @throws CNI_BAD_CONFIG if it is missing or is no result
 */
export function parsePrevResult(value: unknown): { readonly addresses: readonly Cidr[] } {
	if (typeof value !== 'object' || value === null) throw badPrevResult('prevResult', value);
	const { ips, ip4, ip6 } = value as { readonly ips?: unknown; readonly ip4?: unknown; readonly ip6?: unknown };
	const listed =
		ips ?? [ip4, ip6].filter((entry) => entry !== undefined && entry !== null).map((entry) => ({ address: textField(entry, 'ip') }));
	if (!Array.isArray(listed) || listed.length > 64) throw badPrevResult('prevResult.ips', listed);
	return {
		addresses: listed.map((entry, index) => {
			const text = textField(entry, 'address');
			const parts = text === undefined ? undefined : splitCidr(text);
			if (parts === undefined) throw badPrevResult(`prevResult.ips.${index}.address`, text);
			return `${parts.address}/${parts.length}` as Cidr;
		}),
	};
}

function textField(value: unknown, name: string): string | undefined {
	const field = (value as Readonly<Record<string, unknown>> | null | undefined)?.[name];
	return typeof field === 'string' ? field : undefined;
}

function badPrevResult(path: string, found: unknown): Error {
	return cniError('CNI_BAD_CONFIG', {
		message: found === undefined ? 'the result of the ADD is missing' : 'it is not part of a CNI result',
		path,
		found,
		allowed: 'the result that ADD printed, as the runtime has to keep it',
	});
}
