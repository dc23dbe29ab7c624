import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { EndpointState } from '#dataplane';
import { Client, MemoryBackend, systemClock } from '#datastore';
import { ip } from '#net';
import type { EndpointId, PolicyDelta } from '#policy';
import { type AnyResource, API_VERSION, type KindName, type ResourceOf, type WorkloadEndpoint } from '#resources';
import type { EnforcingDataplane } from './enforcer.ts';
import { Felix } from './felix.ts';
import type { FelixConfig } from './parameters.ts';

/** Takes deltas and says that endpoints are ready, unless held or told to fail. */
class TestDataplane implements EnforcingDataplane {
	readonly deltas: PolicyDelta[] = [];
	config: FelixConfig | undefined;
	failures = 0;
	hold: Promise<void> = Promise.resolve();
	state: EndpointState = { ready: true };
	isOpen = true;
	tell: (id: EndpointId, state: EndpointState) => void = () => undefined;

	async apply(delta: PolicyDelta): Promise<void> {
		this.deltas.push(delta);
		await this.hold;
		if (this.failures-- > 0) throw new Error('the kernel says no');
		for (const [id, endpoint] of delta.endpoints) if (endpoint !== null) this.tell(id, this.state);
	}

	[Symbol.asyncDispose](): Promise<void> {
		this.isOpen = false;
		return Promise.resolve();
	}

	/** The endpoints that were given, with removals. */
	get endpoints(): Map<EndpointId, boolean> {
		return new Map(this.deltas.flatMap(({ endpoints }) => [...endpoints].map(([id, endpoint]) => [id, endpoint !== null] as const)));
	}
}

interface Bed {
	readonly backend: MemoryBackend;
	readonly client: Client;
	readonly dataplane: TestDataplane;
	readonly felix: Felix;
	readonly ended: Promise<string>;
}

function resource<Name extends KindName>(kind: Name, name: string, spec: ResourceOf<Name>['spec'], namespace?: string): ResourceOf<Name> {
	const metadata = namespace === undefined ? { name } : { name, namespace };
	return { apiVersion: API_VERSION, kind, metadata, spec } as AnyResource as ResourceOf<Name>;
}

function endpoint(pod: string, address: string): WorkloadEndpoint {
	return resource(
		'WorkloadEndpoint',
		`n1-k8s-${pod}-eth0`,
		{ node: 'n1', orchestrator: 'k8s', pod, endpoint: 'eth0', interfaceName: `cali${pod}`, ipNetworks: [`${address}/32`], profiles: [] },
		'default',
	);
}

const FIRST = 'default/n1-k8s-one-eth0' as EndpointId;

async function withFelix(prepare: (client: Client) => Promise<void>, run: (bed: Bed) => Promise<void>): Promise<void> {
	const backend = new MemoryBackend();
	const client = new Client({ backend, clock: systemClock });
	await prepare(client);
	const dataplane = new TestDataplane();
	const felix = new Felix(
		{
			backend,
			openDataplane: (config, onEndpointState) => {
				dataplane.config = config;
				dataplane.tell = onEndpointState;
				return dataplane;
			},
			onConfigured: () => undefined,
			logger: pino({ level: 'silent' }),
			clock: { now: () => Date.now(), sleep: (ms, signal) => systemClock.sleep(ms / 20, signal) },
			random: () => 0.5,
		},
		{ nodeName: 'n1', environment: {} },
	);
	const stop = new AbortController();
	const ended = felix.run(stop.signal);
	try {
		await run({ backend, client, dataplane, felix, ended });
	} finally {
		stop.abort();
		await ended;
		await client[Symbol.asyncDispose]();
		assert.equal(dataplane.isOpen, dataplane.config === undefined);
	}
}

async function initialized(client: Client): Promise<void> {
	await client.ensureInitialized({});
	await client.resources.create(resource('Node', 'n1', {}));
}

async function until(what: string, condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 10_000; Date.now() < end; await sleep(5)) if (condition()) return;
	assert.fail(`not in time: ${what}`);
}

test('what is stored is enforced once all of it has been read, and changes follow', async () => {
	await withFelix(
		async (client) => {
			await initialized(client);
			await client.resources.create(endpoint('one', '10.65.0.1'));
		},
		async ({ client, dataplane, felix }) => {
			await until('Felix is ready', () => felix.readiness().ready);
			assert.equal(dataplane.deltas.length, 1, 'one delta for the whole snapshot');
			assert.equal(dataplane.deltas[0]?.inSync, true);
			assert.deepEqual([...dataplane.endpoints], [[FIRST, true]]);
			await client.resources.create(endpoint('two', '10.65.0.2'));
			await until('the second endpoint', () => dataplane.endpoints.size === 2);
			await client.resources.delete('WorkloadEndpoint', { namespace: 'default', name: 'n1-k8s-one-eth0' });
			await until('the first one is removed', () => dataplane.endpoints.get(FIRST) === false);
			assert.equal(felix.status().localEndpoints, 1);
			assert.equal(felix.status().state, 'in-sync');
		},
	);
});

test('a handed-over endpoint is enforced without the watch, and waits for the kernel', async () => {
	await withFelix(initialized, async ({ dataplane, felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		const hold = Promise.withResolvers<void>();
		dataplane.hold = hold.promise;
		const stored = endpoint('one', '10.65.0.1');
		let done = false;
		const handed = felix
			.endpointReady({ ...stored, metadata: { ...stored.metadata, resourceVersion: '77' } }, AbortSignal.timeout(10_000))
			.then(() => (done = true));
		await until('the dataplane has it', () => dataplane.endpoints.has(FIRST));
		await sleep(20);
		assert.equal(done, false);
		hold.resolve();
		await handed;
	});
});

test('a handed-over endpoint that the kernel cannot take in time fails, in words', async () => {
	await withFelix(initialized, async ({ dataplane, felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		dataplane.state = { ready: false, reason: 'interface-missing', message: 'there is no calione' };
		await assert.rejects(felix.endpointReady(endpoint('one', '10.65.0.1'), AbortSignal.timeout(100)), {
			code: 'FELIX_TIMEOUT',
			message: /there is no calione/,
		});
		assert.match(JSON.stringify(felix.status().problems), /there is no calione/);
		dataplane.tell(FIRST, { ready: true });
		assert.deepEqual(felix.status().problems, []);
		dataplane.state = { ready: false, reason: 'refused', message: 'its name cannot be written' };
		await assert.rejects(felix.endpointReady(endpoint('two', '10.65.0.2'), AbortSignal.timeout(10_000)), { code: 'FELIX_REFUSED' });
	});
});

test('an endpoint of another node, or without an address, is refused', async () => {
	await withFelix(initialized, async ({ felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		const elsewhere = endpoint('one', '10.65.0.1');
		const { ipNetworks: _, ...spec } = elsewhere.spec;
		for (const one of [
			{ ...elsewhere, spec: { ...elsewhere.spec, node: 'n2' } },
			{ ...elsewhere, spec },
		])
			await assert.rejects(felix.endpointReady(one, AbortSignal.timeout(10_000)), { code: 'FELIX_REFUSED' });
	});
});

test('a locked datastore changes nothing in the kernel until it is unlocked', async () => {
	await withFelix(initialized, async ({ client, dataplane, felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		const lock = async (datastoreReady: boolean): Promise<void> => {
			const information = await client.resources.get('ClusterInformation', { name: 'default' });
			await client.resources.update({ ...information, spec: { ...information.spec, datastoreReady } });
		};
		await lock(false);
		await until('the lock is seen', () => felix.status().state === 'locked');
		await client.resources.create(endpoint('one', '10.65.0.1'));
		await assert.rejects(felix.endpointReady(endpoint('two', '10.65.0.2'), AbortSignal.timeout(1000)), {
			code: 'FELIX_NOT_READY',
			message: /locked/,
		});
		await sleep(50);
		assert.equal(dataplane.endpoints.size, 0);
		await lock(true);
		await until('the endpoint is enforced', () => dataplane.endpoints.size === 1);
	});
});

test('a kernel that refuses is named as the problem, and a later success clears it', async () => {
	await withFelix(initialized, async ({ client, dataplane, felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		dataplane.failures = 1;
		await assert.rejects(felix.endpointReady(endpoint('one', '10.65.0.1'), AbortSignal.timeout(10_000)), /the kernel says no/);
		assert.match(felix.status().problems[0]?.message ?? '', /the kernel says no/);
		await client.resources.create(endpoint('two', '10.65.0.2'));
		await until('the problem is gone', () => felix.status().problems.length === 0);
	});
});

test('the datastore’s loss changes nothing, and its return brings what was missed', async () => {
	await withFelix(
		async (client) => {
			await initialized(client);
			await client.resources.create(endpoint('one', '10.65.0.1'));
		},
		async ({ backend, client, dataplane, felix }) => {
			await until('Felix is ready', () => felix.readiness().ready);
			const deltas = dataplane.deltas.length;
			backend.disconnect();
			await sleep(20);
			assert.equal(dataplane.deltas.length, deltas);
			assert.ok(felix.readiness().ready);
			await client.resources.create(endpoint('two', '10.65.0.2'));
			await until('what was missed is enforced', () => dataplane.endpoints.size === 2);
		},
	);
});

test('data that cannot be read is named, and its last good value stays in force', async () => {
	const path = '/calico/resources/v3/projectcalico.org/workloadendpoints/default/n1-k8s-one-eth0';
	await withFelix(
		async (client) => {
			await initialized(client);
			await client.resources.create(endpoint('one', '10.65.0.1'));
		},
		async ({ backend, dataplane, felix }) => {
			await until('Felix is ready', () => felix.readiness().ready);
			backend.putRaw(path, 'no JSON');
			await until('a problem', () => felix.status().problems.length === 1);
			assert.match(felix.status().problems[0]?.subject ?? '', /n1-k8s-one-eth0/);
			assert.equal(dataplane.endpoints.get(FIRST), true);
			backend.putRaw(path, null);
			await until('the endpoint is gone', () => dataplane.endpoints.get(FIRST) === false);
			assert.deepEqual(felix.status().problems, []);
		},
	);
});

test('changed settings end Felix, to be started with them', async () => {
	await withFelix(initialized, async ({ client, dataplane, felix, ended }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		assert.equal(dataplane.config?.endpointToHostAction, 'Drop');
		await client.resources.create(resource('FelixConfiguration', 'node.n1', { defaultEndpointToHostAction: 'Return' }));
		assert.equal(await ended, 'its settings changed');
	});
});

test('a packet is explained by the policy in force', async () => {
	await withFelix(initialized, async ({ client, felix }) => {
		await until('Felix is ready', () => felix.readiness().ready);
		await client.resources.create(endpoint('one', '10.65.0.1'));
		await until('the endpoint', () => felix.endpoints().length === 1);
		const { allowed, destination } = felix.explain({
			source: ip('10.0.0.1'),
			destination: ip('10.65.0.1'),
			protocol: 6,
			destinationPort: 80,
		});
		assert.equal(allowed, false);
		assert.equal(destination?.endpoint, FIRST);
	});
});
