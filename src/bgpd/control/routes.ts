import { type Candidate, PREFERENCE, type Rib } from '#bgp';
import type { ReplyLine } from './reply.ts';

const ORIGINS = ['i', 'e', '?'] as const;

/** The lines of `show route` for a prefix, in the one-line form of BIRD 1.x. */
export function showPrefix(rib: Rib, prefix: number, timeText: string, interfaceName: (index: number) => string | undefined): ReplyLine[] {
	const hasBest = rib.best(prefix) >= 0;
	const net = rib.index.cidrOf(prefix);
	return rib.paths(prefix).map((path, position) => {
		const from = path.source.peer === undefined ? '' : ` from ${path.source.peer.address}`;
		const primary = position === 0 && hasBest ? ' *' : '';
		const head = position === 0 ? net : '';
		const origin = `[${protocolName(path)} ${timeText}${from}]`;
		return { code: 1007, text: `${head.padEnd(18)} ${via(path, interfaceName)} ${origin}${primary}${preference(path)}` };
	});
}

function via({ attributes, source }: Candidate, interfaceName: (index: number) => string | undefined): string {
	if (source.kind === 'originated') return 'blackhole';
	if (source.interface !== undefined) return `dev ${source.interface}`;
	const way = attributes.nextHop?.resolution;
	return way === undefined ? 'unreachable' : `via ${way.gateway} on ${interfaceName(way.interfaceIndex) ?? way.interfaceIndex}`;
}

function protocolName({ source }: Candidate): string {
	if (source.peer !== undefined) return source.peer.name;
	if (source.kind === 'direct') return 'direct1';
	return source.kind === 'kernel' ? 'kernel1' : 'static1';
}

function preference({ attributes, source }: Candidate): string {
	if (source.kind !== 'bgp') return ` (${PREFERENCE[source.kind]})`;
	const metric = attributes.nextHop?.resolution?.metric;
	const as = attributes.neighborAs === 0 ? '' : `AS${attributes.neighborAs}`;
	return ` (${PREFERENCE.bgp}/${metric ?? '?'}) [${as}${ORIGINS[attributes.origin as 0 | 1 | 2]}]`;
}
