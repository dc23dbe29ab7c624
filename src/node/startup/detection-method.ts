import { type Cidr, parseCidr } from '#net';
import { nodeError } from '../errors.ts';

/** How the node's address is chosen when it is not given. */
export type DetectionMethod =
	| { readonly type: 'first-found' }
	| { readonly type: 'interface'; readonly names: readonly RegExp[] }
	| { readonly type: 'skip-interface'; readonly names: readonly RegExp[] }
	| { readonly type: 'cidr'; readonly ranges: readonly Cidr[] }
	| { readonly type: 'can-reach'; readonly destination: string };

const ALLOWED =
	'first-found, interface=<regular expressions>, skip-interface=<regular expressions>, cidr=<prefixes>, can-reach=<address or host name>';

/**
 * Reads `IP_AUTODETECTION_METHOD` or `IP6_AUTODETECTION_METHOD`; empty is `first-found`.
 *
 * @throws NODE_BAD_SETTING
 */
export function parseDetectionMethod(text: string, variable: string): DetectionMethod {
	const split = text.indexOf('=');
	const name = split < 0 ? text : text.slice(0, split);
	const value = split < 0 ? '' : text.slice(split + 1);
	const bad = (cause?: unknown): Error =>
		nodeError('NODE_BAD_SETTING', {
			message: `${variable} is ${JSON.stringify(text)}, which is no method to find the node's address`,
			path: variable,
			allowed: ALLOWED,
			cause,
		});
	const list = value
		.split(',')
		.map((part) => part.trim())
		.filter((part) => part !== '');
	const names = (): RegExp[] => {
		try {
			return list.map((part) => new RegExp(part));
		} catch (error) {
			throw bad(error);
		}
	};
	if (name === '' || (name === 'first-found' && split < 0)) return { type: 'first-found' };
	if (list.length === 0) throw bad();
	switch (name) {
		case 'interface':
		case 'skip-interface':
			return { type: name, names: names() };
		case 'cidr': {
			const ranges = list.flatMap((part) => parseCidr(part) ?? []);
			if (ranges.length !== list.length) throw bad();
			return { type: name, ranges };
		}
		case 'can-reach':
			return { type: name, destination: value.trim() };
	}
	throw bad();
}
