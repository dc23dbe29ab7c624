import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explainError } from '#errors';
import { datastoreConfigFromEnv, datastoreConfigFromFile } from './config.ts';
import { datastoreError } from './errors.ts';
import { grpcTarget, parseEndpoint } from './etcd/endpoint.ts';

const isError = (code: Parameters<typeof datastoreError>[0], path?: string) => (error: unknown) => {
	assert.ok(datastoreError.is(error), String(error));
	assert.equal(error.code, code, error.message);
	if (path !== undefined) assert.equal(error.path, path);
	return true;
};

test('settings come from the environment, those with CALICO_ first', () => {
	assert.deepEqual(
		datastoreConfigFromEnv({
			ETCD_ENDPOINTS: 'http://10.0.0.9:2379',
			CALICO_ETCD_ENDPOINTS: ' https://10.0.0.1:2379, https://10.0.0.2:2379 ',
			ETCD_CA_CERT_FILE: '/etc/ca.pem',
			ETCD_CERT_FILE: '/etc/cert.pem',
			ETCD_KEY_FILE: '/etc/key.pem',
			ETCD_USERNAME: 'calico',
			CALICO_ETCD_PASSWORD: 's3cret',
			UNRELATED: 'x',
		}),
		{
			type: 'etcdv3',
			etcd: {
				endpoints: ['https://10.0.0.1:2379', 'https://10.0.0.2:2379'],
				tls: { ca: { file: '/etc/ca.pem' }, cert: { file: '/etc/cert.pem' }, key: { file: '/etc/key.pem' } },
				user: { name: 'calico', password: 's3cret' },
			},
		},
	);
});

test('the file of calicoctl says the same, with certificates inline if wanted', () => {
	const document = {
		apiVersion: 'projectcalico.org/v3',
		kind: 'CalicoAPIConfig',
		metadata: {},
		spec: {
			datastoreType: 'etcdv3',
			etcdEndpoints: 'https://10.0.0.1:2379',
			etcdCACert: 'PEM',
			etcdKeyFile: '/k',
			etcdCertFile: '/c',
			kubeconfig: '',
		},
	};
	assert.deepEqual(datastoreConfigFromFile(document).etcd, {
		endpoints: ['https://10.0.0.1:2379'],
		tls: { ca: { pem: 'PEM' }, cert: { file: '/c' }, key: { file: '/k' } },
	});
});

test('what is missing or contradicts itself is named as the user knows it', () => {
	const table: readonly (readonly [Record<string, string>, Parameters<typeof datastoreError>[0], string])[] = [
		[{}, 'DATASTORE_BAD_CONFIG', 'ETCD_ENDPOINTS'],
		[{ ETCD_ENDPOINTS: ' , ', DATASTORE_TYPE: 'etcdv3' }, 'DATASTORE_BAD_CONFIG', 'ETCD_ENDPOINTS'],
		[{ DATASTORE_TYPE: 'kubernetes' }, 'DATASTORE_UNSUPPORTED', 'DATASTORE_TYPE'],
		[{ DATASTORE_TYPE: 'consul' }, 'DATASTORE_BAD_CONFIG', 'DATASTORE_TYPE'],
		[{ ETCD_DISCOVERY_SRV: 'example.org' }, 'DATASTORE_UNSUPPORTED', 'ETCD_DISCOVERY_SRV'],
		[{ ETCD_ENDPOINTS: 'http://a:1', ETCD_KEY_FILE: '/k' }, 'DATASTORE_BAD_CONFIG', 'ETCD_CERT_FILE'],
		[{ ETCD_ENDPOINTS: 'http://a:1', ETCD_CERT_FILE: '/c' }, 'DATASTORE_BAD_CONFIG', 'ETCD_KEY_FILE'],
		[{ ETCD_ENDPOINTS: 'http://a:1', ETCD_PASSWORD: 's3cret' }, 'DATASTORE_BAD_CONFIG', 'ETCD_USERNAME'],
	];
	for (const [env, code, path] of table)
		assert.throws(
			() => datastoreConfigFromEnv(env),
			(error) => isError(code, path)(error) && !explainError(error).includes('s3cret'),
			JSON.stringify(env),
		);
	const file = (spec: unknown, more = {}): unknown => ({ apiVersion: 'projectcalico.org/v3', kind: 'CalicoAPIConfig', spec, ...more });
	const files: readonly (readonly [unknown, string | undefined])[] = [
		[null, undefined],
		[{ apiVersion: 'v1', kind: 'CalicoAPIConfig' }, 'apiVersion'],
		[{ apiVersion: 'projectcalico.org/v3', kind: 'Node' }, 'kind'],
		[file({}, { extra: 1 }), 'extra'],
		[file([]), 'spec'],
		[file({ etcdEndpoint: 'http://a:1' }), 'spec.etcdEndpoint'],
		[file({ etcdEndpoints: 7 }), 'spec.etcdEndpoints'],
		[file({}), 'spec.etcdEndpoints'],
	];
	for (const [document, path] of files)
		assert.throws(() => datastoreConfigFromFile(document), isError('DATASTORE_BAD_CONFIG', path), JSON.stringify(document));
});

test('endpoints are URLs, or host and port', () => {
	const table: readonly (readonly [string, string, boolean])[] = [
		['http://10.0.0.1:2379', 'ipv4:10.0.0.1:2379', false],
		['https://etcd.example.org:2379/', 'dns:///etcd.example.org:2379', true],
		['https://[fd00::1]:2380', 'ipv6:[fd00::1]:2380', true],
		['etcd-1', 'dns:///etcd-1:2379', true],
		['HTTP://a:1', 'dns:///a:1', false],
	];
	for (const [text, target, secure] of table) {
		const endpoint = parseEndpoint(text, true);
		assert.equal(grpcTarget(endpoint), target);
		assert.equal(endpoint.secure, secure);
	}
	assert.equal(parseEndpoint('etcd-1:1', false).secure, false);
	for (const bad of [
		'',
		'ftp://a:1',
		'http://',
		'http://a:0',
		'http://a:70000',
		'http://a:b',
		'http://[::1',
		'http://[10.0.0.1]:1',
		'http://a/b',
		'a b',
	])
		assert.throws(() => parseEndpoint(bad, false), isError('DATASTORE_BAD_CONFIG', 'etcdEndpoints'), bad);
	assert.throws(
		() => parseEndpoint('https://root:s3cret@a:1', false),
		(error) => isError('DATASTORE_BAD_CONFIG')(error) && !explainError(error).includes('s3cret'),
	);
	fc.assert(
		fc.property(fc.oneof(fc.string(), fc.webUrl()), (text) => {
			try {
				parseEndpoint(text, false);
			} catch (error) {
				assert.ok(datastoreError.is(error));
			}
		}),
	);
});
