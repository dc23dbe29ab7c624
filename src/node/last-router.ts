import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { RouterConfig } from '#bgp';

/**
 * Told from files of other forms, which are left aside. The engine's own format, unlike JSON, keeps `undefined`, by which equal
 * configurations are known as equal, and writes a filter that many peers share once.
 */
const FORM = 1;

/**
 * Keeps the configuration that the built-in BGP daemon runs with, as BIRD's file does for BIRD: a node that starts while the datastore
 * is away gets its sessions back before peers give its routes up. Readable by its owner only, since it holds passwords.
 */
export async function storeRouter(file: string, config: RouterConfig): Promise<void> {
	await mkdir(dirname(file), { recursive: true });
	await writeFile(`${file}.new`, serialize({ form: FORM, config }), { mode: 0o600 });
	await rename(`${file}.new`, file);
}

/** The configuration of the node's last life; undefined if there is none that can be read. */
export function storedRouter(file: string): RouterConfig | undefined {
	try {
		const stored = deserialize(readFileSync(file)) as { readonly form?: unknown; readonly config?: RouterConfig };
		return stored.form === FORM ? stored.config : undefined;
	} catch {
		return undefined;
	}
}
