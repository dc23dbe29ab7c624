import type { CallOptions, Client, Clock, IpamConfig } from '#datastore';
import { Affinities } from './affinities.ts';
import { readConfig } from './config.ts';
import { Handles } from './handles.ts';
import { type Pool, poolsOf } from './pools.ts';
import { Reservations } from './reservations.ts';

export interface IpamModules {
	readonly client: Client;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

/** What every operation of address management stands on. */
export class Context {
	readonly client: Client;
	readonly clock: Clock;
	readonly random: () => number;
	readonly affinities: Affinities;
	readonly handles: Handles;

	constructor({ client, clock, random }: IpamModules) {
		this.client = client;
		this.clock = clock;
		this.random = random;
		this.affinities = new Affinities({ backend: client.backend, clock });
		this.handles = new Handles({ backend: client.backend, clock, random });
	}

	get backend(): Client['backend'] {
		return this.client.backend;
	}

	config(options?: CallOptions): Promise<IpamConfig> {
		return readConfig(this.backend, options);
	}

	/** All pools, disabled ones too; a stored pool that is invalid gives no addresses. */
	async pools(options?: CallOptions): Promise<readonly Pool[]> {
		return poolsOf((await this.client.resources.list('IPPool', {}, options)).items);
	}

	async reservations(options?: CallOptions): Promise<Reservations> {
		const { items } = await this.client.resources.list('IPReservation', {}, options);
		return new Reservations(items.flatMap(({ spec }) => spec.reservedCIDRs ?? []));
	}
}
