import type { ComparisonType, MembershipType } from './ast.ts';
import { selectorError } from './errors.ts';

/** A token with the offset of its first character. */
export type Token =
	| { readonly type: 'label' | 'string' | 'has'; readonly text: string; readonly at: number }
	| { readonly type: Punctuation | ComparisonType | MembershipType | 'all' | 'global' | 'end'; readonly at: number };

type Punctuation = '(' | ')' | '{' | '}' | ',' | '!' | '&&' | '||';

/** What may follow a label, in words. */
export const OPERATORS = 'an operator: ==, !=, in, not in, contains, starts with or ends with';

const MAX_LABEL_LENGTH = 512;

const LABEL = /[A-Za-z0-9_./-]+/y;
const BLANK = /[ \t]*/y;
const FUNCTION = /(?:(all|global)\([ \t]*\)|has\([ \t]*([A-Za-z0-9_./-]+)[ \t]*\))/y;
// A word operator ends where a label could not go on, so that `a inside` is no `in`.
const OPERATOR = /(==|!=|(?:contains|starts[ \t]*with|ends[ \t]*with|in|not[ \t]*in)(?![A-Za-z0-9_./-]))/y;
const PUNCTUATION = /&&|\|\||[(){},!]/y;

/** Splits a selector into tokens, the last of which is `end`. Time is linear in the text. */
export function tokenize(text: string): Token[] {
	const tokens: Token[] = [];
	let at = skipBlank(text, 0);
	while (at < text.length) {
		if (tokens.at(-1)?.type === 'label') {
			const operator = match(OPERATOR, text, at)?.[0];
			if (operator === undefined) throw syntaxError(text, at, OPERATORS);
			tokens.push({ type: operatorType(operator), at });
			at += operator.length;
		} else {
			const { token, length } = readOperand(text, at);
			tokens.push(token);
			at += length;
		}
		at = skipBlank(text, at);
	}
	tokens.push({ type: 'end', at: text.length });
	return tokens;
}

/** The error for what stands at an offset of a selector. */
export function syntaxError(text: string, at: number, expected: string): Error {
	const found = at >= text.length ? 'the end' : JSON.stringify(text.slice(at, at + 20));
	return selectorError('SELECTOR_SYNTAX', {
		message: `selector ${JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)}: found ${found} at character ${at + 1}`,
		found: text,
		allowed: expected,
	});
}

function readOperand(text: string, at: number): { readonly token: Token; readonly length: number } {
	const quote = text[at];
	if (quote === '"' || quote === "'") {
		const end = text.indexOf(quote, at + 1);
		if (end < 0) throw syntaxError(text, at, `a string that is closed by ${quote}`);
		return { token: { type: 'string', text: text.slice(at + 1, end), at }, length: end + 1 - at };
	}
	const call = match(FUNCTION, text, at);
	if (call !== null) {
		const [whole, name, label] = call;
		if (label === undefined) return { token: { type: name as 'all' | 'global', at }, length: whole.length };
		if (label.length > MAX_LABEL_LENGTH) throw tooLong(text, at);
		return { token: { type: 'has', text: label, at }, length: whole.length };
	}
	const punctuation = match(PUNCTUATION, text, at)?.[0];
	if (punctuation !== undefined) return { token: { type: punctuation as Punctuation, at }, length: punctuation.length };
	const label = match(LABEL, text, at)?.[0];
	if (label === undefined) throw syntaxError(text, at, 'a label, a string in quotes, has(), all(), !, && or ||');
	if (label.length > MAX_LABEL_LENGTH) throw tooLong(text, at);
	return { token: { type: 'label', text: label, at }, length: label.length };
}

function operatorType(text: string): ComparisonType | MembershipType {
	if (text.startsWith('starts')) return 'starts with';
	if (text.startsWith('ends')) return 'ends with';
	if (text.startsWith('not')) return 'not in';
	return text as '==' | '!=' | 'contains' | 'in';
}

function tooLong(text: string, at: number): Error {
	return syntaxError(text, at, `a label of at most ${MAX_LABEL_LENGTH} characters`);
}

function skipBlank(text: string, at: number): number {
	return at + (match(BLANK, text, at)?.[0].length ?? 0);
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
	pattern.lastIndex = at;
	return pattern.exec(text);
}
