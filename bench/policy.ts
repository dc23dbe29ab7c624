/** The policy graph of one node of a large cluster: cold start, and what single changes take. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PolicyGraph, type ResourceUpdate } from '#policy';
import type { AnyResource, NetworkPolicy, Profile, WorkloadEndpoint } from '#resources';
import { alone, type BenchResult } from './result.ts';

const PODS = 50_000;
const PODS_OF_A_DEPLOYMENT = 10;
const POLICIES = 10_000;
const NAMESPACES = 1000;
const LOCAL_PODS = 100;
const APPS = 50;
const BATCH = 500;
const NODE = 'node-0';
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const API_VERSION = 'projectcalico.org/v3';

export async function run(): Promise<readonly BenchResult[]> {
	const graph = new PolicyGraph({ nodeName: NODE });
	const before = memoryMb();
	let coldStartMs = 0;
	for (const batch of [...batches(NAMESPACES, namespace), ...batches(POLICIES, policy), ...batches(PODS, pod)])
		coldStartMs += timed(() => graph.update(batch));
	graph.setInSync();
	coldStartMs += timed(() => graph.flush());
	const memory = memoryMb() - before;

	const podEvents = timings(graph, 1000, (index) => {
		const value = pod(index * 7);
		return { ...value, metadata: { ...value.metadata, labels: { ...value.metadata.labels, version: `v${index}` } } };
	});
	const policyEdits = timings(graph, 500, (index) => {
		const value = policy((index * (PODS / LOCAL_PODS)) % POLICIES);
		return {
			...value,
			spec: {
				...value.spec,
				ingress: [{ action: 'Allow', source: { selector: `app == 'app-${index % APPS}'`, namespaceSelector: 'all()' } }],
			},
		};
	});
	return [
		alone('policy-cold-start-50k', 'ms', coldStartMs),
		alone('policy-memory-50k', 'MB', memory),
		alone('policy-pod-event-p99', 'ms', percentile99(podEvents)),
		alone('policy-edit-p99', 'ms', percentile99(policyEdits)),
	];
}

/** Updates made anew, as the datastore would decode them, so that the graph pays for all it keeps. */
function* batches(count: number, make: (index: number) => AnyResource): Generator<ResourceUpdate[]> {
	for (let start = 0; start < count; start += BATCH)
		yield Array.from({ length: Math.min(BATCH, count - start) }, (_, offset) =>
			update(JSON.parse(JSON.stringify(make(start + offset))) as AnyResource),
		);
}

function update(value: AnyResource): ResourceUpdate {
	return { key: { kind: value.kind, namespace: value.metadata.namespace, name: value.metadata.name }, value };
}

function timings(graph: PolicyGraph, count: number, change: (index: number) => AnyResource): number[] {
	return Array.from({ length: count }, (_, index) => {
		const batch = [update(change(index))];
		return timed(() => {
			graph.update(batch);
			graph.flush();
		});
	});
}

function timed(work: () => void): number {
	const start = performance.now();
	work();
	return performance.now() - start;
}

function percentile99(values: readonly number[]): number {
	return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
}

/** Of the live heap. */
function memoryMb(): number {
	collectGarbage();
	return process.memoryUsage().heapUsed / 1e6;
}

function namespace(index: number): Profile {
	return {
		apiVersion: API_VERSION,
		kind: 'Profile',
		metadata: { name: `kns.ns-${index}` },
		spec: {
			ingress: [{ action: 'Allow' }],
			egress: [{ action: 'Allow' }],
			labelsToApply: { 'pcns.projectcalico.org/name': `ns-${index}` },
		},
	};
}

function policy(index: number): NetworkPolicy {
	const isKubernetes = "projectcalico.org/orchestrator == 'k8s'";
	const from = `${isKubernetes} && app == 'app-${(index + 1) % APPS}'`;
	return {
		apiVersion: API_VERSION,
		kind: 'NetworkPolicy',
		metadata: { name: `knp.default.p${index}`, namespace: `ns-${index % NAMESPACES}` },
		spec: {
			tier: 'default',
			order: 1000,
			selector: `${isKubernetes} && app == 'app-${index % APPS}'`,
			types: ['Ingress', 'Egress'],
			ingress: [
				{ action: 'Allow', protocol: 'TCP', source: { selector: from }, destination: { ports: [8080, 'http'] } },
				{
					action: 'Allow',
					source: { selector: isKubernetes, namespaceSelector: `projectcalico.org/name == 'ns-${(index * 7) % NAMESPACES}'` },
				},
			],
			egress: [{ action: 'Allow' }],
		},
	};
}

function pod(index: number): WorkloadEndpoint {
	const deployment = Math.floor(index / PODS_OF_A_DEPLOYMENT);
	const inNamespace = `ns-${deployment % NAMESPACES}`;
	const node = index % (PODS / LOCAL_PODS) === 0 ? NODE : `node-${1 + (index % 499)}`;
	return {
		apiVersion: API_VERSION,
		kind: 'WorkloadEndpoint',
		metadata: {
			name: `${node.replaceAll('-', '--')}-k8s-app--${index}-eth0`,
			namespace: inNamespace,
			labels: {
				app: `app-${deployment % APPS}`,
				'pod-template-hash': `h${deployment}`,
				version: 'v1',
				'projectcalico.org/namespace': inNamespace,
				'projectcalico.org/orchestrator': 'k8s',
			},
		},
		spec: {
			orchestrator: 'k8s',
			node,
			pod: `app-${index}`,
			endpoint: 'eth0',
			interfaceName: `cali${index.toString(16).padStart(11, '0')}`,
			ipNetworks: [`10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}/32`],
			profiles: [`kns.${inNamespace}`, `ksa.${inNamespace}.default`],
			ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
		},
	};
}
