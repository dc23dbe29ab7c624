import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const copy = mkdtempSync(join(tmpdir(), 'tortie-boundaries-'));
after(() => rmSync(copy, { recursive: true, force: true }));
for (const part of ['src', 'test/support', 'scripts', 'package.json', 'tsconfig.json', '.dependency-cruiser.mjs'])
	cpSync(part, join(copy, part), { recursive: true });
symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));

function lintBoundaries(): { readonly status: number | null; readonly output: string } {
	const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/lint.ts', 'boundaries'], { cwd: copy, encoding: 'utf8' });
	return { status, output: stdout + stderr };
}

test('the house as it stands keeps its boundaries', () => {
	const { status, output } = lintBoundaries();
	assert.equal(status, 0, output);
});

for (const { what, file, line, rule } of [
	{ what: 'a room that imports one above it', file: 'src/net/mac.ts', line: "import '#datastore';", rule: 'floor-net' },
	{ what: 'a room that passes by a door', file: 'src/policy/index.ts', line: "import '../net/mac.ts';", rule: 'doors' },
	{ what: 'a pure room that does I/O', file: 'src/net/mac.ts', line: "import 'node:fs';", rule: 'pure' },
]) {
	test(`lint fails on ${what}`, () => {
		appendFileSync(join(copy, file), `\n${line}\n`);
		const { status, output } = lintBoundaries();
		cpSync(file, join(copy, file));
		assert.equal(status, 1, output);
		assert.match(output, new RegExp(`${file} .* breaks the rule ${rule}`));
	});
}
