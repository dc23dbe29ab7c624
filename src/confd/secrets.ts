import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretRef } from './router-config.ts';

/**
 * Looks session passwords up in files: `<directory>/<secret>/<key>`, as Kubernetes mounts secrets. A line break at the
 * end is not part of the password.
 */
export function secretFiles(directory: string): (ref: SecretRef) => string | undefined {
	return ({ name, key }) => {
		if (![name, key].every((part) => /^[-._a-zA-Z0-9]+$/.test(part) && !part.startsWith('.'))) return undefined;
		try {
			return readFileSync(join(directory, name, key), 'utf8').replace(/\r?\n$/, '');
		} catch {
			return undefined;
		}
	};
}
