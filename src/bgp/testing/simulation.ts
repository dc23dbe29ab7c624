/** For tests: speakers on a network in memory, with a clock that only moves when told. */
import { type Cidr, type Family, type Ip, ip, ipFamily } from '#net';
import type { PeerConfig, RouteSource } from '../router-config.ts';
import type { PeerTransport } from '../speaker/peer-routes.ts';
import { Speaker, type SpeakerEvent } from '../speaker/speaker.ts';

/** One speaker and what it has seen. */
export interface SimulatedRouter {
	readonly address: Ip;
	speaker: Speaker;
	readonly events: SpeakerEvent[];
	/** Open ends of its connections, by peer name. */
	readonly transports: Set<SimulatedTransport>;
	needsWork: boolean;
}

class SimulatedTransport implements PeerTransport {
	readonly localAddress: Ip;
	readonly #network: SimulatedNetwork;
	/** Delivers to the other end. */
	deliver: ((bytes: Uint8Array) => void) | undefined;
	closeOther: ((reason: string) => void) | undefined;
	queuedBytes = 0;
	open = true;
	/** Sees what is sent, the sender's own memory. */
	onSend: ((bytes: Uint8Array) => void) | undefined;

	constructor(network: SimulatedNetwork, localAddress: Ip) {
		this.#network = network;
		this.localAddress = localAddress;
	}

	send(bytes: Uint8Array): void {
		if (!this.open) return;
		this.onSend?.(bytes);
		const copy = bytes.slice();
		this.#network.later(() => this.deliver?.(copy));
	}

	end(): void {
		this.#close('Connection closed');
	}

	abort(): void {
		this.#close('Connection reset');
	}

	#close(reason: string): void {
		if (!this.open) return;
		this.open = false;
		this.#network.later(() => this.closeOther?.(reason));
	}
}

/** Routers that can all reach each other, addresses being names only. */
export class SimulatedNetwork {
	nowMs = 0;
	readonly #routers = new Map<Ip, SimulatedRouter>();
	#queue: (() => void)[] = [];
	/** Pairs of addresses between which nothing gets through. */
	readonly cut = new Set<string>();
	/** Next hops that no router has a way to. */
	readonly unreachable = new Set<Ip>();
	#seed = 1;

	later(action: () => void): void {
		this.#queue.push(action);
	}

	add(address: string, options: { readonly restarting?: boolean } = {}): SimulatedRouter {
		const own = ip(address);
		const router: SimulatedRouter = {
			address: own,
			speaker: undefined as unknown as Speaker,
			events: [],
			transports: new Set(),
			needsWork: false,
		};
		router.speaker = new Speaker(
			{
				now: () => this.nowMs,
				wallClock: () => this.nowMs,
				random: () => this.#random(),
				connect: (peer) => this.later(() => this.#connect(router, peer)),
				cancelConnect: () => undefined,
				resolveNextHop: (nextHop) => (this.unreachable.has(nextHop) ? undefined : { interfaceIndex: 2, gateway: nextHop, metric: 0 }),
				addressBeside: (beside, family) => this.#beside(beside, family),
				wake: () => {
					router.needsWork = true;
				},
				onEvent: (event) => router.events.push(event),
			},
			{ restarting: options.restarting === true, keepsForwarding: true },
		);
		this.#routers.set(own, router);
		return router;
	}

	/** Takes a router away as `kill -9` does: its connections end, its routes are not withdrawn. */
	kill(router: SimulatedRouter): void {
		this.#routers.delete(router.address);
		router.speaker.abandon();
	}

	/** Lets time pass in steps of 100 ms, everything in between included. */
	run(durationMs: number): void {
		const end = this.nowMs + durationMs;
		this.settle();
		while (this.nowMs < end) {
			this.nowMs += 100;
			for (const { speaker } of this.#routers.values()) speaker.tick();
			this.settle();
		}
	}

	/** Delivers and works until nothing is left to do now. */
	settle(): void {
		for (let busy = true; busy; ) {
			busy = false;
			const queue = this.#queue;
			this.#queue = [];
			for (const action of queue) action();
			busy ||= queue.length > 0;
			for (const router of this.#routers.values()) {
				if (!router.needsWork) continue;
				router.needsWork = router.speaker.work();
				busy = true;
			}
		}
	}

	#connect(from: SimulatedRouter, peer: PeerConfig): void {
		const to = this.#routers.get(peer.address);
		const answering = to?.speaker.peerFor(from.address, peer.address);
		if (to === undefined || answering === undefined || this.cut.has(`${from.address} ${peer.address}`)) {
			from.speaker.connectFailed(peer.name, 'Connection refused');
			return;
		}
		const near = new SimulatedTransport(this, from.address);
		const far = new SimulatedTransport(this, to.address);
		near.deliver = (bytes) => to.speaker.received(answering.name, far, bytes);
		far.deliver = (bytes) => from.speaker.received(peer.name, near, bytes);
		near.closeOther = (reason) => to.speaker.closed(answering.name, far, reason);
		far.closeOther = (reason) => from.speaker.closed(peer.name, near, reason);
		from.transports.add(near);
		to.transports.add(far);
		from.speaker.connected(peer.name, near);
		to.speaker.accepted(answering.name, far);
	}

	/** The n-th IPv4 address 10.0.0.n goes with fd00::n. */
	#beside(address: Ip, family: Family): Ip | undefined {
		if (ipFamily(address) === family) return address;
		return family === 6 ? ip(`fd00::${address.split('.')[3]}`) : ip(`10.0.0.${address.split(':').at(-1)}`);
	}

	#random(): number {
		this.#seed = (Math.imul(this.#seed, 1103515245) + 12345) & 0x7fffffff;
		return this.#seed / 0x80000000;
	}
}

/** The best route per prefix: AS_PATH length, next hop and source, in words. */
export function bestRoutes(
	router: SimulatedRouter,
	family: Family,
): Map<Cidr, { nextHop: Ip | undefined; source: RouteSource; from: Ip | undefined }> {
	const rib = router.speaker.ribs[family];
	const routes = new Map<Cidr, { nextHop: Ip | undefined; source: RouteSource; from: Ip | undefined }>();
	for (let prefix = 0; prefix < rib.index.highWater; prefix++) {
		const path = rib.best(prefix);
		if (path < 0) continue;
		const { kind, peer } = rib.sourceOf(path);
		routes.set(rib.index.cidrOf(prefix), { nextHop: rib.attributesOf(path).nextHop?.address, source: kind, from: peer?.address });
	}
	return routes;
}
