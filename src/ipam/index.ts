/** Block-affinity address management: assign, release, and what is used. */
export { shortageText } from './auto-assign.ts';
export { Ipam } from './ipam.ts';
export type { PoolUsage, Usage } from './usage.ts';
