/** The part of address management that containers need, under the names and attributes that Calico gives them. */
import type { IpamBlock } from '#datastore';
import { shortageText } from '#ipam';
import { addressBits, type Cidr, cidrOf, type Family, type Ip, ipFamily, parseCidr } from '#net';
import type { EndpointIdentity } from './endpoint.ts';
import { cniError } from './errors.ts';
import type { CniModules, ContainerCall } from './modules.ts';

export interface ContainerAddress {
	readonly address: Ip;
	/** The block it is from; a host prefix if the container asked for the address. */
	readonly block: Cidr;
}

const FAMILIES: readonly Family[] = [4, 6];
/** One at a time per node: side by side they would only have to retry, since they change the same block. */
const IPAM_TURN = 'ipam';

/**
 * Assigns the addresses the configuration asks for, all or none. What the container has already, from an ADD whose
 * answer was lost, it keeps.
 *
 * @throws CNI_FAILED in the words of IPAM if there are too few; errors of `#ipam`
 */
export async function assignAddresses(
	modules: CniModules,
	identity: Pick<EndpointIdentity, 'node' | 'handleId'>,
	{ config, attachment }: Pick<ContainerCall, 'config' | 'attachment'>,
	signal: AbortSignal,
): Promise<readonly ContainerAddress[]> {
	const { ipam, ipamTurns } = modules;
	const { ip, pod } = attachment.args;
	const families =
		ip === undefined ? FAMILIES.filter((family) => (family === 4 ? config.ipam.assignIpv4 : config.ipam.assignIpv6)) : [ipFamily(ip)];
	const owner = {
		host: identity.node,
		handleId: identity.handleId,
		attributes: {
			node: identity.node,
			...(pod === undefined ? {} : { namespace: pod.namespace, pod: pod.name }),
			timestamp: goTime(modules.clock.now()),
		},
		intendedUse: 'Workload',
	} as const;
	return ipamTurns.run(
		IPAM_TURN,
		async () => {
			const kept = await ipam.ipsByHandle(identity.handleId, { signal });
			if (
				kept.length === families.length &&
				families.every((family) => kept.some((one) => ipFamily(one) === family && (ip === undefined || one === ip)))
			)
				return kept.map(hostBlock);
			if (kept.length > 0) await ipam.releaseByHandle(identity.handleId, { signal });
			if (ip !== undefined) {
				await ipam.assign({ ...owner, address: ip }, { signal });
				return [hostBlock(ip)];
			}
			const pools = await requestedPools(modules, config.ipam, signal);
			const result = await ipam.autoAssign(
				{ ...owner, counts: Object.fromEntries(families.map((family) => [family, 1])), pools },
				{ signal },
			);
			for (const family of families) {
				const assignment = result[family];
				if (assignment?.addresses.length === 1) continue;
				// before anybody else's turn: nothing may stay of an assignment that is not whole
				await ipam.releaseByHandle(identity.handleId, { signal });
				throw cniError('CNI_FAILED', {
					message: `failed to request IPv${family} addresses: ${assignment === undefined ? 'the other family came first and failed' : shortageText(family, assignment)}`,
					path: `ipam.assign_ipv${family}`,
				});
			}
			return families.flatMap((family) => result[family]?.addresses ?? []);
		},
		signal,
	);
}

/** The addresses of a container. */
export function addressesOfHandle({ ipam }: CniModules, handleId: string, signal: AbortSignal): Promise<readonly Ip[]> {
	return ipam.ipsByHandle(handleId, { signal });
}

/** Gives back what a container has; nothing is no error. */
export async function releaseHandle({ ipam, ipamTurns }: CniModules, handleId: string, signal: AbortSignal): Promise<void> {
	await ipamTurns.run(IPAM_TURN, () => ipam.releaseByHandle(handleId, { signal }), signal);
}

/** The containers of a network that have addresses assigned by this node. */
export async function containersOnNode({ client }: CniModules, node: string, network: string, signal: AbortSignal): Promise<Set<string>> {
	const containers = new Set<string>();
	for (const { value } of (await client.backend.list({ type: 'block' }, { signal })).items) {
		for (const { handleId, secondary } of (value as IpamBlock).attributes) {
			if (secondary?.['node'] !== node || handleId?.startsWith(`${network}.`) !== true) continue;
			const containerId = handleId.slice(network.length + 1);
			// with a dot in it, it could as well be a container of a network whose name goes on
			if (!containerId.includes('.')) containers.add(containerId);
		}
	}
	return containers;
}

async function requestedPools(
	{ client }: CniModules,
	{ ipv4Pools, ipv6Pools }: ContainerCall['config']['ipam'],
	signal: AbortSignal,
): Promise<Partial<Record<Family, readonly Cidr[]>>> {
	if (ipv4Pools.length + ipv6Pools.length === 0) return {};
	const { items } = await client.resources.list('IPPool', {}, { signal });
	const resolve = (path: string, names: readonly string[]): readonly Cidr[] =>
		names.map((name) => {
			const prefix = parseCidr(items.find(({ metadata }) => metadata.name === name)?.spec.cidr ?? name);
			if (prefix !== undefined) return prefix;
			throw cniError('CNI_BAD_CONFIG', {
				message: `there is no pool ${JSON.stringify(name)}`,
				path,
				found: name,
				allowed: `the prefix of a pool, or one of the names ${items.map(({ metadata }) => metadata.name).join(', ')}`,
			});
		});
	return {
		...(ipv4Pools.length === 0 ? {} : { 4: resolve('ipam.ipv4_pools', ipv4Pools) }),
		...(ipv6Pools.length === 0 ? {} : { 6: resolve('ipam.ipv6_pools', ipv6Pools) }),
	};
}

function hostBlock(address: Ip): ContainerAddress {
	return { address, block: cidrOf(address, addressBits(ipFamily(address))) };
}

/** A time as Go prints it, which is how Calico writes it into IPAM attributes. */
function goTime(ms: number): string {
	const [date, time] = new Date(ms).toISOString().split('T') as [string, string];
	return `${date} ${time.replace('Z', '').replace(/\.?0+$/, '')} +0000 UTC`;
}
