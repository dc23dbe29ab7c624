/** The BGP daemon: `#bgp` on real sockets, the kernel's routing table, the control socket. */
export { Bgpd, type BgpdModules, type BgpdOptions } from './bgpd.ts';
export * from './errors.ts';
export type { Log } from './log.ts';
