import { ResourceInvalidError } from './errors.ts';
import { DEFAULT_NAME, matchesName } from './fields/names.ts';
import { type AnyResource, isKindName, KIND_NAMES, type KindName, kindOf, type ResourceOf } from './kinds.ts';
import { nearestName } from './nearest.ts';
import { collectProblems, type PathStep, type Problem, type Report } from './problem.ts';
import { conform, isRecord, type Strictness } from './schema/conform.ts';
import { API_VERSION, type Kind } from './schema/kind.ts';
import { metadataSchema, type ObjectMeta, validateLabelsAndAnnotations } from './schema/metadata.ts';

export interface ParseOptions {
	/** What stands before every problem's path, such as `items[2].`; empty by default. */
	readonly path?: string | undefined;
	/** The namespace of an object of a namespaced kind that names none. */
	readonly defaultNamespace?: string | undefined;
}

/**
 * Reads a resource as a user wrote it. Fields that are not known are refused. Defaults are considered in the checks, but
 * not written into the result (see {@link applyDefaults}).
 *
 * @throws RESOURCE_INVALID ({@link ResourceInvalidError}) with every problem that was found
 */
export function parseResource(value: unknown, options: ParseOptions = {}): AnyResource {
	const path = options.path ?? '';
	if (!isRecord(value)) throw new ResourceInvalidError('the resource', [rootProblem(path, value)]);
	const head = headProblems(value);
	const name = value['kind'];
	if (head.length > 0 || typeof name !== 'string' || !isKindName(name)) throw invalid(value, path, head);

	const kind = kindOf(name);
	const problems: Problem[] = [];
	const resource = check(kind, withNamespace(kind, value, options.defaultNamespace), 'written', problems);
	if (problems.length === 0) problems.push(...validateMetadata(kind, resource), ...validateSpec(kind, resource));
	if (problems.length > 0) throw invalid(value, path, problems);
	return resource;
}

/**
 * Reads a resource as the datastore holds it. Unknown fields are kept, older spellings become today's, and names and
 * labels are not held to today's rules; but what is known has to be valid, so that nobody acts on what he misreads.
 * Defaults are not filled in (see {@link applyDefaults}).
 *
 * @param value decoded JSON
 * @throws RESOURCE_INVALID ({@link ResourceInvalidError}) with every problem that was found
 */
export function decodeStored<Name extends KindName>(name: Name, value: unknown): ResourceOf<Name> {
	if (!isRecord(value)) throw new ResourceInvalidError(`the stored ${name}`, [rootProblem('', value)]);
	const kind = kindOf(name);
	const problems: Problem[] = [];
	const stored = check(kind, { ...value, apiVersion: API_VERSION, kind: name }, 'stored', problems);
	const resource = problems.length === 0 ? withStoredName(kind, stored) : stored;
	if (problems.length === 0) problems.push(...validateSpec(kind, resource).filter(({ path }) => !path.startsWith('metadata')));
	if (problems.length > 0) throw invalid({ ...value, kind: name }, '', problems);
	return resource as ResourceOf<Name>;
}

/**
 * The value that the datastore keeps for a resource, to be written as JSON: without revision, with the labels and the
 * name annotation of its kind. {@link decodeStored} is its inverse.
 */
export function encodeStored(resource: AnyResource): Readonly<Record<string, unknown>> {
	const { storedAs } = kindOf(resource.kind);
	const { resourceVersion: _revision, selfLink: _link, creationTimestamp, labels, annotations, ...metadata } = resource.metadata;
	const forced = storedAs.labels(resource);
	return {
		kind: resource.kind,
		apiVersion: API_VERSION,
		...withoutHead(resource),
		metadata: {
			...metadata,
			creationTimestamp: creationTimestamp ?? null,
			...(labels === undefined && Object.keys(forced).length === 0 ? {} : { labels: { ...labels, ...forced } }),
			...(storedAs.nameInAnnotation
				? { annotations: { ...annotations, [NAME_ANNOTATION]: JSON.stringify({ name: metadata.name }) } }
				: annotations === undefined
					? {}
					: { annotations }),
		},
	};
}

/** The resource with the fields that its author left to us filled in. */
export function applyDefaults<R extends AnyResource>(resource: R): R {
	return kindOf(resource.kind).defaults(resource) as R;
}

const NAME_ANNOTATION = 'projectcalico.org/metadata';
const OLD_NAME_PREFIX = 'default.';

function headProblems(value: Readonly<Record<string, unknown>>): Problem[] {
	const { apiVersion, kind } = value;
	const problems: Problem[] = [];
	if (apiVersion !== API_VERSION) problems.push({ path: 'apiVersion', found: apiVersion, allowed: API_VERSION });
	if (typeof kind !== 'string' || !isKindName(kind)) {
		const near = typeof kind === 'string' ? nearestName(kind, KIND_NAMES) : undefined;
		const hint = near === undefined ? undefined : `did you mean ${near}?`;
		problems.push({ path: 'kind', found: kind, allowed: `one of ${KIND_NAMES.join(', ')}`, hint });
	}
	return problems;
}

/** The resource in today's spelling. It is one only if no problem was added. */
function check(
	kind: Kind<AnyResource>,
	value: Readonly<Record<string, unknown>>,
	strictness: Strictness,
	problems: Problem[],
): AnyResource {
	const { metadata, spec, status, ...rest } = value;
	const conformed: Record<string, unknown> = { ...rest };
	conformed['metadata'] = conform(metadataSchema, metadata, ['metadata'], strictness, problems);
	const upgraded = isRecord(spec) ? kind.upgradeSpec(spec) : (spec ?? {});
	conformed['spec'] = conform(kind.specSchema, upgraded, ['spec'], strictness, problems);
	if (status !== undefined && status !== null)
		conformed['status'] = kind.statusSchema === undefined ? status : conform(kind.statusSchema, status, ['status'], strictness, problems);
	if (strictness === 'written') {
		for (const name of Object.keys(rest))
			if (name !== 'apiVersion' && name !== 'kind') problems.push(unknownRootField(kind, name, rest[name]));
		if (kind.statusSchema === undefined && status !== undefined && status !== null) problems.push(unknownRootField(kind, 'status', status));
	}
	return conformed as unknown as AnyResource;
}

function unknownRootField(kind: Kind<AnyResource>, name: string, found: unknown): Problem {
	const fields = ['apiVersion', 'kind', 'metadata', 'spec', ...(kind.statusSchema === undefined ? [] : ['status'])];
	const near = nearestName(name, fields);
	const hint = near === undefined ? 'there is no such field' : `there is no such field; did you mean ${near}?`;
	return { path: name, found, allowed: `one of the fields ${fields.join(', ')}`, hint };
}

function validateMetadata(kind: Kind<AnyResource>, { metadata }: AnyResource): Problem[] {
	return collectProblems((report: Report) => {
		if (!matchesName(kind.nameRule, metadata.name)) report(['metadata', 'name'], metadata.name, kind.nameRule.allowed);
		validateNamespace(kind, metadata, report);
		validateLabelsAndAnnotations(metadata, report);
	});
}

function validateNamespace({ kind, namespaced }: Kind<AnyResource>, { namespace = '' }: ObjectMeta, report: Report): void {
	const path: readonly PathStep[] = ['metadata', 'namespace'];
	if (!namespaced && namespace !== '') report(path, namespace, `nothing, as a ${kind} belongs to no namespace`);
	else if (namespaced && namespace === '') report(path, undefined, `the namespace of the ${kind}`);
	else if (namespaced && !matchesName(DEFAULT_NAME, namespace)) report(path, namespace, DEFAULT_NAME.allowed);
}

function validateSpec(kind: Kind<AnyResource>, resource: AnyResource): Problem[] {
	return kind.validate(kind.defaults(resource));
}

function withNamespace(
	kind: Kind<AnyResource>,
	value: Readonly<Record<string, unknown>>,
	namespace: string | undefined,
): Readonly<Record<string, unknown>> {
	const { metadata } = value;
	if (!kind.namespaced || namespace === undefined || !isRecord(metadata)) return value;
	const own = metadata['namespace'];
	return own === undefined || own === null || own === '' ? { ...value, metadata: { ...metadata, namespace } } : value;
}

/**
 * Policies have their name in an annotation; those of before v3.32 that have none were stored as `default.<name>` when
 * they were in the default tier.
 */
function withStoredName(kind: Kind<AnyResource>, resource: AnyResource): AnyResource {
	if (!kind.storedAs.nameInAnnotation) return resource;
	const { [NAME_ANNOTATION]: annotation, ...annotations } = resource.metadata.annotations ?? {};
	const name = nameIn(annotation) ?? oldName(resource);
	const { annotations: _, ...metadata } = resource.metadata;
	return {
		...resource,
		metadata: { ...metadata, name, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
	};
}

function nameIn(annotation: string | undefined): string | undefined {
	if (annotation === undefined) return undefined;
	try {
		const content: unknown = JSON.parse(annotation);
		return isRecord(content) && typeof content['name'] === 'string' && content['name'] !== '' ? content['name'] : undefined;
	} catch {
		return undefined;
	}
}

function oldName({ metadata, spec }: AnyResource): string {
	const tier = (spec as { readonly tier?: string | undefined }).tier ?? '';
	const inDefaultTier = tier === '' || tier === 'default';
	return inDefaultTier && metadata.name.startsWith(OLD_NAME_PREFIX) ? metadata.name.slice(OLD_NAME_PREFIX.length) : metadata.name;
}

function withoutHead({ apiVersion: _version, kind: _kind, metadata: _metadata, ...rest }: AnyResource): Readonly<Record<string, unknown>> {
	return rest;
}

function rootProblem(path: string, found: unknown): Problem {
	return {
		path: path === '' ? 'the document' : path.replace(/\.$/, ''),
		found,
		allowed: 'an object with apiVersion, kind, metadata and spec',
	};
}

function invalid(value: Readonly<Record<string, unknown>>, path: string, problems: readonly Problem[]): ResourceInvalidError {
	const located = path === '' ? problems : problems.map((problem) => ({ ...problem, path: path + problem.path }));
	return new ResourceInvalidError(subjectOf(value), located);
}

function subjectOf({ kind, metadata }: Readonly<Record<string, unknown>>): string {
	const words = [typeof kind === 'string' && isKindName(kind) ? kind : 'the resource'];
	if (isRecord(metadata)) {
		const { name, namespace } = metadata;
		if (typeof name === 'string') words.push(typeof namespace === 'string' && namespace !== '' ? `${namespace}/${name}` : name);
	}
	return words.join(' ').slice(0, 300);
}
