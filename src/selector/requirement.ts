import type { SelectorNode } from './ast.ts';

/** A label that has a value, or any value at all. */
export interface LabelCondition {
	readonly label: string;
	readonly value: string | undefined;
}

/** Conditions of which whatever matches a selector fulfils at least one; none means that nothing can match. */
export type Requirement = readonly LabelCondition[];

/**
 * What labels must be there for a selector to match, as the cheapest of the alternatives that `&&` offers.
 *
 * @param cost what looking for a condition costs
 * @returns undefined if a match needs no label
 */
export function requirementOf(node: SelectorNode, cost: (condition: LabelCondition) => number): Requirement | undefined {
	return cheapest(node, false, cost);
}

/** The labels on which a selector's verdict depends. */
export function labelsOf(node: SelectorNode, into = new Set<string>()): ReadonlySet<string> {
	if (node.type === 'not') labelsOf(node.operand, into);
	else if (node.type === 'and' || node.type === 'or') for (const operand of node.operands) labelsOf(operand, into);
	else if (node.type !== 'all' && node.type !== 'global') into.add(node.label);
	return into;
}

function cheapest(node: SelectorNode, negated: boolean, cost: (condition: LabelCondition) => number): Requirement | undefined {
	switch (node.type) {
		case 'all':
		case 'global':
			return negated ? [] : undefined;
		case 'not':
			return cheapest(node.operand, !negated, cost);
		case 'and':
		case 'or': {
			const operands = node.operands.map((operand) => cheapest(operand, negated, cost));
			// by De Morgan's laws, a negated conjunction is a disjunction of negations
			return (node.type === 'or') === negated ? cheapestOf(operands, cost) : eachOf(operands);
		}
		case 'has':
		case 'contains':
		case 'starts with':
		case 'ends with':
			return negated ? undefined : [{ label: node.label, value: undefined }];
		case '==':
		case '!=':
			return (node.type === '!=') === negated ? [{ label: node.label, value: node.value }] : undefined;
		case 'in':
		case 'not in':
			return (node.type === 'not in') === negated ? node.values.map((value) => ({ label: node.label, value })) : undefined;
	}
	return node satisfies never;
}

function cheapestOf(
	requirements: readonly (Requirement | undefined)[],
	cost: (condition: LabelCondition) => number,
): Requirement | undefined {
	let best: Requirement | undefined;
	let bestCost = Number.POSITIVE_INFINITY;
	for (const requirement of requirements) {
		if (requirement === undefined) continue;
		const total = requirement.reduce((sum, condition) => sum + cost(condition), 0);
		if (total < bestCost) {
			best = requirement;
			bestCost = total;
		}
	}
	return best;
}

function eachOf(requirements: readonly (Requirement | undefined)[]): Requirement | undefined {
	const all: LabelCondition[] = [];
	for (const requirement of requirements) {
		if (requirement === undefined) return undefined;
		all.push(...requirement);
	}
	return all;
}
