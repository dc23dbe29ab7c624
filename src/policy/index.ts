/** The calculation graph and the verdict engine. Pure. */
export { evaluate, type IpSetView, type PolicyState } from './evaluate.ts';
export type { Explanation } from './explain.ts';
export { PolicyGraph, type ResourceUpdate } from './graph.ts';
export { endpointId, portProtocol } from './ids.ts';
export { convertKubernetesPolicy } from './kubernetes-policy.ts';
export * from './types.ts';
