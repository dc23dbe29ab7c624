import type { Labels, SelectorNode } from './ast.ts';
import type { Selector } from './parser.ts';

/**
 * Whether labels satisfy a selector. `!=` and `not in` hold for a label that is not there; `global()` holds always, as it
 * has a meaning only where it was replaced (see `replaceCalls`).
 */
export function evaluateSelector(selector: Selector, labels: Labels): boolean {
	return matches(selector.root, labels);
}

/** {@link evaluateSelector} for a part of a selector. */
export function matches(node: SelectorNode, labels: Labels): boolean {
	switch (node.type) {
		case 'all':
		case 'global':
			return true;
		case 'has':
			return labels.get(node.label) !== undefined;
		case '==':
			return labels.get(node.label) === node.value;
		case '!=':
			return labels.get(node.label) !== node.value;
		case 'contains':
			return labels.get(node.label)?.includes(node.value) ?? false;
		case 'starts with':
			return labels.get(node.label)?.startsWith(node.value) ?? false;
		case 'ends with':
			return labels.get(node.label)?.endsWith(node.value) ?? false;
		case 'in':
			return includes(node.values, labels.get(node.label));
		case 'not in':
			return !includes(node.values, labels.get(node.label));
		case 'not':
			return !matches(node.operand, labels);
		case 'and':
			return node.operands.every((operand) => matches(operand, labels));
		case 'or':
			return node.operands.some((operand) => matches(operand, labels));
	}
	return node satisfies never;
}

function includes(values: readonly string[], value: string | undefined): boolean {
	return value !== undefined && values.includes(value);
}
