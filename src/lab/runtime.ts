import { spawn } from 'node:child_process';
import { inNamespace } from '#kernel';
import { type Ip, splitCidr } from '#net';
import { labError } from './errors.ts';
import type { LabPlan, PodSpec } from './plan.ts';

/** Longer than the plugin takes at most. */
const PLUGIN_LIMIT_MS = 100_000;
const MAX_OUTPUT_BYTES = 1 << 20;
const NETWORK_NAME = 'k8s-pod-network';

/** A container that the runtime makes or ends. */
export interface Container {
	readonly pod: PodSpec;
	readonly containerId: string;
	/** Path of its network namespace. */
	readonly netnsPath: string;
}

export interface RuntimeOptions {
	/** The installed plugin. */
	readonly plugin: string;
	/** Where the node's agent listens. */
	readonly cniSocket: string;
	readonly plan: LabPlan;
}

/** A container runtime as far as the network is concerned: it executes the CNI plugin on a host, for one container at a time. */
export class ContainerRuntime {
	readonly #hostFd: number;
	readonly #options: RuntimeOptions;

	/** @param hostFd descriptor of the node's network namespace */
	constructor(hostFd: number, options: RuntimeOptions) {
		this.#hostFd = hostFd;
		this.#options = options;
	}

	/** @returns the pod's addresses @throws LAB_CNI_FAILED in the plugin's words */
	async add(container: Container): Promise<readonly Ip[]> {
		const output = await this.#execute('ADD', container);
		const { ips } = JSON.parse(output) as { readonly ips: readonly { readonly address: string }[] };
		return ips.flatMap(({ address }) => splitCidr(address)?.address ?? []);
	}

	/** @throws LAB_CNI_FAILED */
	async delete(container: Container): Promise<void> {
		await this.#execute('DEL', container);
	}

	/** Whether the node takes containers at the moment. */
	async isReady(): Promise<boolean> {
		try {
			await this.#execute('STATUS', undefined);
			return true;
		} catch {
			return false;
		}
	}

	async #execute(command: 'ADD' | 'DEL' | 'STATUS', container: Container | undefined): Promise<string> {
		const { plugin, cniSocket } = this.#options;
		const env = {
			CNI_COMMAND: command,
			CNI_PATH: plugin.slice(0, plugin.lastIndexOf('/')),
			CALICO_CNI_SOCKET: cniSocket,
			...environmentOf(container),
		};
		const { status, output } = await run(this.#hostFd, plugin, env, JSON.stringify(this.#networkConfig(container)));
		if (status === 0) return output;
		throw labError('LAB_CNI_FAILED', {
			message: `CNI ${command} failed: ${errorText(output) ?? `exit status ${status}`}`,
			path: container?.pod.name,
		});
	}

	#networkConfig(container: Container | undefined): object {
		const { families } = this.#options.plan;
		return {
			cniVersion: '1.1.0',
			name: NETWORK_NAME,
			type: 'calico',
			ipam: { type: 'calico-ipam', assign_ipv4: String(families.includes(4)), assign_ipv6: String(families.includes(6)) },
			policy: { type: 'k8s' },
			args: { cni: { labels: Object.entries(container?.pod.labels ?? {}).map(([key, value]) => ({ key, value })) } },
		};
	}
}

function environmentOf(container: Container | undefined): Record<string, string> {
	if (container === undefined) return {};
	const { pod, containerId, netnsPath } = container;
	return {
		CNI_CONTAINERID: containerId,
		CNI_NETNS: netnsPath,
		CNI_IFNAME: 'eth0',
		CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
	};
}

function run(
	hostFd: number,
	plugin: string,
	env: Record<string, string>,
	input: string,
): Promise<{ readonly status: number | null; readonly output: string }> {
	const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number | null; readonly output: string }>();
	const child = inNamespace(hostFd, () => spawn(plugin, { env, stdio: ['pipe', 'pipe', 'ignore'], timeout: PLUGIN_LIMIT_MS }));
	let output = '';
	child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
		if (output.length < MAX_OUTPUT_BYTES) output += chunk;
	});
	child.on('error', (cause) => reject(labError('LAB_PROCESS_FAILED', { message: `${plugin} cannot be executed`, cause })));
	child.on('close', (status) => resolve({ status, output }));
	// the plugin may end without having read it all
	child.stdin.on('error', () => undefined);
	child.stdin.end(input);
	return promise;
}

function errorText(output: string): string | undefined {
	try {
		const { code, msg, details } = JSON.parse(output) as { readonly code: number; readonly msg: string; readonly details?: string };
		return `${msg} (code ${code})${details === undefined || details === msg ? '' : `: ${details}`}`;
	} catch {
		return undefined;
	}
}
