import type { Cidr, Mac } from '#net';
import { API_VERSION, hostInterfaceName, splitWorkloadEndpointName, type WorkloadEndpoint, workloadEndpointName } from '#resources';
import type { NetworkConfig } from './config.ts';
import type { Attachment } from './environment.ts';
import { cniError } from './errors.ts';

/** How a container is named in the datastore, in IPAM and on the host. */
export interface EndpointIdentity {
	readonly node: string;
	readonly orchestrator: 'k8s' | 'cni';
	/** Of the WorkloadEndpoint. */
	readonly namespace: string;
	readonly name: string;
	/** Name of the host's end of the pair. */
	readonly interfaceName: string;
	/** Of the container's addresses in IPAM. */
	readonly handleId: string;
}

const INTERFACE_PREFIX = 'cali';

/**
 * @param node the agent's own node name
 * @param network name of the CNI network
 * @throws CNI_BAD_ENVIRONMENT if no endpoint can have such a name
 */
export function endpointIdentity(node: string, network: string, attachment: Attachment): EndpointIdentity {
	const identity = tryEndpointIdentity(node, network, attachment);
	if (identity !== undefined) return identity;
	throw cniError('CNI_BAD_ENVIRONMENT', {
		message: `no endpoint can be named after container ${attachment.containerId} and interface ${attachment.ifName}`,
		path: attachment.args.pod === undefined ? 'CNI_CONTAINERID' : 'CNI_IFNAME',
		allowed: 'lower-case letters, digits, - and ., with a letter or digit at both ends',
	});
}

/** Like {@link endpointIdentity}; undefined if no endpoint can have such a name, and so none has it. */
export function tryEndpointIdentity(
	node: string,
	network: string,
	{ containerId, ifName, args: { pod } }: Attachment,
): EndpointIdentity | undefined {
	const orchestrator = pod === undefined ? 'cni' : 'k8s';
	const name = workloadEndpointName({ node, orchestrator, pod: pod?.name, containerID: containerId, endpoint: ifName });
	// what a Kubernetes object's name is made of; a datastore may be one
	if (name === undefined || name.length > 253 || !/^[a-z0-9][-.a-z0-9]*$/.test(name)) return undefined;
	return {
		node,
		orchestrator,
		namespace: pod?.namespace ?? 'default',
		name,
		interfaceName:
			pod === undefined ? `${INTERFACE_PREFIX}${containerId.slice(0, 11)}` : hostInterfaceName(pod.namespace, pod.name, INTERFACE_PREFIX),
		handleId: handleOf(network, containerId),
	};
}

/** The IPAM handle of a container in a network, as Calico names it. */
export function handleOf(network: string, containerId: string): string {
	return `${network}.${containerId}`;
}

/** The endpoint as ADD stores it. */
export function makeWorkloadEndpoint(
	identity: EndpointIdentity,
	attachment: Attachment,
	config: NetworkConfig,
	container: { readonly addresses: readonly Cidr[]; readonly mac: Mac },
): WorkloadEndpoint {
	const { pod } = attachment.args;
	const serviceAccount = config.labels[SERVICE_ACCOUNT_LABEL];
	return {
		apiVersion: API_VERSION,
		kind: 'WorkloadEndpoint',
		metadata: { name: identity.name, namespace: identity.namespace, labels: config.labels },
		spec: {
			orchestrator: identity.orchestrator,
			node: identity.node,
			containerID: attachment.containerId,
			...(pod === undefined ? {} : { pod: pod.name }),
			endpoint: attachment.ifName,
			...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
			ipNetworks: [...container.addresses],
			profiles: profilesOf(identity, config, serviceAccount),
			interfaceName: identity.interfaceName,
			mac: container.mac,
			ports: config.ports.map(({ name, protocol, port }) => ({ name, protocol, port })),
		},
	};
}

const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';

function profilesOf({ orchestrator, namespace }: EndpointIdentity, config: NetworkConfig, serviceAccount: string | undefined): string[] {
	if (orchestrator !== 'k8s' || config.policyType !== 'k8s') return [config.name];
	return [`kns.${namespace}`, ...(serviceAccount === undefined ? [] : [`ksa.${namespace}.${serviceAccount}`])];
}

/** Whether an endpoint belongs to the same pod, though under another interface. */
export function isSiblingInterface(identity: EndpointIdentity, other: WorkloadEndpoint): boolean {
	const own = splitWorkloadEndpointName(identity.name);
	const parts = splitWorkloadEndpointName(other.metadata.name);
	return (
		own !== undefined &&
		parts !== undefined &&
		own.node === parts.node &&
		own.orchestrator === parts.orchestrator &&
		own.workload === parts.workload &&
		own.endpoint !== parts.endpoint
	);
}
