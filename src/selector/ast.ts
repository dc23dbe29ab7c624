/** Comparisons of one label with one string. */
export type ComparisonType = '==' | '!=' | 'contains' | 'starts with' | 'ends with';

/** Comparisons of one label with a set of strings. */
export type MembershipType = 'in' | 'not in';

/** One node of a parsed selector. Sets are sorted by byte order and without duplicates. */
export type SelectorNode =
	| { readonly type: 'all' }
	| { readonly type: 'global' }
	| { readonly type: 'has'; readonly label: string }
	| { readonly type: ComparisonType; readonly label: string; readonly value: string }
	| { readonly type: MembershipType; readonly label: string; readonly values: readonly string[] }
	| { readonly type: 'not'; readonly operand: SelectorNode }
	| { readonly type: 'and'; readonly operands: readonly SelectorNode[] }
	| { readonly type: 'or'; readonly operands: readonly SelectorNode[] };

/**
 * Looks labels up by name. A `Map` is one; an endpoint with profiles answers from its own labels first and from its
 * profiles in their order after that, so that inheritance needs no merged copy.
 */
export interface Labels {
	get(label: string): string | undefined;
}
