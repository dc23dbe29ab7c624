import { dataplaneError } from '../errors.ts';

/** What the rules depend on beside desired state. */
export interface RenderOptions {
	/** Name of the tables. */
	readonly tableName: string;
	/** Interfaces whose names begin so are workloads'; those without an endpoint have all their packets dropped. */
	readonly interfacePrefix: string;
	/** Bits of packet marks that are ours; the second lowest carries Pass between chains. */
	readonly markMask: number;
	/** What happens to packets from a workload to its own host that its egress policy allowed (DefaultEndpointToHostAction). */
	readonly endpointToHostAction: 'Drop' | 'Accept' | 'Return';
	/** What Deny rules and defaults do. */
	readonly denyAction: 'Drop' | 'Reject';
	/** Drop packets that conntrack cannot place, before policy. */
	readonly dropInvalid: boolean;
	/** VXLAN from workloads is dropped before policy, unless undefined. */
	readonly blockedVxlanPort: number | undefined;
	/** IP in IP from workloads is dropped before policy. */
	readonly blockIpip: boolean;
	/**
	 * Prefix of Log rules; `%t`, `%k`, `%n` and `%p` stand for tier, kind, name and namespaced name.
	 */
	readonly logPrefix: string;
	/** Log rules go to this nfnetlink_log group instead of the kernel's log. */
	readonly logGroup: number | undefined;
}

export const DEFAULT_RENDER_OPTIONS: RenderOptions = {
	tableName: 'tortie',
	interfacePrefix: 'cali',
	markMask: 0xffff0000,
	endpointToHostAction: 'Drop',
	denyAction: 'Drop',
	dropInvalid: true,
	blockedVxlanPort: 4789,
	blockIpip: true,
	logPrefix: 'calico-packet',
	logGroup: undefined,
};

/**
 * Refuses options that no rule can be made from.
 *
 * @throws DATAPLANE_BAD_OPTION
 */
export function checkRenderOptions(options: RenderOptions): void {
	if (!/^[a-z][a-z0-9_-]{0,63}$/.test(options.tableName))
		throw badOption('tableName', options.tableName, 'a letter, then letters, digits, _ and -');
	if (!/^[^\s/:]{1,10}$/.test(options.interfacePrefix))
		throw badOption('interfacePrefix', options.interfacePrefix, '1 to 10 characters of an interface name');
	const { markMask } = options;
	const isMask = Number.isInteger(markMask) && markMask > 0 && markMask <= 0xffffffff;
	if (!isMask || (markMask & (markMask - 1)) === 0) throw badOption('markMask', markMask, '32 bits, at least two of them set');
	if (options.logPrefix.length > 40) throw badOption('logPrefix', options.logPrefix, 'at most 40 characters');
}

/** The mark bit that a policy sets to say Pass. The lowest bit is kept for "accepted before", which Calico has there. */
export function passBit(markMask: number): number {
	const rest = markMask & (markMask - 1);
	return (rest & -rest) >>> 0;
}

function badOption(name: string, found: unknown, allowed: string): Error {
	return dataplaneError('DATAPLANE_BAD_OPTION', { path: name, message: `${name} cannot be ${JSON.stringify(found)}`, found, allowed });
}
