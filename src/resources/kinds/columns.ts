import type { Column } from '../schema/kind.ts';

type CellValue = string | number | boolean | readonly string[] | undefined;

/** A column, with its cell. Lists are joined by commas and absent values empty. */
export function column<R>(heading: string, value: (resource: R) => CellValue): Column<R> {
	return { heading, cell: (resource) => cellText(value(resource)) };
}

export const nameColumn: Column<{ readonly metadata: { readonly name: string } }> = column('NAME', (resource) => resource.metadata.name);

function cellText(value: CellValue): string {
	if (value === undefined) return '';
	return typeof value === 'object' ? value.join(',') : String(value);
}
