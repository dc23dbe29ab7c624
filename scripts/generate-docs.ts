/**
 * Writes the parts of the reference that are made from the code: `docs/reference/errors.md`. With `--check` it writes
 * nothing and fails where a file is not what it would write.
 */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

interface Family {
	readonly codes: Readonly<Record<string, string>>;
}

const pages: Readonly<Record<string, string>> = {
	'docs/reference/errors.md': await errorsPage(),
};

const stale: string[] = [];
for (const [path, content] of Object.entries(pages)) {
	if (readExisting(path) === content) continue;
	stale.push(path);
	if (process.argv.includes('--check')) continue;
	mkdirSync(dirname(path), { recursive: true });
	writeFileSync(path, content);
	console.log(`wrote ${path}`);
}
if (process.argv.includes('--check') && stale.length > 0) {
	console.error(`${stale.join(', ')}: not what the code says; run: node scripts/generate-docs.ts`);
	process.exitCode = 1;
}

async function errorsPage(): Promise<string> {
	const parts = [
		'# Errors\n',
		'Every failure that Tortie reports carries one of these codes, the place, what was found, what is allowed and what to do next.\n',
	];
	for (const file of globSync('src/*/errors.ts').sort()) {
		const exports = Object.values((await import(resolve(file))) as Record<string, unknown>);
		const families = exports.filter((value): value is Family => typeof value === 'function' && 'codes' in value);
		const codes = families.flatMap((family) => Object.entries(family.codes));
		if (codes.length === 0) continue;
		parts.push(
			`## ${file.split('/')[1]}\n`,
			'| code | when |',
			'|---|---|',
			...codes.map(([code, when]) => `| \`${code}\` | ${when} |`),
			'',
		);
	}
	return parts.join('\n');
}

function readExisting(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return undefined;
	}
}
