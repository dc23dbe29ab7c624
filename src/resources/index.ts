/** Every kind of resource: its schema, defaults, validation, names and columns, all from one table. Pure. */
export { explainProblem, ResourceInvalidError, resourceError } from './errors.ts';
export { parseAsNumber } from './fields/as-number.ts';
export { parseDurationMs } from './fields/duration.ts';
export { type PortMatch, parsePort } from './fields/port.ts';
export { type Protocol, type ProtocolName, parseProtocol, protocolName, protocolNumber } from './fields/protocol.ts';
export { type PeerAddress, parsePeerAddress } from './kinds/bgp-peer.ts';
export { DEFAULT_ALLOW_PROFILE } from './kinds/profile.ts';
export { BUILT_IN_TIERS } from './kinds/tier.ts';
export { hostInterfaceName } from './kinds/workload-endpoint.ts';
export {
	splitWorkloadEndpointName,
	type WorkloadEndpointId,
	type WorkloadEndpointNameParts,
	workloadEndpointName,
	workloadEndpointNamePrefix,
} from './kinds/workload-endpoint-name.ts';
export * from './kinds.ts';
export * from './kubernetes-network-policy.ts';
export { nearestName } from './nearest.ts';
export { applyDefaults, decodeStored, encodeStored, type ParseOptions, parseResource } from './parse.ts';
export type { Problem } from './problem.ts';
export { API_VERSION, type Column, type ColumnContext, type Kind, type Resource } from './schema/kind.ts';
export type { ObjectMeta } from './schema/metadata.ts';
export type { EntityRule, Rule } from './schema/rule.ts';
