/** Least width of a column and the gap after it, as `calicoctl get` has always had them. */
const MIN_WIDTH = 5;
const PADDING = 3;

/** Rows in columns of equal width, the heading first. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
	const widths = columnWidths(rows, MIN_WIDTH);
	return rows
		.map(
			(row) =>
				`${row
					.map((cell, index) => cell.padEnd((widths[index] as number) + PADDING))
					.join('')
					.trimEnd()}\n`,
		)
		.join('');
}

/** Rows in a box with a centred heading, as `calicoctl ipam show` and `node status` have always had them. */
export function formatBox(heading: readonly string[], rows: readonly (readonly string[])[]): string {
	const widths = columnWidths([heading, ...rows], 0);
	const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`;
	const line = (cells: readonly string[], pad: (cell: string, width: number) => string): string =>
		`|${cells.map((cell, index) => ` ${pad(cell, widths[index] as number)} `).join('|')}|\n`;
	const body = rows.map((row) => line(row, (cell, width) => cell.padEnd(width))).join('');
	return rule + line(heading, centre) + rule + body + rule;
}

function columnWidths(rows: readonly (readonly string[])[], least: number): number[] {
	const widths: number[] = [];
	for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? least, cell.length);
	return widths;
}

function centre(cell: string, width: number): string {
	const left = Math.floor((width - cell.length) / 2);
	return ' '.repeat(left) + cell.padEnd(width - left);
}
