/**
 * The error type of the whole project. Every failure that leaves a room is a {@link TortieError}: it has a
 * stable code, says where and what, and tells the reader what to do next.
 */

/** What a {@link TortieError} carries beside its code. */
export interface ErrorDetails {
	/** One sentence: what failed and what was found. Never contains a secret. */
	readonly message: string;
	/** Where: the field's path in a resource (`spec.ingress[0].action`), a file with its line, or a kernel object. */
	readonly path?: string | undefined;
	/** The offending value, as found. */
	readonly found?: unknown;
	/** What would have been accepted, in words. */
	readonly allowed?: string | undefined;
	/** What the reader can do next. */
	readonly hint?: string | undefined;
	/** The lower-level failure, kept for the chain of causes. */
	readonly cause?: unknown;
}

/** A failure with a code that programs test and words that people read. */
export class TortieError<Code extends string = string> extends Error {
	override readonly name = 'TortieError';
	readonly code: Code;
	readonly path: string | undefined;
	readonly found: unknown;
	readonly allowed: string | undefined;
	readonly hint: string | undefined;

	constructor(code: Code, details: ErrorDetails) {
		super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.path = details.path;
		this.found = details.found;
		this.allowed = details.allowed;
		this.hint = details.hint;
	}
}

/** The constructor of one room's errors, which also holds the documentation of its codes. */
export interface ErrorFamily<Code extends string> {
	(code: Code, details: ErrorDetails): TortieError<Code>;
	/** Code → one line of documentation, from which `docs/reference/errors.md` is made. */
	readonly codes: Readonly<Record<Code, string>>;
	/** Narrows an unknown value to an error of this family, and of one code when given. */
	is(value: unknown, code?: Code): value is TortieError<Code>;
}

/**
 * Declares the error codes of a room.
 *
 * @param codes code → one line saying when it is raised
 */
export function defineErrors<const Codes extends Readonly<Record<string, string>>>(
	codes: Codes,
): ErrorFamily<Extract<keyof Codes, string>> {
	type Code = Extract<keyof Codes, string>;
	const make = (code: Code, details: ErrorDetails): TortieError<Code> => new TortieError(code, details);
	return Object.assign(make, {
		codes,
		is: (value: unknown, code?: Code): value is TortieError<Code> =>
			value instanceof TortieError && Object.hasOwn(codes, value.code) && (code === undefined || value.code === code),
	});
}

/**
 * The whole of an error as a person should read it: where, what, what is allowed, what to do, and the chain of causes.
 *
 * @param error anything that was thrown
 * @returns one line; never a stack
 */
export function explainError(error: unknown): string {
	const parts: string[] = [];
	const seen = new Set<unknown>();
	for (let current = error; current !== undefined && current !== null && !seen.has(current); ) {
		seen.add(current);
		parts.push(explainOne(current));
		current = current instanceof Error ? current.cause : undefined;
	}
	return parts.join(': caused by: ');
}

function explainOne(error: unknown): string {
	if (error instanceof TortieError) {
		let text = error.path === undefined ? error.message : `${error.path}: ${error.message}`;
		if (error.allowed !== undefined) text += `; allowed: ${error.allowed}`;
		if (error.hint !== undefined) text += `; ${error.hint}`;
		return `${text} [${error.code}]`;
	}
	return error instanceof Error ? error.message : String(error);
}
