import type { EndpointId } from '#policy';
import { dataplaneError } from './errors.ts';
import { checkRenderOptions, DEFAULT_RENDER_OPTIONS, type RenderOptions } from './render/options.ts';
import type { EndpointState } from './types.ts';
import type { WorkloadNetworkOptions } from './workload/workload-network.ts';

/** All have defaults, which are those of Calico. */
export interface DataplaneOptions extends Partial<RenderOptions>, Partial<Omit<WorkloadNetworkOptions, 'namespaceFd' | 'interfacePrefix'>> {
	/** Descriptor of the network namespace to work in; the caller's own if absent. It must stay open. */
	readonly namespaceFd?: number;
	/** How often everything is compared with the kernel though no change was reported. */
	readonly refreshIntervalMs?: number;
	/** Called when an endpoint's state changes; also for its first. Must not throw. */
	readonly onEndpointState?: (id: EndpointId, state: EndpointState) => void;
}

export interface ResolvedOptions {
	readonly render: RenderOptions;
	readonly network: WorkloadNetworkOptions;
	readonly refreshIntervalMs: number;
	readonly onEndpointState: (id: EndpointId, state: EndpointState) => void;
}

/** @throws DATAPLANE_BAD_OPTION */
export function resolveOptions(options: DataplaneOptions): ResolvedOptions {
	const render = { ...DEFAULT_RENDER_OPTIONS, ...options };
	checkRenderOptions(render);
	const network = {
		namespaceFd: options.namespaceFd,
		interfacePrefix: render.interfacePrefix,
		routeProtocol: options.routeProtocol ?? 3,
		routeMetric: options.routeMetric ?? 1024,
		removeExternalRoutes: options.removeExternalRoutes ?? true,
		routeGraceMs: options.routeGraceMs ?? 10_000,
		enableForwarding: options.enableForwarding ?? true,
	};
	// IPv6 has no metric 0: it would be read back as another
	checkRange('routeMetric', network.routeMetric, 1, 0x7fffffff);
	checkRange('routeProtocol', network.routeProtocol, 3, 255);
	const refreshIntervalMs = options.refreshIntervalMs ?? 90_000;
	checkRange('refreshIntervalMs', refreshIntervalMs, 1000, 0x7fffffff);
	return { render, network, refreshIntervalMs, onEndpointState: options.onEndpointState ?? (() => undefined) };
}

function checkRange(path: string, found: number, low: number, high: number): void {
	if (!Number.isInteger(found) || found < low || found > high)
		throw dataplaneError('DATAPLANE_BAD_OPTION', {
			path,
			message: `${path} cannot be ${found}`,
			found,
			allowed: `a whole number from ${low} to ${high}`,
		});
}
