import { datastoreError } from './errors.ts';
import type { EtcdOptions } from './etcd/client.ts';
import type { PemSource } from './etcd/tls.ts';

/** Where the datastore is and how to talk to it. */
export interface DatastoreConfig {
	readonly type: 'etcdv3';
	readonly etcd: EtcdOptions;
}

/** One setting by its name in the environment and in calicoctl's configuration file. */
interface Settings {
	readonly datastoreType?: string | undefined;
	readonly etcdEndpoints?: string | undefined;
	readonly etcdDiscoverySrv?: string | undefined;
	readonly etcdUsername?: string | undefined;
	readonly etcdPassword?: string | undefined;
	readonly etcdKeyFile?: string | undefined;
	readonly etcdCertFile?: string | undefined;
	readonly etcdCACertFile?: string | undefined;
	readonly etcdKey?: string | undefined;
	readonly etcdCert?: string | undefined;
	readonly etcdCACert?: string | undefined;
}

const ENV_NAMES = {
	datastoreType: 'DATASTORE_TYPE',
	etcdEndpoints: 'ETCD_ENDPOINTS',
	etcdDiscoverySrv: 'ETCD_DISCOVERY_SRV',
	etcdUsername: 'ETCD_USERNAME',
	etcdPassword: 'ETCD_PASSWORD',
	etcdKeyFile: 'ETCD_KEY_FILE',
	etcdCertFile: 'ETCD_CERT_FILE',
	etcdCACertFile: 'ETCD_CA_CERT_FILE',
} as const satisfies Partial<Record<keyof Settings, string>>;

const FILE_ONLY = ['etcdKey', 'etcdCert', 'etcdCACert'] as const satisfies readonly (keyof Settings)[];

/** Fields of the file that are for the Kubernetes datastore. */
const KUBERNETES_FIELDS: readonly string[] = [
	'kubeconfig',
	'kubeconfigInline',
	'k8sAPIEndpoint',
	'k8sKeyFile',
	'k8sCertFile',
	'k8sCAFile',
	'k8sAPIToken',
	'k8sInsecureSkipTLSVerify',
	'k8sDisableNodePoll',
	'k8sUsePodCIDR',
	'k8sClientQPS',
	'k8sClientBurst',
	'k8sCurrentContext',
	'calicoAPIGroup',
];

/**
 * Reads the configuration from environment variables; each is looked up as `CALICO_<name>` first, then as `<name>`.
 *
 * @throws DATASTORE_BAD_CONFIG, DATASTORE_UNSUPPORTED
 */
export function datastoreConfigFromEnv(env: Readonly<Record<string, string | undefined>>): DatastoreConfig {
	const settings = Object.fromEntries(
		Object.entries(ENV_NAMES).map(([field, name]) => [field, nonEmpty(env[`CALICO_${name}`]) ?? nonEmpty(env[name])]),
	);
	return configOf(settings, (field) => ENV_NAMES[field as keyof typeof ENV_NAMES]);
}

/**
 * Reads a parsed calicoctl configuration file (kind CalicoAPIConfig).
 *
 * @throws DATASTORE_BAD_CONFIG, DATASTORE_UNSUPPORTED
 */
export function datastoreConfigFromFile(document: unknown): DatastoreConfig {
	if (!isRecord(document)) throw badConfig('the file is no CalicoAPIConfig', '', document, 'an object with apiVersion, kind and spec');
	const { apiVersion, kind, metadata: _metadata, spec = {}, ...others } = document;
	if (apiVersion !== 'projectcalico.org/v3') throw badConfig('the version is not known', 'apiVersion', apiVersion, 'projectcalico.org/v3');
	if (kind !== 'CalicoAPIConfig') throw badConfig('the kind is another', 'kind', kind, 'CalicoAPIConfig');
	for (const field of Object.keys(others)) throw badConfig('there is no such field', field, undefined, 'apiVersion, kind, metadata, spec');
	if (!isRecord(spec)) throw badConfig('the spec is no object', 'spec', spec, 'an object');
	const known: readonly string[] = [...Object.keys(ENV_NAMES), ...FILE_ONLY];
	const settings: Record<string, string | undefined> = {};
	for (const [field, value] of Object.entries(spec)) {
		if (KUBERNETES_FIELDS.includes(field)) continue;
		if (!known.includes(field)) throw badConfig('there is no such field', `spec.${field}`, undefined, known.join(', '));
		if (value !== null && typeof value !== 'string') throw badConfig('the value is not a text', `spec.${field}`, undefined, 'a text');
		settings[field] = nonEmpty(value ?? undefined);
	}
	return configOf(settings, (field) => `spec.${field}`);
}

/** @param nameOf how the user knows a setting */
function configOf(settings: Settings, nameOf: (field: keyof Settings) => string): DatastoreConfig {
	const { etcdEndpoints, etcdDiscoverySrv } = settings;
	const type = settings.datastoreType ?? (etcdEndpoints === undefined && etcdDiscoverySrv === undefined ? undefined : 'etcdv3');
	if (type === undefined)
		throw badConfig('no datastore is configured', nameOf('etcdEndpoints'), undefined, 'etcd endpoints, such as https://10.0.0.1:2379');
	if (type === 'kubernetes')
		throw datastoreError('DATASTORE_UNSUPPORTED', {
			message: 'the Kubernetes datastore is not supported yet',
			path: nameOf('datastoreType'),
			found: type,
			allowed: 'etcdv3',
		});
	if (type !== 'etcdv3') throw badConfig('there is no such datastore', nameOf('datastoreType'), type, 'etcdv3 or kubernetes');
	if (etcdDiscoverySrv !== undefined)
		throw datastoreError('DATASTORE_UNSUPPORTED', {
			message: 'finding etcd by DNS SRV records is not supported yet',
			path: nameOf('etcdDiscoverySrv'),
			hint: `list the endpoints in ${nameOf('etcdEndpoints')}`,
		});
	const endpoints = (etcdEndpoints ?? '')
		.split(',')
		.map((text) => text.trim())
		.filter((text) => text !== '');
	if (endpoints.length === 0)
		throw badConfig(
			'no etcd endpoint is configured',
			nameOf('etcdEndpoints'),
			undefined,
			'http(s)://host:port, several separated by commas',
		);
	const cert = pemSource(settings.etcdCert, settings.etcdCertFile);
	const key = pemSource(settings.etcdKey, settings.etcdKeyFile);
	if ((cert === undefined) !== (key === undefined))
		throw badConfig(
			'a client certificate and its key belong together',
			nameOf(cert === undefined ? 'etcdCertFile' : 'etcdKeyFile'),
			undefined,
			'both certificate and key, or neither',
		);
	const ca = pemSource(settings.etcdCACert, settings.etcdCACertFile);
	const { etcdUsername: name, etcdPassword: password } = settings;
	if (name === undefined && password !== undefined)
		throw badConfig('a password without a user', nameOf('etcdUsername'), undefined, 'the name of the etcd user');
	return {
		type: 'etcdv3',
		etcd: {
			endpoints,
			...(ca === undefined && cert === undefined ? {} : { tls: { ca, cert, key } }),
			...(name === undefined ? {} : { user: { name, password: password ?? '' } }),
		},
	};
}

function pemSource(pem: string | undefined, file: string | undefined): PemSource | undefined {
	if (pem !== undefined) return { pem };
	return file === undefined ? undefined : { file };
}

function nonEmpty(text: string | undefined): string | undefined {
	return text === undefined || text.trim() === '' ? undefined : text;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function badConfig(message: string, path: string, found: unknown, allowed: string): Error {
	return datastoreError('DATASTORE_BAD_CONFIG', { message, path: path === '' ? undefined : path, found, allowed });
}
