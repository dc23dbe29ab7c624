import { explainError } from '#errors';
import { type Cidr, hostCidr } from '#net';
import { assignAddresses, releaseHandle } from './addresses.ts';
import { createContainerInterface, removeHostInterface } from './container-interface.ts';
import { requireDatastoreReady } from './datastore-lock.ts';
import { endpointIdentity, handleOf, makeWorkloadEndpoint } from './endpoint.ts';
import { deleteEndpoint, findEndpoint, storeEndpoint } from './endpoint-store.ts';
import { cniError } from './errors.ts';
import type { CniModules, CniSettings, ContainerCall } from './modules.ts';
import { containerMtu } from './mtu.ts';
import { ensureNetworkProfile } from './network-profile.ts';
import type { CniResult } from './result.ts';

/** How long the agent may take to bring an endpoint's rules into the kernel, unless the configuration says otherwise. */
const POLICY_LIMIT_MS = 30_000;
/** How long each step back may take after a failure; the call itself is lost by then. */
const UNDO_LIMIT_MS = 10_000;

/**
 * Attaches a container: addresses, interface pair, endpoint, and then the wait until its policy is in the kernel. When a
 * step fails, or policy is not there in time, all of it is taken back: a pod without policy is worse than a pod that
 * the runtime makes again.
 *
 * @throws CNI_TRY_AGAIN, CNI_BAD_ENVIRONMENT, CNI_FAILED; errors of the rooms below
 */
export async function addContainer(
	modules: CniModules,
	settings: CniSettings,
	call: ContainerCall,
	signal: AbortSignal,
): Promise<CniResult> {
	const { client, host, logger } = modules;
	const { config, attachment } = call;
	const identity = endpointIdentity(settings.nodeName, config.name, attachment);
	const namespaceFd = requireNamespace(call);
	const mtu = containerMtu(config, settings.mtuFile);
	requireAgentReady(modules);
	const [before] = await Promise.all([findEndpoint(client, identity, attachment, signal), requireDatastoreReady(client, 'ADD', signal)]);

	await using undo = new AsyncDisposableStack();
	const onFailure = (what: string, step: (signal: AbortSignal) => Promise<unknown>): void => {
		undo.defer(async () => {
			try {
				await step(AbortSignal.timeout(UNDO_LIMIT_MS));
			} catch (error) {
				logger.error(
					{ containerId: attachment.containerId, error: explainError(error) },
					`after a failed ADD ${what} could not be undone; DEL will do it`,
				);
			}
		});
	};

	onFailure('the address assignment', (limit) => releaseHandle(modules, identity.handleId, limit));
	const addresses: readonly Cidr[] = (await assignAddresses(modules, identity, call, signal)).map(({ address }) => hostCidr(address));

	onFailure('the interface', async () => removeHostInterface(host, identity.interfaceName));
	const wanted = {
		hostName: identity.interfaceName,
		ifName: attachment.ifName,
		mtu,
		addresses,
		allowIpForwarding: config.allowIpForwarding,
		namespaceFd,
	};
	const { mac } = await createContainerInterface(host, wanted, signal);

	await ensureNetworkProfile(client, identity, config, signal);
	onFailure('the endpoint', (limit) => deleteEndpoint(client, identity, attachment.containerId, limit));
	const endpoint = await storeEndpoint(client, makeWorkloadEndpoint(identity, attachment, config, { addresses, mac }), signal);

	const limitMs = config.policySetupTimeoutSeconds === 0 ? POLICY_LIMIT_MS : config.policySetupTimeoutSeconds * 1000;
	await waitForPolicy(modules, endpoint, limitMs, signal);
	undo.move();

	const replaced = before?.spec.containerID ?? '';
	if (replaced !== '' && replaced !== attachment.containerId) await releaseReplaced(modules, handleOf(config.name, replaced), signal);
	return {
		interfaces: [
			{ name: identity.interfaceName },
			{ name: attachment.ifName, mac, mtu, ...(attachment.netns === undefined ? {} : { sandbox: attachment.netns }) },
		],
		addresses,
		routes: [],
	};
}

export function requireNamespace({ namespaceFd }: ContainerCall): number {
	if (namespaceFd !== undefined) return namespaceFd;
	throw cniError('CNI_BAD_ENVIRONMENT', {
		message: "the plugin passed no descriptor of the container's network namespace",
		path: 'CNI_NETNS',
	});
}

function requireAgentReady({ agent }: CniModules): void {
	const readiness = agent.readiness();
	if (readiness.ready) return;
	throw cniError('CNI_TRY_AGAIN', {
		message: `calico-node is not ready on this host: ${readiness.reason}`,
		hint: 'the runtime tries again by itself',
	});
}

async function waitForPolicy(
	modules: CniModules,
	endpoint: Parameters<CniModules['agent']['endpointReady']>[0],
	limitMs: number,
	signal: AbortSignal,
): Promise<void> {
	const limit = AbortSignal.timeout(limitMs);
	const late = Promise.withResolvers<never>();
	const both = AbortSignal.any([limit, signal]);
	const giveUp = (): void => late.reject(both.reason as Error);
	both.addEventListener('abort', giveUp, { once: true });
	try {
		await Promise.race([modules.agent.endpointReady(endpoint, both), late.promise]);
	} catch (error) {
		if (!limit.aborted) throw error;
		throw cniError('CNI_TRY_AGAIN', {
			message: `policy of the endpoint was not in the kernel after ${limitMs / 1000} s`,
			path: endpoint.metadata.name,
			cause: error,
			hint: 'look at the log of calico-node',
		});
	} finally {
		both.removeEventListener('abort', giveUp);
	}
}

/** The pod's former container has lost its interface to this one; its DEL may never come. */
async function releaseReplaced(modules: CniModules, handleId: string, signal: AbortSignal): Promise<void> {
	try {
		await releaseHandle(modules, handleId, signal);
	} catch (error) {
		modules.logger.warn({ handleId, error: explainError(error) }, 'the addresses of a replaced container stay assigned until its DEL');
	}
}
