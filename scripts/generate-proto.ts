/**
 * Generates the message code of `src/datastore/etcd/proto/` into a folder (default: beside it, `generated/`).
 * A test generates again and compares, so that the two cannot part.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules', '.bin');
const out = process.argv[2] ?? join(root, 'src/datastore/etcd/generated');

const template = {
	version: 'v2',
	plugins: [{ local: join(bin, 'protoc-gen-es'), out, opt: ['target=js+dts', 'import_extension=js'] }],
};
execFileSync(join(bin, 'buf'), ['generate', join(root, 'src/datastore/etcd/proto'), '--template', JSON.stringify(template)], {
	stdio: 'inherit',
	env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
});
