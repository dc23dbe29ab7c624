import type { RouterConfig } from '#bgp';
import { Bgpd } from '#bgpd';
import type { Family } from '#net';
import { createLogger } from '../logging.ts';
import type { ThreadService } from './serve.ts';

/** What the BGP daemon's thread is told. */
export interface BgpdSettings {
	readonly controlSockets: readonly { readonly path: string; readonly family: Family | undefined }[];
	readonly logLevel: string | undefined;
}

/** The BGP daemon, in a thread that does nothing else: no pause elsewhere can cost it a session. */
export function bgpdService({ controlSockets, logLevel }: BgpdSettings): ThreadService {
	const bgpd = new Bgpd(
		{ log: createLogger('bgpd', logLevel), now: () => performance.now(), wallClock: () => Date.now(), random: Math.random },
		{ controlSockets, kernelRoutes: true },
	);
	return {
		methods: {
			apply: (config: RouterConfig) => bgpd.applyConfig(config),
			status: () => bgpd.status(),
		},
		health: () =>
			bgpd.status() === undefined ? { ready: false, reason: 'the BGP daemon has no configuration yet' } : { ready: true, reason: '' },
		components: () => [],
		run: async (signal) => {
			await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
			await bgpd[Symbol.asyncDispose]();
			return 'stopped';
		},
	};
}
