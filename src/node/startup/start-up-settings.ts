import { type Cidr, type Family, type Ip, parseCidr, splitCidr } from '#net';
import { parseAsNumber } from '#resources';
import { parseSelector } from '#selector';
import { badSetting, type Environment, type NodeSettings } from '../settings.ts';
import { type DetectionMethod, parseDetectionMethod } from './detection-method.ts';

/** What start-up reads from the environment beside what all parts of the node know. */
export interface StartUpSettings extends NodeSettings {
	/** `CALICO_K8S_NODE_REF`: the Kubernetes node that this is. */
	readonly kubernetesNode: string | undefined;
	/** `IP` and `IP6`. */
	readonly address: Readonly<Record<Family, AddressSetting>>;
	readonly detection: Readonly<Record<Family, DetectionMethod>>;
	readonly checkAddressConflict: boolean;
	/** `AS`; undefined leaves the cluster's in force. */
	readonly asNumber: number | undefined;
	/** The default pools to make; undefined in a family for none. */
	readonly pools: Readonly<Record<Family, PoolSettings | undefined>>;
	readonly clusterType: string;
}

/** `detect`: find one if none is stored already; `redetect`: find one in any case. */
export type AddressSetting =
	| { readonly type: 'detect' | 'redetect' | 'keep' | 'none' }
	| { readonly type: 'given'; readonly address: Ip; readonly length: number | undefined };

export type EncapsulationMode = 'Never' | 'Always' | 'CrossSubnet';

/** A default pool as the environment wants it. */
export interface PoolSettings {
	/** Undefined: a range that is free on this host. */
	readonly cidr: Cidr | undefined;
	readonly blockSize: number;
	readonly ipipMode: EncapsulationMode;
	readonly vxlanMode: EncapsulationMode;
	readonly natOutgoing: boolean;
	readonly nodeSelector: string;
	readonly disableBgpExport: boolean;
}

/**
 * Reads the settings of start-up.
 *
 * @throws NODE_BAD_SETTING naming the variable
 */
export function startUpSettings(env: Environment, node: NodeSettings): StartUpSettings {
	const noPools = env['NO_DEFAULT_POOLS']?.toLowerCase() === 'true';
	return {
		...node,
		kubernetesNode: env['CALICO_K8S_NODE_REF'] || undefined,
		address: { 4: addressSetting(env, 'IP', 4), 6: addressSetting(env, 'IP6', 6) },
		detection: {
			4: parseDetectionMethod(env['IP_AUTODETECTION_METHOD'] ?? '', 'IP_AUTODETECTION_METHOD'),
			6: parseDetectionMethod(env['IP6_AUTODETECTION_METHOD'] ?? '', 'IP6_AUTODETECTION_METHOD'),
		},
		checkAddressConflict: env['DISABLE_NODE_IP_CHECK'] !== 'true',
		asNumber: asNumber(env),
		pools: { 4: noPools ? undefined : poolSettings(env, 4), 6: noPools ? undefined : poolSettings(env, 6) },
		clusterType: env['CLUSTER_TYPE'] ?? '',
	};
}

function addressSetting(env: Environment, variable: 'IP' | 'IP6', family: Family): AddressSetting {
	const text = env[variable] ?? '';
	switch (text) {
		case '':
			return { type: family === 4 ? 'detect' : 'keep' };
		case 'autodetect':
			return { type: 'redetect' };
		case 'none':
			return { type: 'none' };
	}
	const parts = splitCidr(text);
	if (parts?.family !== family)
		throw badSetting(variable, text, `an IPv${family} address, an IPv${family} address with its prefix length, autodetect or none`);
	return { type: 'given', address: parts.address, length: text.includes('/') ? parts.length : undefined };
}

function asNumber(env: Environment): number | undefined {
	const text = env['AS'] ?? '';
	if (text === '') return undefined;
	const value = parseAsNumber(text);
	if (value === undefined) throw badSetting('AS', text, 'an AS number, 1 to 4294967295, or in the form 1.10');
	return value;
}

function poolSettings(env: Environment, family: Family): PoolSettings | undefined {
	const prefix = `CALICO_IPV${family}POOL`;
	const cidrText = env[`${prefix}_CIDR`] ?? '';
	if (cidrText.toLowerCase() === 'none') return undefined;
	const cidr = cidrText === '' ? undefined : parseCidr(cidrText);
	if (cidrText !== '' && (cidr === undefined || splitCidr(cidrText)?.family !== family))
		throw badSetting(`${prefix}_CIDR`, cidrText, `an IPv${family} prefix, or none for no pool`);
	return {
		cidr,
		blockSize: blockSize(env, `${prefix}_BLOCK_SIZE`, family),
		ipipMode: family === 4 ? encapsulation(env, `${prefix}_IPIP`) : 'Never',
		vxlanMode: encapsulation(env, `${prefix}_VXLAN`),
		natOutgoing: flag(env, `${prefix}_NAT_OUTGOING`, family === 4),
		nodeSelector: nodeSelector(env, `${prefix}_NODE_SELECTOR`),
		disableBgpExport: flag(env, `${prefix}_DISABLE_BGP_EXPORT`, false),
	};
}

function blockSize(env: Environment, variable: string, family: Family): number {
	const text = env[variable] ?? '';
	if (text === '') return family === 4 ? 26 : 122;
	const [min, max] = family === 4 ? [20, 32] : [116, 128];
	const value = /^[0-9]{1,3}$/.test(text) ? Number(text) : -1;
	if (value < min || value > max) throw badSetting(variable, text, `${min} to ${max}`);
	return value;
}

function encapsulation(env: Environment, variable: string): EncapsulationMode {
	const text = env[variable] ?? '';
	switch (text.toLowerCase()) {
		case '':
		case 'off':
		case 'never':
			return 'Never';
		case 'always':
			return 'Always';
		case 'crosssubnet':
		case 'cross-subnet':
			return 'CrossSubnet';
	}
	throw badSetting(variable, text, 'Always, CrossSubnet or Never');
}

/** A pool's switch: anything that is set, the empty text too, and is not a spelling of no, is yes. */
function flag(env: Environment, variable: string, otherwise: boolean): boolean {
	const text = env[variable];
	return text === undefined ? otherwise : !['false', '0', 'no', 'n', 'f'].includes(text.toLowerCase());
}

function nodeSelector(env: Environment, variable: string): string {
	const text = env[variable] || 'all()';
	try {
		parseSelector(text);
		return text;
	} catch (error) {
		throw badSetting(variable, text, 'a selector such as all() or zone == "a"', error);
	}
}
