import { createHash } from 'node:crypto';
import type { SelectorNode } from './ast.ts';
import { canonicalText, compareUtf8 } from './canonical.ts';
import { OPERATORS, syntaxError, type Token, tokenize } from './lexer.ts';

/** A parsed selector. */
export interface Selector {
	readonly root: SelectorNode;
	/** The canonical text: equal for selectors that differ only in blanks, quotes, order of sets and needless parentheses. */
	readonly text: string;
	/** `s:` and 38 characters that stand for the canonical text; IP sets are named by it. */
	readonly id: string;
}

/** Deep enough for any selector of 1,024 characters, and shallow enough for the stack. */
const MAX_DEPTH = 1024;

/**
 * Parses a selector. The empty text, and one of blanks only, is `all()`.
 *
 * @throws SELECTOR_SYNTAX with the character's position and what was expected there
 */
export function parseSelector(text: string): Selector {
	const parser = new Parser(text);
	return selectorOf(parser.parse());
}

/** The selector of a tree that was parsed or rewritten. */
export function selectorOf(root: SelectorNode): Selector {
	const text = canonicalText(root);
	return { root, text, id: uniqueId('s:', text) };
}

/** The name that stands for a text: the prefix and the SHA-224 of prefix and text, in URL-safe base64 without padding. */
export function uniqueId(prefix: string, text: string): string {
	return prefix + createHash('sha224').update(prefix).update(text).digest('base64url');
}

/** The tree of `!operand`; two negations cancel. */
export function negate(operand: SelectorNode): SelectorNode {
	return operand.type === 'not' ? operand.operand : { type: 'not', operand };
}

class Parser {
	readonly #text: string;
	readonly #tokens: readonly Token[];
	#next = 0;
	#depth = 0;

	constructor(text: string) {
		this.#text = text;
		this.#tokens = tokenize(text);
	}

	parse(): SelectorNode {
		if (this.#peek().type === 'end') return { type: 'all' };
		const root = this.#or();
		if (this.#peek().type !== 'end') throw this.#unexpected('&&, || or the end');
		return root;
	}

	#or(): SelectorNode {
		const operands = [this.#and()];
		while (this.#accept('||')) operands.push(this.#and());
		return operands.length === 1 ? (operands[0] as SelectorNode) : { type: 'or', operands };
	}

	#and(): SelectorNode {
		const operands = [this.#unary()];
		while (this.#accept('&&')) operands.push(this.#unary());
		return operands.length === 1 ? (operands[0] as SelectorNode) : { type: 'and', operands };
	}

	#unary(): SelectorNode {
		let negated = false;
		while (this.#accept('!')) negated = !negated;
		const operand = this.#primary();
		return negated ? negate(operand) : operand;
	}

	#primary(): SelectorNode {
		const token = this.#peek();
		if (token.type === '(') return this.#group();
		if (token.type !== 'all' && token.type !== 'global' && token.type !== 'has' && token.type !== 'label')
			throw this.#unexpected('a label, has(), all(), ! or (');
		this.#next++;
		if (token.type === 'label') return this.#comparison(token.text);
		return token.type === 'has' ? { type: 'has', label: token.text } : { type: token.type };
	}

	#group(): SelectorNode {
		if (++this.#depth > MAX_DEPTH) throw this.#unexpected(`at most ${MAX_DEPTH} nested parentheses`);
		this.#next++;
		const inner = this.#or();
		if (!this.#accept(')')) throw this.#unexpected('&&, || or )');
		this.#depth--;
		return inner;
	}

	#comparison(label: string): SelectorNode {
		const { type } = this.#peek();
		if (type === 'in' || type === 'not in') {
			this.#next++;
			return { type, label, values: this.#set() };
		}
		if (type !== '==' && type !== '!=' && type !== 'contains' && type !== 'starts with' && type !== 'ends with')
			throw this.#unexpected(OPERATORS);
		this.#next++;
		return { type, label, value: this.#string() };
	}

	#set(): readonly string[] {
		if (!this.#accept('{')) throw this.#unexpected('{');
		const values = new Set<string>();
		while (!this.#accept('}')) {
			if (this.#peek().type !== 'string') throw this.#unexpected('a string in quotes or }');
			values.add(this.#string());
			if (this.#peek().type !== '}' && !this.#accept(',')) throw this.#unexpected(', or }');
		}
		return [...values].sort(compareUtf8);
	}

	#string(): string {
		const token = this.#peek();
		if (token.type !== 'string') throw this.#unexpected('a string in quotes');
		this.#next++;
		return token.text;
	}

	#accept(type: Token['type']): boolean {
		if (this.#peek().type !== type) return false;
		this.#next++;
		return true;
	}

	#peek(): Token {
		return this.#tokens[this.#next] as Token;
	}

	#unexpected(expected: string): Error {
		return syntaxError(this.#text, this.#peek().at, expected);
	}
}
