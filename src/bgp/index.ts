/** BGP-4: messages, session state machine, RIB, filters, update groups. Pure: bytes and clock in, bytes out. */
export * from './errors.ts';
export { CompiledFilter, interfacePattern, REJECTED } from './policy/filter.ts';
export type { Candidate } from './rib/best-path.ts';
export type { Resolution } from './rib/next-hop.ts';
export type { Rib } from './rib/rib.ts';
export { PREFERENCE } from './rib/source.ts';
export * from './router-config.ts';
export type { LocalRoute } from './speaker/local-routes.ts';
export type { PeerTransport } from './speaker/peer-routes.ts';
export { type RibFollower, Speaker, type SpeakerEvent, type SpeakerModules, type SpeakerOptions } from './speaker/speaker.ts';
export { validateRouterConfig } from './speaker/validate.ts';
