/** The operator's command line. */
export { main } from './cli.ts';
export type { CommandIo } from './io.ts';
export { type DocumentSource, type ManifestDocument, readManifests } from './manifest.ts';
