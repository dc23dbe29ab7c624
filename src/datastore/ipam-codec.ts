import { cidrSize, parseCidr } from '#net';
import { datastoreError } from './errors.ts';
import { formatLosslessJson, parseLosslessJson } from './json.ts';
import type { IpamAffinity, IpamAttribute, IpamBlock, IpamConfig, IpamHandle } from './types.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The largest block that any pool may have: /20 and /116. */
const MAX_BLOCK_SIZE = 4096n;

/**
 * Reads a block as Calico's IPAM stores it; `hostAffinity` of releases before 3 is understood.
 *
 * @throws DATASTORE_INVALID_ENTRY with the field's path
 */
export function decodeBlock(text: string): IpamBlock {
	const {
		cidr: cidrText,
		affinity,
		hostAffinity,
		affinity_claim_time: claimTime,
		allocations,
		unallocated,
		attributes,
		...others
	} = parseFields(text);
	const { sequenceNumber, sequenceNumberForAllocation, deleted: _deleted, ...extra } = others;
	const cidr = typeof cidrText === 'string' ? parseCidr(cidrText) : undefined;
	if (cidr === undefined || cidrSize(cidr) > MAX_BLOCK_SIZE) throw invalid('cidr', cidrText, 'a prefix with at most 4096 addresses');
	const size = Number(cidrSize(cidr));
	const decodedAttributes = listOf(attributes, 'attributes').map(decodeAttribute);
	const decodedAllocations = listOf(allocations, 'allocations').map((index, ordinal) =>
		index === null ? null : naturalBelow(index, decodedAttributes.length, `allocations[${ordinal}]`),
	);
	if (decodedAllocations.length !== size) throw invalid('allocations', decodedAllocations.length, `${size} entries, one per address`);
	const legacyHost = optionalText(hostAffinity, 'hostAffinity');
	return {
		cidr,
		affinity: optionalText(affinity, 'affinity') ?? (legacyHost === undefined ? null : `host:${legacyHost}`),
		affinityClaimTime: optionalText(claimTime, 'affinity_claim_time'),
		allocations: decodedAllocations,
		unallocated: listOf(unallocated, 'unallocated').map((ordinal, index) => naturalBelow(ordinal, size, `unallocated[${index}]`)),
		attributes: decodedAttributes,
		sequenceNumber: unsigned64(sequenceNumber ?? 0, 'sequenceNumber'),
		sequenceNumberForAllocation: mapOf(sequenceNumberForAllocation, 'sequenceNumberForAllocation', unsigned64),
		extra,
	};
}

/** The block as Calico's IPAM reads it. */
export function encodeBlock(block: IpamBlock): string {
	return formatLosslessJson({
		cidr: block.cidr,
		affinity: block.affinity,
		affinity_claim_time: block.affinityClaimTime,
		allocations: block.allocations,
		unallocated: block.unallocated,
		attributes: block.attributes.map(({ handleId, secondary, alternateOwnerAttributes, releasedAt, extra }) => ({
			handle_id: handleId,
			secondary,
			alternateOwnerAttrs: alternateOwnerAttributes,
			releasedAt,
			...extra,
		})),
		sequenceNumber: block.sequenceNumber,
		sequenceNumberForAllocation: block.sequenceNumberForAllocation,
		deleted: false,
		...block.extra,
	});
}

/** @throws DATASTORE_INVALID_ENTRY */
export function decodeAffinity(text: string): IpamAffinity {
	const { state, deleted: _deleted, ...extra } = text === '' ? {} : parseFields(text);
	if (state === undefined || state === null || state === '') return { state: 'confirmed', ...withExtra(extra) };
	if (state !== 'confirmed' && state !== 'pending' && state !== 'pendingDeletion')
		throw invalid('state', state, 'confirmed, pending or pendingDeletion');
	return { state, ...withExtra(extra) };
}

export function encodeAffinity({ state, extra }: IpamAffinity): string {
	return formatLosslessJson({ state, deleted: false, ...extra });
}

/** @throws DATASTORE_INVALID_ENTRY */
export function decodeHandle(text: string): IpamHandle {
	const { block, deleted: _deleted, ...extra } = parseFields(text);
	return { blocks: mapOf(block, 'block', (count, path) => naturalBelow(count, Number.MAX_SAFE_INTEGER, path)), ...withExtra(extra) };
}

export function encodeHandle({ blocks, extra }: IpamHandle): string {
	return formatLosslessJson({ block: blocks, deleted: false, ...extra });
}

/** @throws DATASTORE_INVALID_ENTRY */
export function decodeIpamConfig(text: string): IpamConfig {
	const { strict_affinity, auto_allocate_blocks, maxBlocksPerHost, ipCooldownSeconds, ...extra } = parseFields(text);
	return {
		strictAffinity: flag(strict_affinity, 'strict_affinity'),
		// an object without the field was written by a marshaller that leaves out false
		autoAllocateBlocks: flag(auto_allocate_blocks, 'auto_allocate_blocks'),
		maxBlocksPerHost: naturalBelow(maxBlocksPerHost ?? 0, Number.MAX_SAFE_INTEGER, 'maxBlocksPerHost'),
		ipCooldownSeconds: naturalBelow(ipCooldownSeconds ?? 0, Number.MAX_SAFE_INTEGER, 'ipCooldownSeconds'),
		extra,
	};
}

export function encodeIpamConfig(config: IpamConfig): string {
	return formatLosslessJson({
		strict_affinity: config.strictAffinity,
		auto_allocate_blocks: config.autoAllocateBlocks,
		maxBlocksPerHost: config.maxBlocksPerHost === 0 ? undefined : config.maxBlocksPerHost,
		ipCooldownSeconds: config.ipCooldownSeconds === 0 ? undefined : config.ipCooldownSeconds,
		...config.extra,
	});
}

/**
 * Parses a JSON object.
 *
 * @throws DATASTORE_INVALID_ENTRY
 */
function parseFields(text: string): Fields {
	let value: unknown;
	try {
		value = parseLosslessJson(text);
	} catch (cause) {
		throw datastoreError('DATASTORE_INVALID_ENTRY', { message: 'the value is not JSON', cause });
	}
	return asFields(value, '');
}

function decodeAttribute(value: unknown, index: number): IpamAttribute {
	const path = `attributes[${index}]`;
	const { handle_id, secondary, alternateOwnerAttrs, releasedAt, ...extra } = asFields(value, path);
	const text = (item: unknown, itemPath: string): string => optionalText(item, itemPath) ?? '';
	return {
		handleId: optionalText(handle_id, `${path}.handle_id`),
		...(isPresent(secondary) ? { secondary: mapOf(secondary, `${path}.secondary`, text) } : {}),
		...(isPresent(alternateOwnerAttrs)
			? { alternateOwnerAttributes: mapOf(alternateOwnerAttrs, `${path}.alternateOwnerAttrs`, text) }
			: {}),
		...(isPresent(releasedAt) ? { releasedAt: text(releasedAt, `${path}.releasedAt`) } : {}),
		...withExtra(extra),
	};
}

function withExtra(extra: Fields): { readonly extra?: Fields } {
	return Object.keys(extra).length === 0 ? {} : { extra };
}

function isPresent(value: unknown): boolean {
	return value !== undefined && value !== null;
}

function asFields(value: unknown, path: string): Fields {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(path, value, 'an object');
	return value as Fields;
}

function listOf(value: unknown, path: string): readonly unknown[] {
	if (value === undefined || value === null) return [];
	if (!Array.isArray(value)) throw invalid(path, value, 'a list');
	return value;
}

function mapOf<T>(value: unknown, path: string, decode: (item: unknown, path: string) => T): Readonly<Record<string, T>> {
	if (!isPresent(value)) return {};
	return Object.fromEntries(Object.entries(asFields(value, path)).map(([key, item]) => [key, decode(item, `${path}.${key}`)]));
}

function optionalText(value: unknown, path: string): string | undefined {
	if (value === undefined || value === null) return undefined;
	if (typeof value !== 'string') throw invalid(path, value, 'a text');
	return value;
}

function flag(value: unknown, path: string): boolean {
	if (value === undefined || value === null) return false;
	if (typeof value !== 'boolean') throw invalid(path, value, 'true or false');
	return value;
}

function naturalBelow(value: unknown, limit: number, path: string): number {
	if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value >= limit)
		throw invalid(path, value, `a whole number from 0, less than ${limit}`);
	return value;
}

function unsigned64(value: unknown, path: string): bigint {
	const number = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
	if (typeof number !== 'bigint' || BigInt.asUintN(64, number) !== number) throw invalid(path, value, 'an unsigned 64-bit number');
	return number;
}

function invalid(path: string, found: unknown, allowed: string): Error {
	return datastoreError('DATASTORE_INVALID_ENTRY', { message: 'the stored value is malformed', path, found, allowed });
}
