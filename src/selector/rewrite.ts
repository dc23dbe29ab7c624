import type { SelectorNode } from './ast.ts';
import { negate, type Selector, selectorOf } from './parser.ts';

/** The selector with a prefix before every label, as labels that profiles hand down have it (`pcns.`, `pcsa.`). */
export function prefixLabels(selector: Selector, prefix: string): Selector {
	return selectorOf(
		rewrite(selector.root, (leaf) => (leaf.type === 'all' || leaf.type === 'global' ? leaf : { ...leaf, label: prefix + leaf.label })),
	);
}

/** The selector with something else in the place of each `all()` and `global()`. */
export function replaceCalls(
	selector: Selector,
	replacements: { readonly all?: SelectorNode | undefined; readonly global?: SelectorNode | undefined },
): Selector {
	return selectorOf(
		rewrite(selector.root, (leaf) => (leaf.type === 'all' || leaf.type === 'global' ? (replacements[leaf.type] ?? leaf) : leaf)),
	);
}

/** `(a && b && …)`: what satisfies all of the selectors; a single one as it is, none as `all()`. */
export function allOf(...selectors: readonly Selector[]): Selector {
	const [first] = selectors;
	if (first === undefined) return selectorOf({ type: 'all' });
	return selectors.length === 1 ? first : selectorOf({ type: 'and', operands: selectors.map(({ root }) => root) });
}

type Leaf = Exclude<SelectorNode, { readonly type: 'not' | 'and' | 'or' }>;

function rewrite(node: SelectorNode, change: (leaf: Leaf) => SelectorNode): SelectorNode {
	if (node.type === 'not') return negate(rewrite(node.operand, change));
	if (node.type === 'and' || node.type === 'or') return { ...node, operands: node.operands.map((operand) => rewrite(operand, change)) };
	return change(node);
}
