/** The selector language: parse, canonical text, evaluate, rewrite, index. Pure. */
export type { Labels, SelectorNode } from './ast.ts';
export { selectorError } from './errors.ts';
export { evaluateSelector } from './evaluate.ts';
export { LabelIndex, type MatchListener } from './label-index.ts';
export type { LabelRecord } from './label-table.ts';
export { parseSelector, type Selector, selectorOf, uniqueId } from './parser.ts';
export { allOf, prefixLabels, replaceCalls } from './rewrite.ts';
