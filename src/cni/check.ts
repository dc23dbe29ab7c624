import { type Cidr, cidrParts, hostCidr } from '#net';
import { requireNamespace } from './add.ts';
import { addressesOfHandle } from './addresses.ts';
import { inspectContainerInterface } from './container-interface.ts';
import { endpointIdentity } from './endpoint.ts';
import { findEndpoint } from './endpoint-store.ts';
import { cniError } from './errors.ts';
import type { CniModules, CniSettings, ContainerCall } from './modules.ts';
import { containerMtu } from './mtu.ts';
import { parsePrevResult } from './result.ts';

/**
 * Compares a container's network with what ADD had set up: interfaces, addresses, routes, sysctls, endpoint, IPAM.
 *
 * @throws CNI_UNKNOWN_CONTAINER, CNI_CHECK_FAILED naming every difference, CNI_BAD_CONFIG without `prevResult`
 */
export async function checkContainer(modules: CniModules, settings: CniSettings, call: ContainerCall, signal: AbortSignal): Promise<void> {
	const { config, attachment } = call;
	const identity = endpointIdentity(settings.nodeName, config.name, attachment);
	const namespaceFd = requireNamespace(call);
	const expected = parsePrevResult(config.prevResult).addresses.map((prefix) => hostCidr(cidrParts(prefix).address));
	const [endpoint, assigned] = await Promise.all([
		findEndpoint(modules.client, identity, attachment, signal),
		addressesOfHandle(modules, identity.handleId, signal),
	]);
	if (endpoint?.spec.containerID !== attachment.containerId)
		throw cniError('CNI_UNKNOWN_CONTAINER', {
			message:
				endpoint === undefined
					? 'the container has no endpoint in the datastore'
					: `the endpoint belongs to container ${endpoint.spec.containerID ?? '(none)'}`,
			path: `WorkloadEndpoint ${identity.namespace}/${identity.name}`,
		});
	const problems = [
		...inspectContainerInterface(modules.host, {
			hostName: identity.interfaceName,
			ifName: attachment.ifName,
			mtu: containerMtu(config, settings.mtuFile),
			addresses: expected,
			allowIpForwarding: config.allowIpForwarding,
			namespaceFd,
		}),
		...missing(expected, endpoint.spec.ipNetworks ?? [], 'the endpoint in the datastore lacks the address'),
		...missing(expected, assigned.map(hostCidr), 'IPAM has not assigned the container the address'),
	];
	if (problems.length > 0)
		throw cniError('CNI_CHECK_FAILED', {
			message: problems.join('; '),
			path: attachment.containerId,
			hint: 'delete the pod, so that it is made again',
		});
}

function missing(expected: readonly Cidr[], held: readonly string[], what: string): readonly string[] {
	return expected.filter((address) => !held.includes(address)).map((address) => `${what} ${address}`);
}
