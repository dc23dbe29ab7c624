import { type Cidr, cidrFamily, parseCidr } from '#net';
import { KIND_NAMES, KINDS, type KindName } from '#resources';
import { checkKeySegment } from '../key.ts';
import type { AffinityKey, Key, ListScope } from '../types.ts';

const RESOURCES = '/calico/resources/v3/projectcalico.org/';
const IPAM = '/calico/ipam/v2/';
const BLOCKS = `${IPAM}assignment/`;
const HANDLES = `${IPAM}handle/`;
const CONFIG = `${IPAM}config`;

const kindByPlural: ReadonlyMap<string, KindName> = new Map(KIND_NAMES.map((kind) => [KINDS[kind].plural, kind]));

/**
 * The etcd key of an object, as Calico lays them out.
 *
 * @throws DATASTORE_REFUSED for a name that would end up as another key
 */
export function etcdKey(key: Key): string {
	switch (key.type) {
		case 'resource': {
			const { plural, namespaced } = KINDS[key.kind];
			const namespace = namespaced ? `${checkKeySegment('namespace', key.namespace ?? '')}/` : '';
			return `${RESOURCES}${plural}/${namespace}${checkKeySegment('name', key.name)}`;
		}
		case 'block':
			return `${BLOCKS}${blockPath(key.cidr)}`;
		case 'affinity':
			return `${IPAM}${key.affinityType}/${checkKeySegment('host', key.host)}/${blockPath(key.cidr)}`;
		case 'handle':
			return `${HANDLES}${key.handleId}`;
		case 'ipam-config':
			return CONFIG;
		default:
			return key satisfies never;
	}
}

/** What etcd is asked for a scope: one key, or everything that begins with a prefix. */
export type EtcdRange = { readonly key: string } | { readonly prefix: string };

export function etcdRange(scope: ListScope): EtcdRange {
	switch (scope.type) {
		case 'resource': {
			const { plural, namespaced } = KINDS[scope.kind];
			const namespace = namespaced && scope.namespace !== undefined ? `${checkKeySegment('namespace', scope.namespace)}/` : '';
			// a prefix of names narrows the range only where it directly follows in the key
			const name = scope.namePrefix !== undefined && (!namespaced || namespace !== '') ? scope.namePrefix : '';
			return { prefix: `${RESOURCES}${plural}/${namespace}${name}` };
		}
		case 'block':
			return { prefix: scope.family === undefined ? BLOCKS : `${BLOCKS}ipv${scope.family}/` };
		case 'affinity': {
			const host = scope.host === undefined ? '' : `${checkKeySegment('host', scope.host)}/`;
			return {
				prefix: `${IPAM}${scope.affinityType ?? 'host'}/${host}${host === '' || scope.family === undefined ? '' : `ipv${scope.family}/block/`}`,
			};
		}
		case 'handle':
			return { prefix: HANDLES };
		case 'ipam-config':
			return { key: CONFIG };
		default:
			return scope satisfies never;
	}
}

/** The name of the object that an etcd key stands for; undefined if it stands for none. */
export function parseEtcdKey(path: string): Key | undefined {
	if (path.startsWith(RESOURCES)) return parseResourceKey(path.slice(RESOURCES.length));
	if (path.startsWith(BLOCKS)) {
		const cidr = parseBlockPath(path.slice(BLOCKS.length));
		return cidr === undefined ? undefined : { type: 'block', cidr };
	}
	if (path.startsWith(HANDLES) && path.length > HANDLES.length) return { type: 'handle', handleId: path.slice(HANDLES.length) };
	if (path === CONFIG) return { type: 'ipam-config' };
	return path.startsWith(IPAM) ? parseAffinityKey(path.slice(IPAM.length)) : undefined;
}

/** Calico before 3.0 left `/calico/ipam/v2/host/<host>` behind; such a key says nothing any more. */
export function isLegacyMarker(path: string): boolean {
	return path.startsWith(`${IPAM}host/`) && !path.slice(IPAM.length + 5).includes('/');
}

function parseResourceKey(rest: string): Key | undefined {
	const [plural = '', ...segments] = rest.split('/').map(unescapeSegment);
	const kind = kindByPlural.get(plural);
	if (kind === undefined || segments.includes('')) return undefined;
	if (KINDS[kind].namespaced)
		return segments.length === 2 ? { type: 'resource', kind, namespace: segments[0], name: segments[1] as string } : undefined;
	return segments.length === 1 ? { type: 'resource', kind, name: segments[0] as string } : undefined;
}

function unescapeSegment(text: string): string {
	return text.replaceAll('%2f', '/').replaceAll('%25', '%');
}

function parseAffinityKey(rest: string): AffinityKey | undefined {
	const [, affinityType, host, block] = /^(host|virtual)\/([^/]+)\/(ipv[46]\/block\/[^/]+)$/.exec(rest) ?? [];
	const cidr = block === undefined ? undefined : parseBlockPath(block);
	if (cidr === undefined || host === undefined) return undefined;
	return { type: 'affinity', affinityType: affinityType === 'virtual' ? 'virtual' : 'host', host, cidr };
}

function blockPath(cidr: Cidr): string {
	return `ipv${cidrFamily(cidr)}/block/${cidr.replace('/', '-')}`;
}

function parseBlockPath(text: string): Cidr | undefined {
	const [, family, address, length] = /^ipv([46])\/block\/([^/]+)-([0-9]+)$/.exec(text) ?? [];
	const cidr = parseCidr(`${address}/${length}`);
	return cidr !== undefined && cidrFamily(cidr) === Number(family) ? cidr : undefined;
}
