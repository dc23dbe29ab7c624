import { setTimeout as sleep } from 'node:timers/promises';
import { hasErrno, TcpConnection } from '#kernel';
import { type Family, type Ip, ipFamily } from '#net';
import { openUdpSocket } from './udp-socket.ts';

export interface ProbeTarget {
	readonly address: Ip;
	readonly port: number;
	readonly protocol: 'tcp' | 'udp';
}

export interface ProbeResult {
	/** `open`: answered; `refused`: the other host said no; `lost`: nothing came back in time. */
	readonly outcome: 'open' | 'refused' | 'lost';
	/** The address that the server saw, if it said. */
	readonly seenAs: string | undefined;
	readonly ms: number;
}

/** UDP has no retransmission of its own. */
const UDP_REPEAT_MS = 250;

/** Tries once, as a new flow, to get an answer. */
export async function probeFrom(namespaceFd: number, target: ProbeTarget, limitMs: number): Promise<ProbeResult> {
	const started = performance.now();
	const { outcome, seenAs } = await (target.protocol === 'tcp' ? probeTcp : probeUdp)(namespaceFd, target, limitMs);
	return { outcome, seenAs, ms: performance.now() - started };
}

type Outcome = Pick<ProbeResult, 'outcome' | 'seenAs'>;

function probeTcp(namespaceFd: number, { address, port }: ProbeTarget, limitMs: number): Promise<Outcome> {
	const { promise, resolve } = Promise.withResolvers<Outcome>();
	const buffer = new Uint8Array(256);
	let connected = false;
	let said = '';
	try {
		TcpConnection.connect({ namespaceFd, remote: { address, port }, connectTimeoutMs: limitMs }, buffer, {
			onConnected: () => {
				connected = true;
			},
			onData: (length) => {
				said += new TextDecoder().decode(buffer.subarray(0, length));
			},
			onWritable: () => undefined,
			onClosed: (reason) => {
				if (connected) resolve({ outcome: 'open', seenAs: said });
				else
					resolve({ outcome: reason.kind === 'error' && hasErrno(reason.error, 'ECONNREFUSED') ? 'refused' : 'lost', seenAs: undefined });
			},
		});
	} catch {
		// no route, no address of the family: nothing gets there
		resolve({ outcome: 'lost', seenAs: undefined });
	}
	return promise;
}

async function probeUdp(namespaceFd: number, { address, port }: ProbeTarget, limitMs: number): Promise<Outcome> {
	const family: Family = ipFamily(address);
	using stack = new DisposableStack();
	const socket = stack.adopt(openUdpSocket(namespaceFd, family, 0), (one) => one.close());
	let result: Outcome = { outcome: 'lost', seenAs: undefined };
	const answered = new AbortController();
	socket.on('error', () => undefined);
	socket.on('message', (data) => {
		result = { outcome: 'open', seenAs: data.toString() };
		answered.abort();
	});
	for (const end = performance.now() + limitMs; performance.now() < end && !answered.signal.aborted; ) {
		socket.send('probe', port, address, () => undefined);
		await sleep(Math.min(UDP_REPEAT_MS, limitMs), undefined, { signal: answered.signal }).catch(() => undefined);
	}
	return result;
}
