import { type Cidr, cidrContainsIp, type Family, type Ip, ipFamily, type PrefixParts, parseCidr } from '#net';
import type { DetectionMethod } from './detection-method.ts';

/** An interface that is up, in the order of the kernel's list. */
export interface HostInterface {
	readonly name: string;
	readonly addresses: readonly PrefixParts[];
}

/** Interfaces whose addresses are never the node's: those of container bridges, tunnels and of our own. */
const NEVER: readonly RegExp[] = [
	/^docker/,
	/^cbr/,
	/^dummy/,
	/^podman/,
	/^virbr/,
	/^lxcbr/,
	/^veth/,
	/^lo$/,
	/^br-/,
	/^cali/,
	/^tunl/,
	/^flannel/,
	/^kube-ipvs/,
	/^cni/,
	/^vxlan\.calico$/,
	/^vxlan-v6\.calico$/,
	/^wireguard\.cali$/,
	/^wg-v6\.cali$/,
	/^nodelocaldns/,
];

/** Link-local, loopback, multicast and unspecified: no address for others to reach us at. */
const NOT_GLOBAL: readonly Cidr[] = ['0.0.0.0/32', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '::/127', 'fe80::/10', 'ff00::/8'].map(
	(text) => parseCidr(text) as Cidr,
);

/** What was found, or the reason for each interface that was passed over. */
export type Detection =
	| { readonly found: PrefixParts; readonly interfaceName: string }
	| { readonly found: undefined; readonly considered: readonly string[] };

/**
 * Chooses the node's address of one family.
 *
 * @param sourceTo the local address from which the kernel would reach a destination; asked for `can-reach` only
 */
export async function detectAddress(
	method: DetectionMethod,
	family: Family,
	interfaces: readonly HostInterface[],
	sourceTo: (destination: string, family: Family) => Promise<Ip | undefined>,
): Promise<Detection> {
	const considered: string[] = [];
	const reached = method.type === 'can-reach' ? await sourceTo(method.destination, family) : undefined;
	if (method.type === 'can-reach' && reached === undefined)
		return { found: undefined, considered: [`no route to ${method.destination} over IPv${family}`] };
	for (const wanted of preferences(method)) {
		for (const { name, addresses } of interfaces) {
			const refusal = refuseName(method, wanted, name);
			if (refusal !== undefined) {
				considered.push(`${name}: ${refusal}`);
				continue;
			}
			const found = addresses.find(
				(candidate) =>
					candidate.family === family &&
					isGlobal(candidate.address) &&
					(method.type !== 'cidr' || method.ranges.some((range) => cidrContainsIp(range, candidate.address))) &&
					(reached === undefined || candidate.address === reached),
			);
			if (found !== undefined) return { found, interfaceName: name };
			considered.push(`${name}: no IPv${family} address ${method.type === 'first-found' ? 'that others can reach' : 'that fits'}`);
		}
	}
	return { found: undefined, considered };
}

/** `interface=` names its expressions in order of preference; the other methods have one pass. */
function preferences(method: DetectionMethod): readonly (RegExp | undefined)[] {
	return method.type === 'interface' ? method.names : [undefined];
}

function refuseName(method: DetectionMethod, wanted: RegExp | undefined, name: string): string | undefined {
	switch (method.type) {
		case 'interface':
			return wanted?.test(name) === true ? undefined : 'another name';
		case 'skip-interface':
			if (method.names.some((pattern) => pattern.test(name))) return 'to be skipped';
			return NEVER.some((pattern) => pattern.test(name)) ? 'not a host interface by its name' : undefined;
		case 'first-found':
		case 'cidr':
			return NEVER.some((pattern) => pattern.test(name)) ? 'not a host interface by its name' : undefined;
		case 'can-reach':
			return undefined;
	}
	return method satisfies never;
}

function isGlobal(address: Ip): boolean {
	return !NOT_GLOBAL.some((range) => cidrContainsIp(range, address));
}

/** The address among the host's, to learn its prefix length; undefined if the host does not have it. */
export function findAddress(address: Ip, interfaces: readonly HostInterface[]): PrefixParts | undefined {
	return interfaces
		.flatMap(({ addresses }) => addresses)
		.find((candidate) => candidate.family === ipFamily(address) && candidate.address === address);
}
