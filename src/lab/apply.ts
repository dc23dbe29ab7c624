import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandIo, main as calicoctl, type ManifestDocument, readManifests } from '#calicoctl';
import { explainError } from '#errors';
import { convertKubernetesPolicy } from '#policy';
import { isKubernetesNetworkPolicy, parseKubernetesNetworkPolicy } from '#resources';
import type { Lab } from './lab.ts';

/**
 * Applies a file of Calico resources as `calicoctl apply` does, and of Kubernetes NetworkPolicies as kube-controllers
 * would hand them on.
 *
 * @param file a path, or `-` for standard input
 * @returns the exit status
 */
export async function applyFile(lab: Lab, file: string, io: CommandIo): Promise<number> {
	const documents = await readManifests(file, { recursive: false, readStandardInput: io.readStandardInput });
	const converted = documents.map((document) => (isKubernetesNetworkPolicy(document.value) ? convert(document, io) : document.value));
	// as it is, where nothing is to be converted, for messages that name its lines
	const input = file !== '-' && documents.every(({ value }, index) => value === converted[index]) ? file : '-';
	const readStandardInput = async (): Promise<string> => converted.map((value) => JSON.stringify(value)).join('\n---\n');
	return runCalicoctl(lab, ['apply', '-f', input], { ...io, readStandardInput });
}

/** Runs calicoctl on the lab's datastore, whatever cluster this machine is configured for. */
async function runCalicoctl(lab: Lab, args: readonly string[], io: CommandIo): Promise<number> {
	const config = join(lab.paths.directory, `calicoctl-${process.pid}.cfg`);
	const spec = { datastoreType: 'etcdv3', etcdEndpoints: lab.etcdEndpoint };
	writeFileSync(config, JSON.stringify({ apiVersion: 'projectcalico.org/v3', kind: 'CalicoAPIConfig', metadata: {}, spec }), {
		mode: 0o600,
	});
	try {
		return await calicoctl([...args, '--config', config], io, '');
	} finally {
		rmSync(config, { force: true });
	}
}

function convert({ value, source }: ManifestDocument, io: CommandIo): unknown {
	const policy = parseKubernetesNetworkPolicy(value, { path: `${source.file}:${source.lineOf('')}: ` });
	return convertKubernetesPolicy(policy, (problem) => io.writeError(`${source.file}: ${explainError(problem)}\n`));
}
