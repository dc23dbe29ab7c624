import { randomBytes } from 'node:crypto';
import { API_VERSION, BUILT_IN_TIERS, type ClusterInformation, type Tier } from '#resources';
import type { Clock } from '../clock.ts';
import { datastoreError } from '../errors.ts';
import type { Backend, CallOptions, ResourceKey } from '../types.ts';
import { newIdentity } from './metadata.ts';

export interface ClusterIdentity {
	/** Of the software that writes, such as `v3.32.0`. */
	readonly version?: string | undefined;
	/** Items to be added to the cluster's type, separated by commas. */
	readonly clusterType?: string | undefined;
}

interface Modules {
	readonly backend: Backend;
	readonly clock: Clock;
}

const MAX_TRIES = 5;

export async function ensureInitialized(modules: Modules, identity: ClusterIdentity, options?: CallOptions): Promise<void> {
	await ensureClusterInformation(modules, identity, options);
	for (const name of Object.keys(BUILT_IN_TIERS) as (keyof typeof BUILT_IN_TIERS)[]) await ensureTier(modules, name, options);
}

/** Creates one of the tiers that every cluster has, if it is missing. */
export async function ensureTier({ backend, clock }: Modules, name: keyof typeof BUILT_IN_TIERS, options?: CallOptions): Promise<void> {
	const tier: Tier = { apiVersion: API_VERSION, kind: 'Tier', metadata: newIdentity({ name }, clock), spec: BUILT_IN_TIERS[name] };
	try {
		await backend.create({ type: 'resource', kind: 'Tier', name }, tier, options);
	} catch (error) {
		if (!datastoreError.is(error, 'DATASTORE_EXISTS')) throw error;
	}
}

async function ensureClusterInformation({ backend, clock }: Modules, identity: ClusterIdentity, options?: CallOptions): Promise<void> {
	const key: ResourceKey = { type: 'resource', kind: 'ClusterInformation', name: 'default' };
	for (let tries = 1; ; tries++) {
		try {
			const current = await backend.get(key, options).catch((error: unknown) => {
				if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
				throw error;
			});
			if (current === undefined) {
				const created: ClusterInformation = {
					apiVersion: API_VERSION,
					kind: 'ClusterInformation',
					metadata: newIdentity({ name: 'default' }, clock),
					spec: completed({}, identity),
				};
				await backend.create(key, created, options);
				return;
			}
			const information = current.value as ClusterInformation;
			const spec = completed(information.spec, identity);
			if (JSON.stringify(spec) !== JSON.stringify(information.spec))
				await backend.update(key, { ...information, spec }, current.revision, options);
			return;
		} catch (error) {
			const raced = datastoreError.is(error) && ['DATASTORE_EXISTS', 'DATASTORE_CONFLICT', 'DATASTORE_NOT_FOUND'].includes(error.code);
			if (!raced || tries >= MAX_TRIES) throw error;
		}
	}
}

function completed(spec: ClusterInformation['spec'], { version, clusterType }: ClusterIdentity): ClusterInformation['spec'] {
	const types = (spec.clusterType ?? '').split(',').filter((item) => item !== '');
	for (const item of (clusterType ?? '').split(',')) if (item !== '' && !types.includes(item)) types.push(item);
	return {
		...spec,
		clusterGUID: spec.clusterGUID === undefined || spec.clusterGUID === '' ? randomBytes(16).toString('hex') : spec.clusterGUID,
		...(types.length === 0 ? {} : { clusterType: types.join(',') }),
		...(version === undefined || version === '' ? {} : { calicoVersion: version }),
		datastoreReady: spec.datastoreReady ?? true,
	};
}
