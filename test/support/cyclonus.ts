/** Cases of mattfenwick/cyclonus with their truth tables; the README beside the file tells its form. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { convertKubernetesPolicy, PolicyGraph, type ResourceUpdate } from '#policy';
import { type Profile, parseKubernetesNetworkPolicy, type WorkloadEndpoint } from '#resources';

type Labels = Readonly<Record<string, string>>;

export interface CasePod {
	readonly namespace: string;
	readonly name: string;
	readonly labels: Labels;
	readonly ip: string;
}

interface Action {
	readonly createPolicy?: object;
	readonly updatePolicy?: object;
	readonly deletePolicy?: { readonly Namespace: string; readonly Name: string };
	readonly createNamespace?: { readonly Namespace: string; readonly Labels: Labels };
	readonly setNamespaceLabels?: { readonly Namespace: string; readonly Labels: Labels };
	readonly deleteNamespace?: { readonly Namespace: string };
	readonly createPod?: CasePod;
	readonly setPodLabels?: { readonly Namespace: string; readonly Pod: string; readonly Labels: Labels };
	readonly deletePod?: { readonly Namespace: string; readonly Pod: string };
}

/** Of each table, a row per source pod with a character per destination pod, `.` for allowed. */
export type CaseTables = Readonly<Record<'ingress' | 'egress' | 'combined', Readonly<Record<string, string>>>>;

export interface CaseStep {
	readonly actions: readonly Action[] | null;
	readonly expected: {
		readonly columns: readonly string[];
		/** By `80/TCP`. */
		readonly byPort: Readonly<Record<string, CaseTables>>;
	};
}

export interface CaseFile {
	readonly initial: { readonly namespaces: Readonly<Record<string, Labels>>; readonly pods: readonly CasePod[] };
	readonly cases: readonly { readonly n: number; readonly description: string; readonly steps: readonly CaseStep[] }[];
}

const FILE = process.env['TORTIE_CASES'] ?? fileURLToPath(new URL('../../../shared/cases/cyclonus-cases.json', import.meta.url));
/** Left out in some cases. */
const HEAD = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' } as const;

/** Why there are no cases; false if there are. */
export const CASES_MISSING = existsSync(FILE) ? false : `there is no ${FILE}; TORTIE_CASES names the file of cases`;

export function readCases(): CaseFile {
	return JSON.parse(readFileSync(FILE, 'utf8')) as CaseFile;
}

/** A cluster of one node in a policy graph, changed by the actions of a case. */
export class CaseCluster {
	readonly graph = new PolicyGraph({ nodeName: undefined });
	readonly pods = new Map<string, CasePod>();

	constructor({ namespaces, pods }: CaseFile['initial']) {
		for (const [name, labels] of Object.entries(namespaces)) this.#setNamespace(name, labels);
		for (const pod of pods) this.#setPod(pod);
		this.graph.setInSync();
	}

	act(action: Action): void {
		const policy = action.createPolicy ?? action.updatePolicy;
		if (policy !== undefined) {
			const value = convertKubernetesPolicy(parseKubernetesNetworkPolicy({ ...HEAD, ...policy }), (problem) => {
				throw problem;
			});
			this.#update({ key: { kind: 'NetworkPolicy', namespace: value.metadata.namespace, name: value.metadata.name }, value });
		} else if (action.deletePolicy !== undefined) {
			const { Namespace: namespace, Name: name } = action.deletePolicy;
			this.#update({ key: { kind: 'NetworkPolicy', namespace, name: `knp.default.${name}` }, value: null });
		} else if (action.createNamespace !== undefined) this.#setNamespace(action.createNamespace.Namespace, action.createNamespace.Labels);
		else if (action.setNamespaceLabels !== undefined)
			this.#setNamespace(action.setNamespaceLabels.Namespace, action.setNamespaceLabels.Labels);
		else if (action.deleteNamespace !== undefined) {
			const { Namespace: gone } = action.deleteNamespace;
			for (const pod of this.pods.values()) if (pod.namespace === gone) this.#deletePod(pod.namespace, pod.name);
			this.#update({ key: { kind: 'Profile', name: `kns.${gone}` }, value: null });
		} else if (action.createPod !== undefined) this.#setPod(action.createPod);
		else if (action.setPodLabels !== undefined) {
			const { Namespace: namespace, Pod: name, Labels: labels } = action.setPodLabels;
			const pod = this.pods.get(`${namespace}/${name}`);
			if (pod === undefined) throw new Error(`no pod ${namespace}/${name}`);
			this.#setPod({ ...pod, labels });
		} else if (action.deletePod !== undefined) this.#deletePod(action.deletePod.Namespace, action.deletePod.Pod);
		else throw new Error(`an unknown action: ${JSON.stringify(action)}`);
	}

	#setNamespace(name: string, labels: Labels): void {
		const inherited = Object.entries(labels).map(([key, value]) => [`pcns.${key}`, value]);
		const value: Profile = {
			apiVersion: 'projectcalico.org/v3',
			kind: 'Profile',
			metadata: { name: `kns.${name}` },
			spec: {
				ingress: [{ action: 'Allow' }],
				egress: [{ action: 'Allow' }],
				labelsToApply: { ...Object.fromEntries(inherited), 'pcns.projectcalico.org/name': name },
			},
		};
		this.#update({ key: { kind: 'Profile', name: value.metadata.name }, value });
	}

	#setPod(pod: CasePod): void {
		this.pods.set(`${pod.namespace}/${pod.name}`, pod);
		const ports = [80, 81].flatMap((port) =>
			['TCP', 'UDP', 'SCTP'].map((protocol) => ({ name: `serve-${port}-${protocol.toLowerCase()}`, protocol, port })),
		);
		const value: WorkloadEndpoint = {
			apiVersion: 'projectcalico.org/v3',
			kind: 'WorkloadEndpoint',
			metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels },
			spec: {
				orchestrator: 'k8s',
				node: 'node-a',
				interfaceName: caseInterface(pod),
				ipNetworks: [`${pod.ip}/32`],
				profiles: [`kns.${pod.namespace}`],
				ports,
			},
		};
		this.#update({ key: { kind: value.kind, namespace: pod.namespace, name: pod.name }, value });
	}

	#deletePod(namespace: string, name: string): void {
		this.pods.delete(`${namespace}/${name}`);
		this.#update({ key: { kind: 'WorkloadEndpoint', namespace, name }, value: null });
	}

	#update(update: ResourceUpdate): void {
		this.graph.update([update]);
	}
}

/** The node's interface of a pod of the cases. */
export function caseInterface({ namespace, name }: Pick<CasePod, 'namespace' | 'name'>): string {
	return `cali${namespace}${name}`;
}
