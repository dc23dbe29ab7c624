import { KIND_NAMES, type KindName, kindAliases, kindByAlias, nearestName } from '#resources';
import { ctlError } from './errors.ts';

/**
 * The kind that a word on the command line means.
 *
 * @throws CTL_UNKNOWN_KIND with the nearest word that is one
 */
export function kindOfWord(word: string): KindName {
	const kind = kindByAlias(word);
	if (kind !== undefined) return kind;
	const nearest = nearestName(word.toLowerCase(), kindAliases());
	throw ctlError('CTL_UNKNOWN_KIND', {
		message: `${JSON.stringify(word)} is no kind of resource`,
		found: word,
		allowed: KIND_NAMES.join(', '),
		hint: nearest === undefined ? undefined : `did you mean ${nearest}?`,
	});
}
