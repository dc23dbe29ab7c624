/** What is wrong with one field of a resource. */
export interface Problem {
	/** The field, such as `spec.ingress[0].source.ports[1]`. */
	readonly path: string;
	/** The value that stands there; undefined when the field is missing. */
	readonly found: unknown;
	/** What would be accepted, in words. */
	readonly allowed: string;
	/** What to do, where that can be told. */
	readonly hint?: string | undefined;
}

/** More than these nobody reads; a check stops taking notes there. */
export const MAX_PROBLEMS = 100;

/** A step into a resource: a field's name or a list's index. */
export type PathStep = string | number;

const PLAIN_STEP = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const MAX_FOUND_LENGTH = 80;

/** The text of a path: `spec.ports[0]`, with `labels["a.b/c"]` for names that are no plain words. */
export function pathText(steps: readonly PathStep[]): string {
	let text = '';
	for (const step of steps) {
		if (typeof step === 'number') text += `[${step}]`;
		else if (!PLAIN_STEP.test(step)) text += `[${JSON.stringify(step)}]`;
		else text += text === '' ? step : `.${step}`;
	}
	return text;
}

/** A found value in a few words; never the whole of a large one. */
export function describeFound(found: unknown): string {
	if (found === undefined) return 'is missing';
	if (Array.isArray(found)) return `found a list of ${found.length}`;
	if (found === null) return 'found null';
	if (typeof found !== 'string') return typeof found === 'number' || typeof found === 'boolean' ? `found ${found}` : 'found an object';
	const text = JSON.stringify(found);
	return `found ${text.length > MAX_FOUND_LENGTH ? `${text.slice(0, MAX_FOUND_LENGTH)}…` : text}`;
}

/** Takes the note of one problem. */
export type Report = (path: readonly PathStep[], found: unknown, allowed: string, hint?: string) => void;

/** Runs checks and returns what they reported. */
export function collectProblems(check: (report: Report) => void): Problem[] {
	const problems: Problem[] = [];
	check((path, found, allowed, hint) => {
		if (problems.length < MAX_PROBLEMS) problems.push({ path: pathText(path), found, allowed, hint });
	});
	return problems;
}
