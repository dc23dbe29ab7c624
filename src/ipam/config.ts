import { type Backend, type CallOptions, type IpamConfig } from '#datastore';
import { ipamError } from './errors.ts';
import { orUndefined, type RetryModules, untilUncontended } from './retry.ts';

/** What holds where nobody has configured anything. */
const DEFAULT_CONFIG: IpamConfig = {
	strictAffinity: false,
	autoAllocateBlocks: true,
	maxBlocksPerHost: 0,
	ipCooldownSeconds: 0,
	extra: {},
};

const MAX_COOLDOWN_SECONDS = 1200;

/** The configuration, or the defaults; reading never writes. */
export async function readConfig(backend: Backend, options?: CallOptions): Promise<IpamConfig> {
	return (await orUndefined(backend.get({ type: 'ipam-config' }, options)))?.value ?? DEFAULT_CONFIG;
}

/**
 * Changes some of the configuration.
 *
 * @throws IPAM_BAD_REQUEST if the result contradicts itself
 */
export async function changeConfig(
	modules: RetryModules & { readonly backend: Backend },
	change: Partial<IpamConfig>,
	options?: CallOptions,
): Promise<IpamConfig> {
	const { backend } = modules;
	const key = { type: 'ipam-config' } as const;
	const attempt = async (): Promise<IpamConfig> => {
		const current = await orUndefined(backend.get(key, options));
		const before = current?.value ?? DEFAULT_CONFIG;
		const after: IpamConfig = { ...before, ...change };
		checkConfig(after);
		if (JSON.stringify(after) === JSON.stringify(before)) return after;
		const { value } =
			current === undefined ? await backend.create(key, after, options) : await backend.update(key, after, current.revision, options);
		return value;
	};
	return untilUncontended(modules, 'changing the IPAM configuration', attempt, options);
}

function checkConfig({ strictAffinity, autoAllocateBlocks, maxBlocksPerHost, ipCooldownSeconds }: IpamConfig): void {
	const refuse = (message: string, path: string, found: unknown, allowed: string): never => {
		throw ipamError('IPAM_BAD_REQUEST', { message, path, found, allowed });
	};
	if (!strictAffinity && !autoAllocateBlocks)
		refuse('without strict affinity blocks have to be claimed automatically', 'autoAllocateBlocks', false, 'true, or strictAffinity: true');
	if (maxBlocksPerHost > 0 && !strictAffinity)
		refuse('a limit of blocks per host needs strict affinity', 'maxBlocksPerHost', maxBlocksPerHost, '0, or strictAffinity: true');
	if (!Number.isInteger(maxBlocksPerHost) || maxBlocksPerHost < 0)
		refuse('the limit of blocks per host is no number of blocks', 'maxBlocksPerHost', maxBlocksPerHost, 'a whole number from 0');
	if (!Number.isInteger(ipCooldownSeconds) || ipCooldownSeconds < 0 || ipCooldownSeconds > MAX_COOLDOWN_SECONDS)
		refuse('the cool-down is out of range', 'ipCooldownSeconds', ipCooldownSeconds, `0 to ${MAX_COOLDOWN_SECONDS}`);
}
