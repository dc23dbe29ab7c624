/** The dynamic configuration manager: what the cluster's BGP configuration means for this node's daemon, kept up to date. */
export { birdCommand } from './bird/control.ts';
export { renderBird } from './bird/render.ts';
export { BirdSink } from './bird/sink.ts';
export { Confd } from './confd.ts';
export type { ConfigProblem } from './problem.ts';
export { secretFiles } from './secrets.ts';
export type { RouterSink } from './sink.ts';
