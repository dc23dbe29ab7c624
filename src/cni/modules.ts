import type { Logger } from 'pino';
import type { Client, Clock } from '#datastore';
import type { Ipam } from '#ipam';
import type { PolicyAgent } from './agent.ts';
import type { NetworkConfig } from './config.ts';
import type { HostNetwork } from './container-interface.ts';
import type { Attachment } from './environment.ts';
import type { RequestQueue } from './request-queue.ts';

/** What serving a request takes. */
export interface CniModules {
	readonly client: Client;
	readonly ipam: Ipam;
	/** In which changes of addresses wait for one another. */
	readonly ipamTurns: RequestQueue;
	readonly agent: PolicyAgent;
	readonly host: HostNetwork;
	readonly logger: Logger;
	readonly clock: Pick<Clock, 'now'>;
}

export interface CniSettings {
	/** The node's name in the datastore. */
	readonly nodeName: string;
	/** Where the agent writes the MTU it found for this host: `/var/lib/calico/mtu`. */
	readonly mtuFile: string;
}

/** A call about one container. */
export interface ContainerCall {
	readonly config: NetworkConfig;
	readonly attachment: Attachment;
	/** Descriptor of the container's network namespace; absent when DEL comes after its end. */
	readonly namespaceFd: number | undefined;
}
