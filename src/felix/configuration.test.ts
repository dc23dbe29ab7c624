import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, type FelixConfiguration } from '#resources';
import { resolveConfiguration, unknownVariables } from './configuration.ts';
import type { FelixConfig } from './parameters.ts';

function object(name: string, spec: FelixConfiguration['spec'], creationTimestamp = '2026-01-01T00:00:00Z'): FelixConfiguration {
	return { apiVersion: API_VERSION, kind: 'FelixConfiguration', metadata: { name, creationTimestamp }, spec };
}

function resolve(environment: Readonly<Record<string, string>>, ...resources: FelixConfiguration[]) {
	return resolveConfiguration({ environment, resources, nodeName: 'n1', nodeLabels: new Map([['rack', 'a']]) });
}

test('the stronger source wins, and an empty text is no value', () => {
	const all = [
		object('default', { defaultEndpointToHostAction: 'Accept', routeRefreshInterval: '10s', interfacePrefix: 'tap' }),
		object('rack-a', { nodeSelector: "rack == 'a'", defaultEndpointToHostAction: 'Drop', routeRefreshInterval: '20s' }),
		object('rack-b', { nodeSelector: "rack == 'b'", routeRefreshInterval: '99s' }),
		object('node.n1', { defaultEndpointToHostAction: 'Return' }),
		object('node.other', { defaultEndpointToHostAction: 'Drop', interfacePrefix: 'no' }),
	];
	const table: readonly (readonly [string, Readonly<Record<string, string>>, Partial<FelixConfig>])[] = [
		['stored objects', {}, { endpointToHostAction: 'Return', routeRefreshMs: 20_000, interfacePrefix: 'tap', denyAction: 'Drop' }],
		['the environment before them', { FELIX_DEFAULTENDPOINTTOHOSTACTION: 'ACCEPT' }, { endpointToHostAction: 'Accept' }],
		['in any case', { Felix_DefaultEndpointToHostAction: 'drop' }, { endpointToHostAction: 'Drop' }],
		['an empty text in it', { FELIX_DEFAULTENDPOINTTOHOSTACTION: '' }, { endpointToHostAction: 'Return' }],
		['seconds with a fraction', { FELIX_ROUTEREFRESHINTERVAL: '1.5' }, { routeRefreshMs: 1500 }],
		['the word none', { FELIX_ROUTEREFRESHINTERVAL: 'none' }, { routeRefreshMs: 0 }],
		['a hexadecimal number', { FELIX_NFTABLESMARKMASK: '0xff00' }, { markMask: 0xff00 }],
		['a flag', { FELIX_PROMETHEUSMETRICSENABLED: 'yes' }, { metricsEnabled: true }],
	];
	for (const [what, environment, expected] of table) {
		const { config } = resolve(environment, ...all);
		for (const [name, value] of Object.entries(expected)) assert.deepEqual(config[name as keyof FelixConfig], value, `${what}: ${name}`);
	}
});

test('of several objects that select the node the oldest is in force, and the others are named', () => {
	const younger = object('b', { nodeSelector: 'all()', routeRefreshInterval: '20s' }, '2026-02-02T00:00:00Z');
	const older = object('c', { nodeSelector: 'all()', routeRefreshInterval: '10s' }, '2026-02-01T00:00:00Z');
	const { config, problems } = resolve({}, younger, older);
	assert.equal(config.routeRefreshMs, 10_000);
	assert.deepEqual(
		problems.map(({ subject }) => subject),
		['FelixConfiguration/b'],
	);
});

test('a value that is none is named and the next source decides, unless what is enforced depends on it', () => {
	const { config, problems } = resolve({ FELIX_ROUTEREFRESHINTERVAL: 'soon' }, object('default', { routeRefreshInterval: '7s' }));
	assert.equal(config.routeRefreshMs, 7000);
	assert.equal(problems.length, 1);
	assert.match(problems[0]?.message ?? '', /FELIX_ROUTEREFRESHINTERVAL/);
	assert.throws(() => resolve({ FELIX_INTERFACEPREFIX: 'a b' }), { code: 'FELIX_BAD_SETTING' });
	assert.throws(() => resolve({ FELIX_DEFAULTENDPOINTTOHOSTACTION: 'none' }), { code: 'FELIX_BAD_SETTING' });
});

test('settings that have no effect are named', () => {
	const environment = {
		FELIX_LOGSEVERITYSCREEN: 'info',
		FELIX_BPFENABLED: 'true',
		FELIX_ETCDENDPOINTS: 'x',
		FELIX_HEALTHPORT: '1',
		PATH: '/',
	};
	assert.deepEqual(unknownVariables(environment), ['bpfenabled']);
});
