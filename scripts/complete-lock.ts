/**
 * Adds to package-lock.json the optional packages for other platforms that the registry in use did not have: `npm ci`
 * wants an entry for each, though it installs none of them here. Takes addresses out, and demands on Node that
 * the project's own Node meets. Run it after a change of dependencies.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockEntry {
	funding?: unknown;
	engines?: unknown;
	readonly version?: string;
	readonly dev?: boolean;
	readonly optional?: boolean;
	readonly devOptional?: boolean;
	readonly os?: readonly string[];
	readonly cpu?: readonly string[];
	readonly libc?: readonly string[];
	readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const SYSTEMS = ['darwin', 'win32', 'freebsd', 'android', 'openharmony', 'linux'] as const;
const PROCESSORS = ['arm64', 'x64', 'ia32', 'ppc64', 's390x', 'riscv64', 'arm'] as const;

const FILE = 'package-lock.json';
const lock = JSON.parse(readFileSync(FILE, 'utf8')) as { packages: Record<string, LockEntry> };
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
	delete entry.funding;
	// They run on the Node that is installed with them; npm would leave them out where it runs on an older one itself.
	if (entry.optional === true) delete entry.engines;
	for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
		const place = `node_modules/${name}`;
		if (path === '' || lock.packages[place] !== undefined) continue;
		lock.packages[place] = { version, ...(entry.dev === true ? { dev: true } : {}), optional: true, ...platformOf(name) };
		added++;
	}
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${FILE}: ${added} packages for other platforms added`);

/** The platform that a package is for, which its name tells. */
function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
	const os = SYSTEMS.find((system) => name.includes(system));
	const cpu = PROCESSORS.find((processor) => name.includes(processor));
	if (os === undefined || cpu === undefined) throw new TypeError(`${name}: its platform can not be told from its name`);
	return { os: [os], cpu: [cpu], ...(name.endsWith('-musl') || name.endsWith('-musleabihf') ? { libc: ['musl'] } : {}) };
}
