/** Desired state in, kernel out: nftables, workload routes, neighbours, interface settings. */
export { Dataplane } from './dataplane.ts';
export { dataplaneError } from './errors.ts';
export type { DataplaneOptions } from './options.ts';
export type { EndpointState } from './types.ts';
