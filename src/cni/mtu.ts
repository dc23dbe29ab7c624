import { readFileSync } from 'node:fs';
import type { NetworkConfig } from './config.ts';
import { cniError } from './errors.ts';

const DEFAULT_MTU = 1500;

/**
 * The MTU of a container's interface: what the configuration says, else what the agent found for this host, else 1500.
 *
 * @throws CNI_TRY_AGAIN if the agent's file is required and not there yet
 */
export function containerMtu(config: Pick<NetworkConfig, 'mtu' | 'requireMtuFile'>, mtuFile: string): number {
	const found = readMtu(mtuFile);
	if (found === undefined && config.requireMtuFile)
		throw cniError('CNI_TRY_AGAIN', {
			message: 'the agent has not found out the MTU of this host yet',
			path: mtuFile,
			hint: 'the runtime tries again by itself; without require_mtu_file 1500 would be taken',
		});
	return config.mtu === 0 ? (found ?? DEFAULT_MTU) : config.mtu;
}

function readMtu(file: string): number | undefined {
	try {
		const mtu = Number(readFileSync(file, 'utf8').trim());
		return Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535 ? mtu : undefined;
	} catch {
		return undefined;
	}
}
