import type { Logger } from 'pino';
import { Dataplane, type DataplaneOptions } from '#dataplane';
import type { EnforcingDataplane, FelixConfig } from '#felix';
import { Conntrack, NftSocket, Rtnetlink } from '#kernel';

/** The dataplane on sockets of its own in the node's network namespace. */
export function openDataplane(logger: Logger, options: DataplaneOptions): EnforcingDataplane {
	const open = new AsyncDisposableStack();
	const clock = {
		nowMs: () => performance.now(),
		schedule: (delayMs: number, run: () => void) => {
			const timer = setTimeout(run, delayMs);
			return () => clearTimeout(timer);
		},
	};
	const nft = open.use(new NftSocket());
	const rtnetlink = open.use(new Rtnetlink());
	const conntrack = open.use(new Conntrack());
	const dataplane = open.use(new Dataplane({ nft, rtnetlink, conntrack, clock, logger }, options));
	return { apply: (delta) => dataplane.apply(delta), [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** What Felix's settings mean for the dataplane. */
export function dataplaneOptions(config: FelixConfig): DataplaneOptions {
	const intervals = [config.nftablesRefreshMs, config.routeRefreshMs].filter((interval) => interval > 0);
	return {
		interfacePrefix: config.interfacePrefix,
		markMask: config.markMask,
		endpointToHostAction: config.endpointToHostAction,
		denyAction: config.denyAction,
		dropInvalid: !config.keepInvalid,
		blockedVxlanPort: config.allowVxlan ? undefined : config.vxlanPort,
		blockIpip: !config.allowIpip,
		logPrefix: config.logPrefix,
		routeProtocol: config.routeProtocol,
		removeExternalRoutes: config.removeExternalRoutes,
		...(intervals.length === 0 ? {} : { refreshIntervalMs: Math.max(1000, Math.min(...intervals)) }),
	};
}
