import type { Ipam, PoolUsage, Usage } from '#ipam';
import { ip } from '#net';
import { countWithShare, fiveDigits } from './ipam-format.ts';
import { formatBox } from './table.ts';

export interface IpamShowOptions {
	readonly ip?: string;
	readonly showBlocks: boolean;
	readonly showBorrowed: boolean;
	readonly showConfiguration: boolean;
}

/**
 * What `ipam show` prints: one address, borrowed addresses, the configuration, or by default how full the pools are.
 *
 * @throws NET_BAD_ADDRESS
 */
export async function ipamShow(ipam: Ipam, options: IpamShowOptions): Promise<string> {
	if (options.ip !== undefined) return showAddress(ipam, options.ip);
	if (options.showConfiguration) return showConfiguration(ipam);
	const pools = await ipam.usage();
	return options.showBorrowed ? showBorrowed(pools) : showUsage(pools, options.showBlocks);
}

async function showAddress(ipam: Ipam, text: string): Promise<string> {
	const address = ip(text, '--ip');
	const assignment = await ipam.assignmentOf(address);
	if (assignment === undefined) return `${address} is not assigned\n`;
	const lines = [`IP ${address} is in use`];
	if (assignment.handleId !== undefined) lines.push(`Handle ID: ${assignment.handleId}`);
	lines.push(...attributeLines('Active Owner Attributes', assignment.secondary));
	lines.push(...attributeLines('Alternate Owner Attributes', assignment.alternateOwnerAttributes));
	return `${lines.join('\n')}\n`;
}

function attributeLines(heading: string, attributes: Readonly<Record<string, string>> | undefined): readonly string[] {
	const entries = Object.entries(attributes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
	return entries.length === 0 ? [] : [`${heading}:`, ...entries.map(([key, value]) => `  ${key}: ${value}`)];
}

async function showConfiguration(ipam: Ipam): Promise<string> {
	const config = await ipam.config();
	return formatBox(
		['PROPERTY', 'VALUE'],
		[
			['StrictAffinity', String(config.strictAffinity)],
			['AutoAllocateBlocks', String(config.autoAllocateBlocks)],
			['MaxBlocksPerHost', String(config.maxBlocksPerHost)],
			['IPCooldownSeconds', String(config.ipCooldownSeconds)],
		],
	);
}

function showUsage(pools: readonly PoolUsage[], withBlocks: boolean): string {
	const row = (grouping: string, usage: Usage): readonly string[] => {
		const total = Number(usage.total);
		const share = (count: bigint): string => countWithShare(Number(count), total);
		return [grouping, usage.cidr, fiveDigits(total), share(usage.inUse), share(usage.reserved), share(usage.free)];
	};
	const rows = pools.flatMap((pool) => [row('IP Pool', pool), ...(withBlocks ? pool.blocks.map((block) => row('Block', block)) : [])]);
	return formatBox(['GROUPING', 'CIDR', 'IPS TOTAL', 'IPS IN USE', 'IPS RESERVED', 'IPS FREE'], rows);
}

function showBorrowed(pools: readonly PoolUsage[]): string {
	const rows = pools
		.flatMap(({ blocks }) => blocks.flatMap(({ borrowed }) => borrowed))
		.map(({ address, borrower, block, blockOwner, attributes }) => {
			const { type, namespace, pod } = attributes as { readonly type?: string; readonly namespace?: string; readonly pod?: string };
			const owner = blockOwner?.replace(/^host:/, '') ?? '';
			return [address, borrower, block, owner, type ?? (pod === undefined ? '' : 'pod'), pod === undefined ? '' : `${namespace}/${pod}`];
		});
	return formatBox(['IP', 'BORROWING-NODE', 'BLOCK', 'BLOCK OWNER', 'TYPE', 'ALLOCATED-TO'], rows);
}
