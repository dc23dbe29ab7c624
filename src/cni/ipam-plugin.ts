/** The plugin under its name `calico-ipam`: addresses for interfaces that another plugin makes. */
import { type Cidr, cidrParts, hostCidr } from '#net';
import { addressesOfHandle, assignAddresses, containersOnNode, releaseHandle } from './addresses.ts';
import { requireValidAttachments } from './collect.ts';
import type { NetworkConfig } from './config.ts';
import { requireDatastoreReady } from './datastore-lock.ts';
import { handleOf } from './endpoint.ts';
import { cniError } from './errors.ts';
import type { CniModules, CniSettings, ContainerCall } from './modules.ts';
import { type CniResult, parsePrevResult } from './result.ts';

export async function addAddresses(
	modules: CniModules,
	settings: CniSettings,
	call: ContainerCall,
	signal: AbortSignal,
): Promise<CniResult> {
	const identity = { node: settings.nodeName, handleId: handleOf(call.config.name, call.attachment.containerId) };
	await requireDatastoreReady(modules.client, 'ADD', signal);
	const assigned = await assignAddresses(modules, identity, call, signal);
	return {
		interfaces: [],
		addresses: assigned.map(({ address, block }) => `${address}/${cidrParts(block).length}` as Cidr),
		routes: assigned.map(({ address }) => hostCidr(address)),
	};
}

export async function deleteAddresses(
	modules: CniModules,
	_settings: CniSettings,
	{ config, attachment }: ContainerCall,
	signal: AbortSignal,
): Promise<void> {
	await requireDatastoreReady(modules.client, 'DEL', signal);
	await releaseHandle(modules, handleOf(config.name, attachment.containerId), signal);
}

export async function checkAddresses(
	modules: CniModules,
	_settings: CniSettings,
	{ config, attachment }: ContainerCall,
	signal: AbortSignal,
): Promise<void> {
	const assigned = await addressesOfHandle(modules, handleOf(config.name, attachment.containerId), signal);
	const lost = parsePrevResult(config.prevResult).addresses.filter((prefix) => !assigned.includes(cidrParts(prefix).address));
	if (lost.length > 0)
		throw cniError('CNI_CHECK_FAILED', { message: `IPAM has not assigned the container ${lost.join(', ')}`, path: attachment.containerId });
}

export async function collectAddresses(
	modules: CniModules,
	settings: CniSettings,
	config: NetworkConfig,
	signal: AbortSignal,
): Promise<void> {
	const living = new Set(requireValidAttachments(config).map(({ containerID }) => containerID));
	for (const containerId of await containersOnNode(modules, settings.nodeName, config.name, signal))
		if (!living.has(containerId)) await releaseHandle(modules, handleOf(config.name, containerId), signal);
}
