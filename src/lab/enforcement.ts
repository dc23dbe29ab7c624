import { setTimeout as sleep } from 'node:timers/promises';
import { type Ip, ipFamily } from '#net';
import { labError } from './errors.ts';
import type { Lab } from './lab.ts';
import { MATRIX_PORT } from './matrix.ts';
import type { PodRecord } from './state.ts';
import { openUdpSocket } from './udp-socket.ts';

/** A pair that a change of policy cuts. */
export interface CutPair {
	readonly from: PodRecord;
	readonly to: PodRecord;
	readonly address: Ip;
}

/** Every probe is a flow of its own, since flows that were allowed once stay so. */
const PROBE_EVERY_MS = 1;
/** More would take the processor from what is measured. */
const MAX_PAIRS = 3;
const RUN_UP_MS = 200;
/** A pair is cut when nothing that was sent during this time came back. */
const SILENCE_MS = 300;
const LIMIT_MS = 15_000;

interface Flow {
	readonly sentMs: number;
	answered: boolean;
}

/**
 * Makes a change and measures by packets when it is enforced: one new flow each millisecond per pair.
 *
 * @param pairs that the change cuts; some of them are watched
 * @param change the write to the datastore
 * @returns per watched pair the milliseconds from the start of the write to the first packet that was stopped
 * @throws LAB_TIMEOUT if a pair is never cut
 */
export async function measureEnforcement(lab: Lab, pairs: readonly CutPair[], change: () => Promise<unknown>): Promise<readonly number[]> {
	const watched = spread(pairs, MAX_PAIRS).map((pair) => ({ pair, flows: [] as Flow[] }));
	const stop = new AbortController();
	const probing = Promise.all(watched.map(({ pair, flows }) => keepProbing(lab, pair, flows, stop.signal)));
	try {
		await sleep(RUN_UP_MS);
		for (const { pair, flows } of watched)
			if (!flows.some(({ answered }) => answered))
				throw labError('LAB_CHECK_FAILED', { message: `${pair.from.name} does not reach ${pair.to.name} by UDP before the policy` });
		const writtenMs = performance.now();
		await change();
		for (const end = performance.now() + LIMIT_MS; watched.some(({ flows }) => !isSilent(flows)); await sleep(20))
			if (performance.now() > end) throw labError('LAB_TIMEOUT', { message: `the policy is not enforced after ${LIMIT_MS / 1000} s` });
		return watched.map(({ flows }) => {
			const last = flows.findLastIndex(({ answered }) => answered);
			return Math.max(0, (flows[last + 1]?.sentMs ?? performance.now()) - writtenMs);
		});
	} finally {
		stop.abort();
		await probing;
	}
}

function isSilent(flows: readonly Flow[]): boolean {
	const lastAnswered = flows.findLast(({ answered }) => answered)?.sentMs ?? 0;
	return performance.now() - lastAnswered > SILENCE_MS;
}

async function keepProbing(lab: Lab, { from, address }: CutPair, flows: Flow[], signal: AbortSignal): Promise<void> {
	const namespaceFd = lab.namespaceFd(from.netns);
	while (!signal.aborted) {
		const socket = openUdpSocket(namespaceFd, ipFamily(address), nextPort());
		const flow: Flow = { sentMs: performance.now(), answered: false };
		const timer = setTimeout(() => socket.close(), SILENCE_MS);
		socket.on('message', () => {
			flow.answered = true;
			clearTimeout(timer);
			socket.close();
		});
		// a port that is taken makes no flow
		socket.on('error', () => flows.splice(flows.indexOf(flow), 1));
		flows.push(flow);
		socket.send('probe', MATRIX_PORT, address, () => undefined);
		await sleep(PROBE_EVERY_MS);
	}
}

const FIRST_PORT = 1024;
const LAST_PORT = 65_535;
let lastPort = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/**
 * Source ports in turn. The kernel would choose at random, and soon take one again whose flow was allowed before and
 * so, by connection tracking, still is.
 */
function nextPort(): number {
	lastPort = lastPort >= LAST_PORT ? FIRST_PORT : lastPort + 1;
	return lastPort;
}

/** Some of a list, from all over it. */
function spread<T>(items: readonly T[], count: number): readonly T[] {
	if (items.length <= count) return items;
	return Array.from({ length: count }, (_, index) => items[Math.floor((index * items.length) / count)] as T);
}
