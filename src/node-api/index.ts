/** The node's API: its types, and a client for those on the same host. */
export { askNode } from './client.ts';
export { nodeApiError } from './errors.ts';
export * from './types.ts';
