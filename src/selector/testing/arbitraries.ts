import fc from 'fast-check';

const label = fc.constantFrom('a', 'b', 'c', 'd');
const value = fc.constantFrom('', 'x', 'y', 'xy', 'z');
const quoted = value.map((text) => `"${text}"`);

/** Selectors of every form, over few labels and values so that matches are common. */
export const anySelectorText: fc.Arbitrary<string> = fc.letrec<{ selector: string }>((tie) => ({
	selector: fc.oneof(
		{ maxDepth: 4, depthSize: 'small' },
		fc
			.tuple(label, fc.constantFrom('==', '!=', 'contains', 'starts with', 'ends with'), quoted)
			.map(([name, operator, text]) => `${name} ${operator} ${text}`),
		fc
			.tuple(label, fc.constantFrom('in', 'not in'), fc.array(quoted, { maxLength: 3 }))
			.map(([name, operator, texts]) => `${name} ${operator} {${texts.join(', ')}}`),
		label.map((name) => `has(${name})`),
		fc.constantFrom('all()', 'global()'),
		tie('selector').map((operand) => `!(${operand})`),
		fc.array(tie('selector'), { minLength: 2, maxLength: 3 }).map((operands) => `(${operands.join(' && ')})`),
		fc.array(tie('selector'), { minLength: 2, maxLength: 3 }).map((operands) => `(${operands.join(' || ')})`),
	),
})).selector;

/** Labels that such selectors ask for. */
export const anyLabels: fc.Arbitrary<Record<string, string>> = fc.dictionary(label, value, { noNullPrototype: true });
