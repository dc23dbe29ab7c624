import { setTimeout as delay } from 'node:timers/promises';
import { datastoreError, type ResourceClient, type Revision } from '#datastore';
import { explainError } from '#errors';
import type { AnyResource } from '#resources';
import { ctlError } from './errors.ts';
import type { InputResource, WriteTarget } from './input.ts';

type WriteVerb = 'create' | 'apply' | 'replace' | 'delete';

const PAST: Readonly<Record<WriteVerb, string>> = { create: 'created', apply: 'applied', replace: 'replaced', delete: 'deleted' };

/** How often, and how far apart, a write is tried again that met somebody else's. */
const CONFLICT_TRIES = 5;
const CONFLICT_PAUSE_MS = 200;

/** What became of a list of resources that were to be written. */
interface WriteOutcome {
	readonly text: string;
	readonly failed: boolean;
}

/**
 * Writes the resources in order, stops at none, and tells in Calico's words what was done.
 *
 * @param options.skipExisting `create` passes over what is there already
 */
export function writeResources(
	verb: 'create' | 'apply' | 'replace',
	inputs: readonly InputResource[],
	resources: ResourceClient,
	options: { readonly skipExisting: boolean },
): Promise<WriteOutcome> {
	return writeAll(verb, inputs, async ({ resource }) => {
		if (verb === 'replace') return replace(resource, resources);
		try {
			await resources.create(withoutServerMetadata(resource));
		} catch (error) {
			if (!datastoreError.is(error, 'DATASTORE_EXISTS')) throw error;
			if (verb === 'apply') return replace(resource, resources);
			if (!options.skipExisting) throw error;
		}
		return undefined;
	});
}

/**
 * Deletes resources in order, stops at none.
 *
 * @param options.skipMissing passes over what is not there
 */
export function deleteResources(
	targets: readonly (WriteTarget & { readonly revision: string | undefined })[],
	resources: ResourceClient,
	options: { readonly skipMissing: boolean },
): Promise<WriteOutcome> {
	return writeAll('delete', targets, async ({ kind, name, namespace, revision }) => {
		try {
			await resources.delete(kind, { name, namespace }, revision as Revision | undefined);
		} catch (error) {
			if (!options.skipMissing || !datastoreError.is(error, 'DATASTORE_NOT_FOUND')) throw error;
		}
	});
}

async function writeAll<T extends WriteTarget>(
	verb: WriteVerb,
	targets: readonly T[],
	write: (target: T) => Promise<void>,
): Promise<WriteOutcome> {
	const failures: string[] = [];
	for (const target of targets) {
		try {
			await write(target);
		} catch (error) {
			const place = target.place === '' ? '' : `${target.place}: `;
			failures.push(`${place}${nameOf(target)}: ${explainError(error)}`);
		}
	}
	const done = targets.length - failures.length;
	const kinds = new Set(targets.map(({ kind }) => kind));
	const kind = kinds.size === 1 ? `'${targets[0]?.kind}' ` : '';
	if (failures.length === 0) return { text: `Successfully ${PAST[verb]} ${done} ${kind}resource(s)\n`, failed: false };
	const partial = done === 0 ? '' : `Partial success: ${PAST[verb]} ${done} out of ${targets.length} ${kind}resource(s)\n`;
	return { text: `${partial}Failed to ${verb} ${kind}resource: [${failures.join('\n')}]\n`, failed: true };
}

/** An update keeps what the server wrote of the metadata; without a resource version in the file it is tried again on conflict. */
async function replace(resource: AnyResource, resources: ResourceClient): Promise<void> {
	const { name, namespace, resourceVersion, labels, annotations } = resource.metadata;
	for (let tries = 1; ; tries++) {
		const latest = await resources.get(resource.kind, { name, namespace });
		if (resourceVersion !== undefined && resourceVersion !== latest.metadata.resourceVersion)
			throw ctlError('CTL_OUT_OF_DATE', {
				message: `resource version '${resourceVersion}' is out of date (latest: ${latest.metadata.resourceVersion})`,
				path: 'metadata.resourceVersion',
				hint: 'update the resource YAML/JSON in order to make changes',
			});
		const { labels: _labels, annotations: _annotations, ...serverMetadata } = latest.metadata;
		const metadata = {
			...serverMetadata,
			...(labels === undefined ? {} : { labels }),
			...(annotations === undefined ? {} : { annotations }),
		};
		try {
			await resources.update({ ...resource, metadata });
			return;
		} catch (error) {
			if (!datastoreError.is(error, 'DATASTORE_CONFLICT') || resourceVersion !== undefined || tries === CONFLICT_TRIES) throw error;
		}
		await delay(CONFLICT_PAUSE_MS * tries);
	}
}

/** What a file exported elsewhere carries of another cluster's server is not carried over to a new object. */
function withoutServerMetadata(resource: AnyResource): AnyResource {
	const { name, namespace, labels, annotations } = resource.metadata;
	const metadata = {
		name,
		...(namespace === undefined ? {} : { namespace }),
		...(labels === undefined ? {} : { labels }),
		...(annotations === undefined ? {} : { annotations }),
	};
	return { ...resource, metadata };
}

/** `NetworkPolicy(prod/allow-web)`. */
function nameOf({ kind, namespace, name }: WriteTarget): string {
	return `${kind}(${namespace === undefined ? '' : `${namespace}/`}${name})`;
}
