/** The selector language: parse, canonical text, evaluate, rewrite, index. Pure. */
export type { ComparisonType, Labels, MembershipType, SelectorNode } from './ast.ts';
export { selectorError } from './errors.ts';
export { parseSelector, type Selector, selectorOf, uniqueId } from './parser.ts';
