import { stringify } from 'yaml';
import { type AnyResource, API_VERSION, type ColumnContext, type KindName, kindOf } from '#resources';
import { formatColumns } from './table.ts';

export type OutputFormat = 'ps' | 'wide' | 'yaml' | 'json';
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['ps', 'wide', 'yaml', 'json'];

/** The resources of one kind that a command gives out. */
export interface Selection {
	readonly kind: KindName;
	readonly items: readonly AnyResource[];
	/** Datastore revision of the list; undefined when resources were named one by one. */
	readonly revision: string | undefined;
	/** One resource was asked for by name: it is printed by itself, not in a list. */
	readonly single: boolean;
	/** Shows the namespace as the first column of a table. */
	readonly showNamespace: boolean;
}

/** The text of a selection in one of the formats. */
export function formatSelections(selections: readonly Selection[], format: OutputFormat, context: ColumnContext): string {
	switch (format) {
		case 'ps':
		case 'wide':
			return selections.map((selection) => `${formatTable(selection, format, context)}\n`).join('');
		case 'yaml':
			return selections.map((selection) => stringify(asDocument(selection), { lineWidth: 0 })).join('---\n');
		case 'json': {
			const documents = selections.map(asDocument);
			return `${JSON.stringify(documents.length === 1 ? documents[0] : documents, null, 2)}\n`;
		}
	}
}

function formatTable({ kind, items, showNamespace }: Selection, format: 'ps' | 'wide', context: ColumnContext): string {
	const columns = kindOf(kind).columns[format];
	const namespaceCell = (item: AnyResource): string[] => (showNamespace ? [item.metadata.namespace ?? ''] : []);
	const heading = [...(showNamespace ? ['NAMESPACE'] : []), ...columns.map((column) => column.heading)];
	return formatColumns([heading, ...items.map((item) => [...namespaceCell(item), ...columns.map((column) => column.cell(item, context))])]);
}

function asDocument({ kind, items, revision, single }: Selection): unknown {
	if (single) return items[0];
	return {
		kind: kindOf(kind).listKind,
		apiVersion: API_VERSION,
		metadata: revision === undefined ? {} : { resourceVersion: revision },
		items,
	};
}
