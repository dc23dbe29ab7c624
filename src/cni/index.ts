/** The agent's side of the CNI plugin: ADD, DEL, CHECK, STATUS and GC for the containers of one node. */
export type { AgentReadiness } from './agent.ts';
export { CniServer } from './server.ts';
