/** The primary agent: datastore → policy → dataplane, on one node. */
export type { EnforcingDataplane } from './enforcer.ts';
export { Felix } from './felix.ts';
export { FelixMetrics } from './metrics.ts';
export type { FelixConfig } from './parameters.ts';
