import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type Document, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { ctlError } from './errors.ts';

/** Where a document comes from, for messages. */
export interface DocumentSource {
	/** `policy.yaml`, or `standard input`. */
	readonly file: string;
	/** The line of a field such as `spec.ingress[0].action`, counted from 1; the nearest enclosing one where the field is absent. */
	lineOf(path: string): number;
}

/** One resource of a file, not yet validated. Items of a list are documents of their own. */
export interface ManifestDocument {
	readonly value: unknown;
	readonly source: DocumentSource;
}

export interface ManifestOptions {
	/** Goes into the subdirectories of a directory. */
	readonly recursive: boolean;
	readonly readStandardInput: () => Promise<string>;
}

const MAX_ALIASES = 100;
const EXTENSIONS = ['.yaml', '.yml', '.json'];

/**
 * Reads the documents of a file, of all files in a directory, or of standard input (`-`).
 *
 * @throws CTL_NO_FILE, CTL_BAD_YAML
 */
export async function readManifests(name: string, options: ManifestOptions): Promise<readonly ManifestDocument[]> {
	if (name === '-') return parseManifest(await options.readStandardInput(), 'standard input');
	return listFiles(name, options.recursive).flatMap((file) => parseManifest(readFile(file), file));
}

/**
 * Takes a YAML or JSON text apart into its documents; empty documents are passed over.
 *
 * @throws CTL_BAD_YAML with file, line and column
 */
export function parseManifest(text: string, file: string): readonly ManifestDocument[] {
	const lines = new LineCounter();
	const found: ManifestDocument[] = [];
	for (const document of parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })) {
		const [error] = document.errors;
		if (error !== undefined) {
			const { line, col } = lines.linePos(error.pos[0]);
			throw ctlError('CTL_BAD_YAML', { message: error.message, path: `${file}:${line}:${col}` });
		}
		const lineOf = (path: string): number => {
			for (let steps = splitPath(path); ; steps = steps.slice(0, -1)) {
				const node = document.getIn(steps, true);
				const start = isNode(node) ? node.range?.[0] : undefined;
				if (start !== undefined) return lines.linePos(start).line;
				if (steps.length === 0) return 1;
			}
		};
		const value = toValue(document, file, lines);
		if (value === null || value === undefined) continue;
		found.push(...flattenList(value, file, lineOf, ''));
	}
	return found;
}

/** Aliases to nothing, and those that would blow a small file up, are found only here. */
function toValue(document: Document.Parsed, file: string, lines: LineCounter): unknown {
	try {
		return document.toJS({ maxAliasCount: MAX_ALIASES });
	} catch (cause) {
		const message = cause instanceof Error ? cause.message : String(cause);
		throw ctlError('CTL_BAD_YAML', { message, path: `${file}:${lines.linePos(document.range[0]).line}` });
	}
}

function flattenList(value: unknown, file: string, lineOf: (path: string) => number, prefix: string): ManifestDocument[] {
	if (isListDocument(value)) return value.items.flatMap((item, index) => flattenList(item, file, lineOf, `${prefix}items[${index}].`));
	return [{ value, source: { file, lineOf: (path) => lineOf(prefix + path) } }];
}

function isListDocument(value: unknown): value is { readonly items: readonly unknown[] } {
	if (typeof value !== 'object' || value === null) return false;
	const { kind, items } = value as { readonly kind?: unknown; readonly items?: unknown };
	return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items);
}

/** `spec.ports[0]["a.b"]` → `['spec', 'ports', 0, 'a.b']` */
function splitPath(path: string): (string | number)[] {
	const steps: (string | number)[] = [];
	for (const [, word, index, quoted] of path.matchAll(/([^.[\]"]+)|\[([0-9]+)\]|\["((?:[^"\\]|\\.)*)"\]/g)) {
		if (index !== undefined) steps.push(Number(index));
		else steps.push(word ?? quoted ?? '');
	}
	return steps;
}

function listFiles(name: string, recursive: boolean): readonly string[] {
	let isDirectory: boolean;
	try {
		isDirectory = statSync(name).isDirectory();
	} catch (cause) {
		throw unreadable(name, cause);
	}
	if (!isDirectory) return [name];
	const files: string[] = [];
	for (const entry of readdirSync(name, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
		const path = join(name, entry.name);
		if (entry.isDirectory()) {
			if (recursive) files.push(...listFiles(path, true));
		} else if (EXTENSIONS.includes(extname(entry.name))) files.push(path);
	}
	return files;
}

function readFile(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (cause) {
		throw unreadable(file, cause);
	}
}

function unreadable(path: string, cause: unknown): Error {
	const { code } = cause as NodeJS.ErrnoException;
	const why =
		code === 'ENOENT' ? 'there is no such file or directory' : code === 'EACCES' ? 'permission denied' : `it can not be read (${code})`;
	return ctlError('CTL_NO_FILE', { message: why, path });
}
