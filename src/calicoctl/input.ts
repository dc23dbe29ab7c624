import { explainError } from '#errors';
import { type AnyResource, explainProblem, type KindName, parseResource, ResourceInvalidError } from '#resources';
import { ctlError } from './errors.ts';
import type { CommandIo } from './io.ts';
import { type ManifestDocument, readManifests } from './manifest.ts';

/** Something to be written or deleted, with the words that name it in messages. */
export interface WriteTarget {
	readonly kind: KindName;
	readonly name: string;
	readonly namespace: string | undefined;
	/** `policy.yaml:12`, or empty when it was named on the command line. */
	readonly place: string;
}

/** A valid resource, with the place it was read from. */
export interface InputResource extends WriteTarget {
	readonly resource: AnyResource;
}

export interface InputOptions {
	readonly filename: string;
	readonly recursive: boolean;
	/** Namespace of namespaced resources that name none. */
	readonly namespace: string;
	/** No resource at all is no error. */
	readonly allowEmpty: boolean;
}

/**
 * Reads and validates every resource before any is written.
 *
 * @throws CTL_BAD_DOCUMENT naming every problem of every document by file, line and field; CTL_EMPTY; those of reading
 */
export async function readResources(options: InputOptions, io: CommandIo): Promise<readonly InputResource[]> {
	const documents = await readManifests(options.filename, { recursive: options.recursive, readStandardInput: io.readStandardInput });
	const problems: string[] = [];
	const resources: InputResource[] = [];
	for (const document of documents) {
		try {
			const resource = parseResource(document.value, { defaultNamespace: options.namespace });
			const { name, namespace } = resource.metadata;
			resources.push({ resource, kind: resource.kind, name, namespace, place: `${document.source.file}:${document.source.lineOf('')}` });
		} catch (error) {
			problems.push(...explainDocument(error, document));
		}
	}
	if (problems.length > 0) throw ctlError('CTL_BAD_DOCUMENT', { message: `${problems.join('\n')}\nNothing was written` });
	if (resources.length === 0 && !options.allowEmpty)
		throw ctlError('CTL_EMPTY', { message: 'no resources specified', path: options.filename, hint: 'pass --skip-empty if that is fine' });
	return resources;
}

function explainDocument(error: unknown, { source }: ManifestDocument): readonly string[] {
	if (!(error instanceof ResourceInvalidError)) return [`${source.file}:${source.lineOf('')}: ${explainError(error)}`];
	return error.problems.map((problem) => `${source.file}:${source.lineOf(problem.path)}: ${explainProblem(problem)}`);
}
