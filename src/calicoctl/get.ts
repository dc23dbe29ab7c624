import { datastoreError, type InvalidEntry, type ResourceClient } from '#datastore';
import { explainError } from '#errors';
import { type AnyResource, type KindName, kindOf } from '#resources';
import { formatSelections, type OutputFormat, type Selection } from './output.ts';

const DEFAULT_AS_NUMBER = 64512;

export interface GetOptions {
	readonly format: OutputFormat;
	readonly namespace: string;
	readonly allNamespaces: boolean;
	/** Leaves out what belongs to this cluster alone, so that the output can be created elsewhere. */
	readonly export: boolean;
}

/** What is wanted: a kind and names of it, or all of the kind. */
export interface Wanted {
	readonly kind: KindName;
	readonly names: readonly string[];
	/** Overrides the namespace of the options, for resources named by a file. */
	readonly namespace?: string | undefined;
}

/** What `get` prints: the resources, and the words about those that are stored but can not be read. */
export interface GetOutput {
	readonly text: string;
	readonly invalid: string;
}

/**
 * Reads the wanted resources.
 *
 * @throws DATASTORE_NOT_FOUND and what else the datastore says
 */
export async function getResources(wanted: readonly Wanted[], resources: ResourceClient, options: GetOptions): Promise<GetOutput> {
	const selections: Selection[] = [];
	const invalid: InvalidEntry[] = [];
	for (const one of wanted) selections.push(await select(one, resources, options, invalid));
	const needsAsNumber = options.format === 'wide' && selections.some(({ kind }) => kind === 'Node');
	const asNumber = needsAsNumber ? await clusterAsNumber(resources) : DEFAULT_AS_NUMBER;
	return {
		text: formatSelections(selections, options.format, { asNumber }),
		invalid: invalid.map(({ storedName, error }) => `${storedName} is stored but can not be read: ${explainError(error)}\n`).join(''),
	};
}

async function select(
	{ kind, names, namespace }: Wanted,
	resources: ResourceClient,
	options: GetOptions,
	invalid: InvalidEntry[],
): Promise<Selection> {
	const { namespaced } = kindOf(kind);
	const where = namespaced ? (namespace ?? options.namespace) : undefined;
	const showNamespace = namespaced && options.allNamespaces;
	if (names.length > 0) {
		const found: AnyResource[] = [];
		for (const name of names) found.push(await resources.get(kind, { name, namespace: where }));
		const items = options.export ? found.map(withoutClusterMetadata) : found;
		return { kind, items, revision: undefined, single: names.length === 1, showNamespace };
	}
	const {
		items,
		revision,
		invalid: unreadable,
	} = await resources.list(kind, showNamespace || where === undefined ? {} : { namespace: where });
	invalid.push(...unreadable);
	return { kind, items, revision, single: false, showNamespace };
}

async function clusterAsNumber(resources: ResourceClient): Promise<number> {
	try {
		const { spec } = await resources.get('BGPConfiguration', { name: 'default' });
		return spec.asNumber ?? DEFAULT_AS_NUMBER;
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return DEFAULT_AS_NUMBER;
		throw error;
	}
}

function withoutClusterMetadata(resource: AnyResource): AnyResource {
	const {
		namespace: _namespace,
		uid: _uid,
		resourceVersion: _version,
		creationTimestamp: _created,
		deletionTimestamp: _deleted,
		deletionGracePeriodSeconds: _grace,
		...metadata
	} = resource.metadata;
	return { ...resource, metadata };
}
