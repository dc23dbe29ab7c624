/** What identifies a workload endpoint within its namespace. */
export interface WorkloadEndpointId {
	readonly node: string;
	/** `k8s`, `cni`, `libnetwork`, `openstack`, … */
	readonly orchestrator: string;
	/** The pod's name; names the endpoint with `k8s`. */
	readonly pod?: string | undefined;
	/** Names the endpoint with `cni`. */
	readonly containerID?: string | undefined;
	/** Names the endpoint with other orchestrators. */
	readonly workload?: string | undefined;
	/** The interface in the container, such as `eth0`. */
	readonly endpoint: string;
}

/** The segments of a workload endpoint's name. */
export interface WorkloadEndpointNameParts {
	readonly node: string;
	readonly orchestrator: string;
	/** Pod, container or workload, by the orchestrator. */
	readonly workload: string;
	readonly endpoint: string;
}

/**
 * The name of a workload endpoint: `<node>-<orchestrator>-<workload>-<endpoint>`, each `-` inside a segment doubled.
 *
 * @returns undefined if a segment is empty, or begins or ends with `-` (it could not be told where it ends)
 */
export function workloadEndpointName(id: WorkloadEndpointId): string | undefined {
	return joinSegments([id.node, id.orchestrator, workloadSegment(id), id.endpoint]);
}

/**
 * The beginning, `-` included, that the names of all endpoints of a node, or of one of its workloads, have. Other names
 * can have it too, as a doubled `-` begins with a single one: what is found has to be split and compared.
 *
 * @returns undefined if a segment is empty, or begins or ends with `-`
 */
export function workloadEndpointNamePrefix(id: Pick<WorkloadEndpointId, 'node'> & Partial<WorkloadEndpointId>): string | undefined {
	const segments = [id.node];
	if (id.orchestrator !== undefined) {
		segments.push(id.orchestrator);
		const workload = workloadSegment({ ...id, orchestrator: id.orchestrator });
		if (workload !== undefined) segments.push(workload);
	}
	const joined = joinSegments(segments);
	return joined === undefined ? undefined : `${joined}-`;
}

/** Takes a workload endpoint's name apart; undefined if it is none. */
export function splitWorkloadEndpointName(name: string): WorkloadEndpointNameParts | undefined {
	const segments = name.split(/(?<!-)-(?!-)/).map((segment) => segment.replaceAll('--', '-'));
	const [node, orchestrator, workload, endpoint] = segments;
	if (node === undefined || orchestrator === undefined || workload === undefined || endpoint === undefined) return undefined;
	// what does not join to the same name had a run of three or more
	return joinSegments(segments) === name && segments.length === 4 ? { node, orchestrator, workload, endpoint } : undefined;
}

function workloadSegment(id: Omit<WorkloadEndpointId, 'node' | 'endpoint'>): string | undefined {
	if (id.orchestrator === 'k8s') return id.pod;
	if (id.orchestrator === 'cni') return id.containerID;
	return id.orchestrator === 'libnetwork' ? 'libnetwork' : id.workload;
}

function joinSegments(segments: readonly (string | undefined)[]): string | undefined {
	const doubled: string[] = [];
	for (const segment of segments) {
		if (segment === undefined || segment === '' || segment.startsWith('-') || segment.endsWith('-')) return undefined;
		doubled.push(segment.replaceAll('-', '--'));
	}
	return doubled.join('-');
}
