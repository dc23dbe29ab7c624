import type { z } from 'zod';
import { DEFAULT_NAME, type NameRule } from '../fields/names.ts';
import { collectProblems, type Problem, type Report } from '../problem.ts';
import type { ObjectMeta } from './metadata.ts';
import type { ReadonlyDeep } from './readonly.ts';

export const API_VERSION = 'projectcalico.org/v3';

/** A resource as files and the datastore hold it. */
export interface Resource<Name extends string, Spec, Status = never> {
	readonly apiVersion: typeof API_VERSION;
	readonly kind: Name;
	readonly metadata: ObjectMeta;
	readonly spec: Spec;
	readonly status?: Status | undefined;
}

/** What a table shows beside the resource itself. */
export interface ColumnContext {
	/** The cluster's AS number, for nodes that have none of their own. */
	readonly asNumber: number;
}

/** One column of `calicoctl get`. */
export interface Column<R> {
	readonly heading: string;
	cell(resource: R, context: ColumnContext): string;
}

/** Everything there is to know about a kind. */
export interface Kind<R extends Resource<string, unknown, unknown> = Resource<string, unknown, unknown>> {
	readonly kind: R['kind'];
	/** Lower case; also the name in the datastore's keys and of the CRD. */
	readonly plural: string;
	/** The kind of a list of these. */
	readonly listKind: string;
	readonly namespaced: boolean;
	/** What calicoctl understands as this kind, in lower case, kind and plural included. */
	readonly aliases: readonly string[];
	/** kubectl's short names. */
	readonly shortNames: readonly string[];
	readonly nameRule: NameRule;
	/** The only name an object of this kind may have, where there is but one object. */
	readonly singleton: string | undefined;
	readonly specSchema: z.ZodObject;
	readonly statusSchema: z.ZodObject | undefined;
	readonly columns: { readonly ps: readonly Column<R>[]; readonly wide: readonly Column<R>[] };
	readonly storedAs: StoredAs<R>;
	/** Brings the content of a spec by older releases to today's fields. */
	upgradeSpec(spec: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
	/** The resource with the fields that its author left to us. */
	defaults(resource: R): R;
	/** Whatever breaks a rule between fields; the fields themselves hold what their schema says, and defaults are filled in. */
	validate(resource: R): Problem[];
}

/** How the datastore keeps a kind. */
export interface StoredAs<R> {
	/** The name is kept in the annotation `projectcalico.org/metadata`; stored names may have an older prefix `default.`. */
	readonly nameInAnnotation: boolean;
	/** Lists may be asked for by the beginning of a name. */
	readonly listableByNamePrefix: boolean;
	/** Labels that every write sets. */
	labels(resource: R): Readonly<Record<string, string>>;
}

type ResourceFor<Name extends string, Spec extends z.ZodObject, Status extends z.ZodObject> = Resource<
	Name,
	ReadonlyDeep<z.infer<Spec>>,
	ReadonlyDeep<z.infer<Status>>
>;

/** What an entry of the table says of a kind; everything left out has the value that most kinds have. */
export interface KindDefinition<Name extends string, Spec extends z.ZodObject, Status extends z.ZodObject> {
	readonly kind: Name;
	readonly plural: string;
	readonly namespaced?: true;
	/** Aliases beside the kind's name and its plural. */
	readonly aliases: readonly string[];
	readonly shortNames?: readonly string[];
	readonly nameRule?: NameRule;
	readonly singleton?: string;
	readonly spec: Spec;
	readonly status?: Status;
	readonly columns: {
		readonly ps: readonly Column<ResourceFor<Name, Spec, Status>>[];
		readonly wide?: readonly Column<ResourceFor<Name, Spec, Status>>[];
	};
	readonly nameInAnnotation?: true;
	readonly listableByNamePrefix?: true;
	readonly storedLabels?: (resource: ResourceFor<Name, Spec, Status>) => Readonly<Record<string, string>>;
	readonly upgradeSpec?: (spec: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
	readonly defaults?: (resource: ResourceFor<Name, Spec, Status>) => ResourceFor<Name, Spec, Status>;
	readonly validate?: (resource: ResourceFor<Name, Spec, Status>, report: Report) => void;
}

/** Makes an entry of the table of kinds. */
export function defineKind<const Name extends string, Spec extends z.ZodObject, Status extends z.ZodObject = never>(
	definition: KindDefinition<Name, Spec, Status>,
): Kind<ResourceFor<Name, Spec, Status>> {
	const { kind, plural, columns, defaults, validate, upgradeSpec, storedLabels } = definition;
	return {
		kind,
		plural,
		listKind: `${kind}List`,
		namespaced: definition.namespaced ?? false,
		aliases: [kind.toLowerCase(), plural, ...definition.aliases],
		shortNames: definition.shortNames ?? [],
		nameRule: definition.nameRule ?? DEFAULT_NAME,
		singleton: definition.singleton,
		specSchema: definition.spec,
		statusSchema: definition.status,
		columns: { ps: columns.ps, wide: columns.wide ?? columns.ps },
		storedAs: {
			nameInAnnotation: definition.nameInAnnotation ?? false,
			listableByNamePrefix: definition.listableByNamePrefix ?? false,
			labels: storedLabels ?? (() => ({})),
		},
		upgradeSpec: upgradeSpec ?? ((spec) => spec),
		defaults: defaults ?? ((resource) => resource),
		validate: (resource) => collectProblems((report) => validate?.(resource, report)),
	};
}
