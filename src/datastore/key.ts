import { cidrFamily } from '#net';
import { datastoreError } from './errors.ts';
import type { Key, ListScope } from './types.ts';

/** A text that is the same for equal keys and differs for others; for maps and messages. */
export function keyId(key: Key): string {
	switch (key.type) {
		case 'resource':
			return key.namespace === undefined ? `${key.kind}/${key.name}` : `${key.kind}/${key.namespace}/${key.name}`;
		case 'block':
			return `block ${key.cidr}`;
		case 'affinity':
			return `affinity ${key.affinityType}:${key.host} ${key.cidr}`;
		case 'handle':
			return `handle ${key.handleId}`;
		case 'ipam-config':
			return 'IPAM configuration';
		default:
			return key satisfies never;
	}
}

/** Whether a key belongs to what a scope covers. */
export function inScope(scope: ListScope, key: Key): boolean {
	switch (scope.type) {
		case 'resource':
			return (
				key.type === 'resource' &&
				key.kind === scope.kind &&
				(scope.namespace === undefined || key.namespace === scope.namespace) &&
				(scope.namePrefix === undefined || key.name.startsWith(scope.namePrefix))
			);
		case 'block':
			return key.type === 'block' && (scope.family === undefined || cidrFamily(key.cidr) === scope.family);
		case 'affinity':
			return (
				key.type === 'affinity' &&
				key.affinityType === (scope.affinityType ?? 'host') &&
				(scope.host === undefined || key.host === scope.host) &&
				(scope.family === undefined || cidrFamily(key.cidr) === scope.family)
			);
		case 'handle':
			return key.type === 'handle';
		case 'ipam-config':
			return key.type === 'ipam-config';
		default:
			return scope satisfies never;
	}
}

/**
 * Refuses names that would end up as another key.
 *
 * @throws DATASTORE_REFUSED
 */
export function checkKeySegment(what: string, text: string): string {
	if (text === '' || text.includes('/') || text.includes('\0') || text.length > 1024)
		throw datastoreError('DATASTORE_REFUSED', {
			message: `${JSON.stringify(text.slice(0, 100))} can not be the ${what} of a stored object`,
			allowed: 'a text of 1 to 1024 characters without /',
		});
	return text;
}
