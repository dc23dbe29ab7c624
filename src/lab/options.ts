import { labError } from './errors.ts';
import { DEFAULT_LAB_NAME, DEFAULT_LAB_OPTIONS, type LabOptions } from './plan.ts';

/** Options as they stand on the command line. */
export interface RawLabOptions {
	readonly name?: string;
	readonly nodes?: string;
	readonly pods?: string;
	readonly fabric?: string;
	readonly ip?: string;
	readonly backend?: string;
}

/** Each node is a process of its own, of some 100 MB. */
const MAX_NODES = 16;
/** What fits into one IPAM block. */
const MAX_PODS_PER_NODE = 50;

/** @throws LAB_BAD_OPTION naming the option */
export function parseLabOptions(raw: RawLabOptions): LabOptions {
	const options: LabOptions = {
		name: parseLabName(raw.name),
		nodes: parseCount('--nodes', raw.nodes, DEFAULT_LAB_OPTIONS.nodes, 1, MAX_NODES),
		podsPerNode: parseCount('--pods', raw.pods, DEFAULT_LAB_OPTIONS.podsPerNode, 1, MAX_PODS_PER_NODE),
		fabric: parseChoice('--fabric', raw.fabric, DEFAULT_LAB_OPTIONS.fabric, ['flat', 'routed']),
		ip: parseChoice('--ip', raw.ip, DEFAULT_LAB_OPTIONS.ip, ['4', '6', 'dual']),
		backend: parseChoice('--backend', raw.backend, DEFAULT_LAB_OPTIONS.backend, ['tortie', 'bird']),
	};
	if (options.fabric === 'routed' && options.nodes < 2)
		throw badOption('--nodes', String(options.nodes), 'at least 2 with --fabric routed, so that each rack has one');
	return options;
}

/** @throws LAB_BAD_OPTION */
export function parseLabName(text = DEFAULT_LAB_NAME): string {
	// part of paths of UNIX sockets, which are short
	if (/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(text)) return text;
	throw badOption('--name', text, 'up to 20 lower-case letters, digits and -');
}

function parseCount(option: string, text: string | undefined, otherwise: number, min: number, max: number): number {
	if (text === undefined) return otherwise;
	const value = /^[0-9]{1,4}$/.test(text) ? Number(text) : Number.NaN;
	if (value >= min && value <= max) return value;
	throw badOption(option, text, `a number from ${min} to ${max}`);
}

function parseChoice<const Choice extends string>(
	option: string,
	text: string | undefined,
	otherwise: Choice,
	choices: readonly Choice[],
): Choice {
	if (text === undefined) return otherwise;
	const choice = choices.find((one) => one === text);
	if (choice !== undefined) return choice;
	throw badOption(option, text, choices.join(', '));
}

function badOption(option: string, found: string, allowed: string): Error {
	return labError('LAB_BAD_OPTION', { message: `${JSON.stringify(found)} is not possible here`, path: option, found, allowed });
}
