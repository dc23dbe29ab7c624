import type { SelectorNode } from './ast.ts';

/** The canonical text of a tree, as Calico writes it: IP sets are named by its hash. */
export function canonicalText(node: SelectorNode): string {
	switch (node.type) {
		case 'all':
		case 'global':
			return `${node.type}()`;
		case 'has':
			return `has(${node.label})`;
		case '==':
		case '!=':
		case 'contains':
		case 'starts with':
		case 'ends with':
			return `${node.label} ${node.type} ${quoted(node.value)}`;
		case 'in':
		case 'not in':
			return `${node.label} ${node.type} {${node.values.map(quoted).join(', ')}}`;
		case 'not':
			return `!${canonicalText(node.operand)}`;
		case 'and':
			return `(${node.operands.map(canonicalText).join(' && ')})`;
		case 'or':
			return `(${node.operands.map(canonicalText).join(' || ')})`;
	}
	return node satisfies never;
}

/** Orders texts as their UTF-8 bytes, which UTF-16 order is not beyond the basic plane. */
export function compareUtf8(a: string, b: string): number {
	const length = Math.min(a.length, b.length);
	for (let index = 0; index < length; index++) {
		const left = a.charCodeAt(index);
		const right = b.charCodeAt(index);
		if (left !== right) return byteRank(left) - byteRank(right);
	}
	return a.length - b.length;
}

/** Surrogates stand for characters above every other code unit. */
function byteRank(unit: number): number {
	return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function quoted(value: string): string {
	return value.includes('"') ? `'${value}'` : `"${value}"`;
}
