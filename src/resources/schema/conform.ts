import { z } from 'zod';
import { nearestName } from '../nearest.ts';
import { MAX_PROBLEMS, type PathStep, type Problem, pathText } from '../problem.ts';
import { normaliserOf } from './field.ts';

/**
 * How strictly a value is taken. What a user writes has to keep every rule; in what is stored, unknown fields are kept, and
 * lists and texts may be longer than today's limits, which came after much was written.
 */
export type Strictness = 'written' | 'stored';

/**
 * Brings a value to the spelling of its schema and checks it: JSON nulls and empty enumerations become absent fields,
 * protocols and AS numbers canonical, and what is left is compared with the schema.
 *
 * @param path where the value stands in the resource
 * @param problems receives what is wrong; the result is of the schema's type only if nothing was added
 */
export function conform(
	schema: z.ZodType,
	value: unknown,
	path: readonly PathStep[],
	strictness: Strictness,
	problems: Problem[],
): unknown {
	const normal = new Normaliser(strictness, problems).visit(schema, value, path);
	const result = schema.safeParse(normal);
	for (const issue of result.error?.issues ?? []) {
		if (problems.length >= MAX_PROBLEMS) break;
		if (strictness === 'written' || !isLaterLimit(issue)) problems.push(problemOf(issue, normal, path));
	}
	return normal;
}

class Normaliser {
	readonly #strictness: Strictness;
	readonly #problems: Problem[];

	constructor(strictness: Strictness, problems: Problem[]) {
		this.#strictness = strictness;
		this.#problems = problems;
	}

	visit(schema: z.ZodType, value: unknown, path: readonly PathStep[]): unknown {
		const inner = unwrap(schema);
		if (inner instanceof z.ZodObject) return isRecord(value) ? this.#object(inner, value, path) : value;
		if (inner instanceof z.ZodArray) {
			const element = inner.element as z.ZodType;
			return Array.isArray(value) ? value.map((item, index) => this.visit(element, item, [...path, index])) : value;
		}
		if (inner instanceof z.ZodRecord && isRecord(value) && Object.hasOwn(value, '__proto__'))
			this.#problems.push({ path: pathText([...path, '__proto__']), found: '__proto__', allowed: 'any other name' });
		if (typeof value !== 'string' && typeof value !== 'number') return value;
		return normaliserOf(inner)?.(value) ?? value;
	}

	#object(schema: z.ZodObject, value: Readonly<Record<string, unknown>>, path: readonly PathStep[]): Record<string, unknown> {
		const shape = schema.shape as Readonly<Record<string, z.ZodType>>;
		const fields: [string, unknown][] = [];
		for (const [name, content] of Object.entries(value)) {
			const field = Object.hasOwn(shape, name) ? shape[name] : undefined;
			if (field === undefined) {
				if (this.#strictness === 'written') this.#refuse([...path, name], content, shape);
				fields.push([name, content]);
			} else if (content !== null && content !== undefined && !(content === '' && unwrap(field) instanceof z.ZodEnum)) {
				fields.push([name, this.visit(field, content, [...path, name])]);
			}
		}
		// unlike assignment, this makes a field of any name a plain own property
		return Object.fromEntries(fields);
	}

	#refuse(path: readonly PathStep[], found: unknown, shape: Readonly<Record<string, z.ZodType>>): void {
		if (this.#problems.length >= MAX_PROBLEMS) return;
		const names = Object.keys(shape);
		const near = nearestName(String(path.at(-1)), names);
		this.#problems.push({
			path: pathText(path),
			found,
			allowed: names.length > 12 ? 'a field of this kind' : `one of the fields ${names.join(', ')}`,
			hint: near === undefined ? 'there is no such field' : `there is no such field; did you mean ${near}?`,
		});
	}
}

function unwrap(schema: z.ZodType): z.ZodType {
	let inner = schema;
	while (inner instanceof z.ZodOptional) inner = inner.unwrap() as z.ZodType;
	return inner;
}

/** Whether a value is an object that is no list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isLaterLimit(issue: z.core.$ZodIssue): boolean {
	if (issue.code === 'too_big') return issue.origin === 'string' || issue.origin === 'array';
	return issue.code === 'custom' && issue.params?.['newRule'] === true;
}

function problemOf(issue: z.core.$ZodIssue, root: unknown, prefix: readonly PathStep[]): Problem {
	const steps = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
	const found = valueAt(root, steps);
	return { path: pathText([...prefix, ...steps]), found, ...expectation(issue, found) };
}

function expectation(issue: z.core.$ZodIssue, found: unknown): Pick<Problem, 'allowed' | 'hint'> {
	switch (issue.code) {
		case 'invalid_type':
			return { allowed: issue.message.startsWith('Invalid input') ? (TYPE_WORDS[issue.expected] ?? issue.message) : issue.message };
		case 'invalid_value': {
			const near = typeof found === 'string' ? nearestName(found, issue.values.map(String)) : undefined;
			return { allowed: alternatives(issue.values.map(String)), hint: near === undefined ? undefined : `did you mean ${near}?` };
		}
		case 'too_big':
			return { allowed: amount(issue.origin, `at most ${issue.maximum}`) ?? issue.message };
		case 'too_small':
			return { allowed: amount(issue.origin, `at least ${issue.minimum}`) ?? issue.message };
		case 'custom':
			return { allowed: issue.message, hint: issue.params?.['hint'] as string | undefined };
		case 'invalid_format':
		case 'not_multiple_of':
		case 'unrecognized_keys':
		case 'invalid_union':
		case 'invalid_key':
		case 'invalid_element':
			return { allowed: issue.message };
	}
	return issue satisfies never;
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
	string: 'a text',
	boolean: 'true or false',
	object: 'an object',
	record: 'an object whose values are texts',
	array: 'a list',
};

function amount(origin: string, limit: string): string | undefined {
	if (origin === 'string') return `${limit} characters`;
	return origin === 'array' ? `a list of ${limit}` : undefined;
}

function alternatives(values: readonly string[]): string {
	return values.length === 1 ? String(values[0]) : `one of ${values.join(', ')}`;
}

function valueAt(root: unknown, steps: readonly PathStep[]): unknown {
	let value = root;
	for (const step of steps) {
		if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
		value = (value as Readonly<Record<PathStep, unknown>>)[step];
	}
	return value;
}
