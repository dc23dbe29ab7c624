import type { Logger } from 'pino';
import { addressBits, FAMILIES, type Family, type Ip, type PrefixParts, splitCidr } from '#net';
import type { Node } from '#resources';
import { nodeError } from '../errors.ts';
import { detectAddress, findAddress, type HostInterface } from './address-detection.ts';
import type { StartUpSettings } from './start-up-settings.ts';

/** Address with prefix length, as Node `spec.bgp` holds it. */
export type NodeAddresses = Readonly<Record<Family, string | undefined>>;

export interface HostModules {
	readonly interfaces: () => readonly HostInterface[];
	readonly sourceTo: (destination: string, family: Family) => Promise<Ip | undefined>;
	readonly logger: Logger;
}

/**
 * The addresses under which other nodes reach this one: those given, else those stored, else those found.
 *
 * @throws NODE_NO_ADDRESS if one was to be found and there is none
 */
export async function chooseAddresses(settings: StartUpSettings, stored: Node | undefined, modules: HostModules): Promise<NodeAddresses> {
	const chosen = { 4: await chooseAddress(4, settings, stored, modules), 6: await chooseAddress(6, settings, stored, modules) };
	if (chosen[4] === undefined && chosen[6] === undefined && settings.backend !== 'none')
		throw nodeError('NODE_NO_ADDRESS', {
			message: 'the node has neither an IPv4 nor an IPv6 address',
			hint: 'set IP or IP6 to an address of this host, or to autodetect',
		});
	return chosen;
}

async function chooseAddress(
	family: Family,
	settings: StartUpSettings,
	stored: Node | undefined,
	modules: HostModules,
): Promise<string | undefined> {
	const setting = settings.address[family];
	const before = stored?.spec.bgp?.[family === 4 ? 'ipv4Address' : 'ipv6Address'] || undefined;
	switch (setting.type) {
		case 'none':
			return undefined;
		case 'keep':
			return before;
		case 'given':
			return givenAddress(setting.address, setting.length, modules);
		case 'detect':
			// With one family given, the other is not needed.
			if (before !== undefined) return before;
			return detect(family, settings, modules, settings.address[family === 4 ? 6 : 4].type !== 'given');
		case 'redetect':
			return detect(family, settings, modules, true);
	}
	return setting satisfies never;
}

function givenAddress(address: Ip, length: number | undefined, { interfaces, logger }: HostModules): string {
	const own = findAddress(address, interfaces());
	if (own === undefined) logger.warn({ address }, 'no interface of this host has the address that was given for the node');
	return textOf({ address, length: length ?? own?.length ?? addressBits(address.includes(':') ? 6 : 4) });
}

async function detect(family: Family, settings: StartUpSettings, modules: HostModules, required: boolean): Promise<string | undefined> {
	const method = settings.detection[family];
	const result = await detectAddress(method, family, modules.interfaces(), modules.sourceTo);
	if (result.found !== undefined) {
		modules.logger.info({ address: textOf(result.found), interface: result.interfaceName, method: method.type }, 'node address found');
		return textOf(result.found);
	}
	if (!required) return undefined;
	throw nodeError('NODE_NO_ADDRESS', {
		message: `no IPv${family} address found by ${method.type}: ${result.considered.join('; ') || 'the host has no interface that is up'}`,
		hint: `set ${family === 4 ? 'IP' : 'IP6'} to the node's address or ${family === 4 ? 'IP' : 'IP6'}_AUTODETECTION_METHOD to a method that finds it`,
	});
}

function textOf({ address, length }: Pick<PrefixParts, 'address' | 'length'>): string {
	return `${address}/${length}`;
}

/**
 * Refuses an address that another node has: traffic for one would reach the other.
 *
 * @throws NODE_ADDRESS_CONFLICT naming the other node
 */
export function checkConflict(nodeName: string, addresses: NodeAddresses, others: readonly Node[]): void {
	for (const family of FAMILIES) {
		const own = splitCidr(addresses[family] ?? '')?.address;
		if (own === undefined) continue;
		for (const other of others) {
			const theirs = splitCidr(other.spec.bgp?.[family === 4 ? 'ipv4Address' : 'ipv6Address'] ?? '')?.address;
			if (other.metadata.name !== nodeName && theirs === own)
				throw nodeError('NODE_ADDRESS_CONFLICT', {
					message: `node ${other.metadata.name} already has the address ${own}`,
					found: own,
					hint: `if ${other.metadata.name} is gone, delete it with "calicoctl delete node ${other.metadata.name}"; else give this node another address (IP, IP_AUTODETECTION_METHOD)`,
				});
		}
	}
}
