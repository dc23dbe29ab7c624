import { type Ip, parseIp } from '#net';
import type { KindName, Node, ResourceOf } from '#resources';
import { datastoreError } from '../errors.ts';
import type { Backend, CallOptions, ResourceKey } from '../types.ts';
import type { AddressCleanup } from './address-cleanup.ts';

/**
 * Deletes a node and what belongs to it: its workload endpoints with their addresses, its tunnels' addresses, its blocks'
 * affinities, its BGP peers and its own configurations. Repeating it after a failure goes on where it stopped.
 *
 * @throws DATASTORE_NOT_FOUND if there is no such node
 */
export async function deleteNode(
	{ backend, addresses }: { readonly backend: Backend; readonly addresses: AddressCleanup },
	key: ResourceKey,
	options?: CallOptions,
): Promise<void> {
	const node = (await backend.get(key, options)).value as Node;
	const endpoints = await listOf(backend, 'WorkloadEndpoint', options);
	const own = endpoints.filter(({ resource }) => resource.spec.node === key.name);
	const released = [...own.flatMap(({ resource }) => resource.spec.ipNetworks ?? []), ...tunnelAddresses(node)]
		.map((text) => parseIp(text.replace(/\/.*$/, '')))
		.filter((address): address is Ip => address !== undefined);
	if (released.length > 0) await addresses.releaseAddresses(released, options);
	for (const { key: endpoint } of own) await deleteIfThere(backend, endpoint, options);
	await addresses.releaseHost(key.name, options);
	for (const { key: peer, resource } of await listOf(backend, 'BGPPeer', options))
		if (resource.spec.node === key.name) await deleteIfThere(backend, peer, options);
	for (const kind of ['FelixConfiguration', 'BGPConfiguration'] as const)
		await deleteIfThere(backend, { type: 'resource', kind, name: `node.${key.name}` }, options);
	await backend.delete(key, undefined, options);
}

function tunnelAddresses({ spec }: Node): readonly string[] {
	return [
		spec.bgp?.ipv4IPIPTunnelAddr,
		spec.ipv4VXLANTunnelAddr,
		spec.ipv6VXLANTunnelAddr,
		spec.wireguard?.interfaceIPv4Address,
		spec.wireguard?.interfaceIPv6Address,
	].filter((address) => address !== undefined);
}

async function listOf<Name extends KindName>(
	backend: Backend,
	kind: Name,
	options: CallOptions | undefined,
): Promise<readonly { readonly key: ResourceKey; readonly resource: ResourceOf<Name> }[]> {
	const { items } = await backend.list({ type: 'resource', kind }, options);
	return items.map(({ key, value }) => ({ key: key as ResourceKey, resource: value as ResourceOf<Name> }));
}

async function deleteIfThere(backend: Backend, key: ResourceKey, options: CallOptions | undefined): Promise<void> {
	try {
		await backend.delete(key, undefined, options);
	} catch (error) {
		if (!datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
	}
}
