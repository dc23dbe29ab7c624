/** A cluster of network namespaces on one machine, for people to try and for tests to use. */
export { main } from './cli.ts';
export { measureEnforcement } from './enforcement.ts';
export { labError } from './errors.ts';
export { Lab, type LabModules } from './lab.ts';
export { DEFAULT_LAB_OPTIONS, type LabOptions, type PodSpec } from './plan.ts';
export { Progress } from './progress.ts';
export type { PodRecord } from './state.ts';
export { agreedMatrix } from './tour.ts';
