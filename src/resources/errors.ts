import { defineErrors, TortieError } from '#errors';
import { describeFound, type Problem } from './problem.ts';

export const resourceError = defineErrors({
	RESOURCE_INVALID: 'A resource has fields that are missing, unknown or not allowed; the error lists every one of them.',
});

const MAX_IN_MESSAGE = 10;

/** The one error for an invalid resource. It carries every problem that was found. */
export class ResourceInvalidError extends TortieError<'RESOURCE_INVALID'> {
	readonly problems: readonly Problem[];

	/**
	 * @param subject kind, namespace and name, as far as they are known
	 * @param problems at least one
	 */
	constructor(subject: string, problems: readonly Problem[]) {
		const only = problems.length === 1 ? problems[0] : undefined;
		super('RESOURCE_INVALID', {
			message:
				only === undefined
					? `${subject} has ${problems.length} problems: ${listProblems(problems)}`
					: `${subject} is invalid: ${describeFound(only.found)}`,
			path: only?.path,
			found: only?.found,
			allowed: only?.allowed,
			hint: only?.hint,
		});
		this.problems = problems;
	}
}

/** One problem as one line: `spec.order: found "low"; allowed: a number`. */
export function explainProblem({ path, found, allowed, hint }: Problem): string {
	return `${path}: ${describeFound(found)}; allowed: ${allowed}${hint === undefined ? '' : `; ${hint}`}`;
}

function listProblems(problems: readonly Problem[]): string {
	const shown = problems.slice(0, MAX_IN_MESSAGE).map((problem, index) => `(${index + 1}) ${explainProblem(problem)}`);
	return problems.length > MAX_IN_MESSAGE ? `${shown.join('; ')}; …` : shown.join('; ');
}
