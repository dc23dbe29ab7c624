import { compareIp } from '#net';
import type { AttributeSet } from '../attributes/attribute-set.ts';
import { PREFERENCE, type Source } from './source.ts';

/** A path as route selection sees it. */
export interface Candidate {
	readonly attributes: AttributeSet;
	readonly source: Source;
}

/** Whether a path may be used: its next hop has to be reachable (RFC 4271 §9.1.2). */
export function isEligible(attributes: AttributeSet): boolean {
	return attributes.nextHop === undefined || attributes.nextHop.resolution !== undefined;
}

/** Negative if `a` wins by the steps before MED: preference, LOCAL_PREF, AS_PATH length, ORIGIN. */
function compareBeforeMed(a: Candidate, b: Candidate): number {
	return (
		PREFERENCE[b.source.kind] - PREFERENCE[a.source.kind] ||
		b.attributes.localPreference - a.attributes.localPreference ||
		a.attributes.asPathLength - b.attributes.asPathLength ||
		a.attributes.origin - b.attributes.origin
	);
}

/** Negative if `a` wins by the steps that two paths of a multipath route share: eBGP over iBGP, then cost of the next hop. */
function compareAfterMed(a: Candidate, b: Candidate): number {
	return (isInternal(a) ? 1 : 0) - (isInternal(b) ? 1 : 0) || igpMetric(a) - igpMetric(b);
}

/** Negative if `a` wins by the tie-breakers: router ID or ORIGINATOR_ID, CLUSTER_LIST length, peer address, path identifier. */
function compareTieBreakers(a: Candidate, b: Candidate): number {
	return (
		routerId(a) - routerId(b) ||
		a.attributes.clusterListLength - b.attributes.clusterListLength ||
		compareAddresses(a, b) ||
		a.source.pathId - b.source.pathId ||
		a.source.id - b.source.id
	);
}

/** RFC 4271 §9.1.2.2 c: MED only decides between paths of the same neighbouring AS. */
function losesByMed(path: Candidate, other: Candidate): boolean {
	return (
		path.source.kind === 'bgp' &&
		other.source.kind === 'bgp' &&
		path.attributes.neighborAs === other.attributes.neighborAs &&
		path.attributes.med > other.attributes.med
	);
}

/**
 * The best of some paths, by RFC 4271 §9.1.2 in BIRD's order. MED is weighed before later steps and between all paths at once, so
 * that the outcome does not depend on the order of arrival.
 *
 * @returns position of the best path; -1 if none is eligible
 */
export function selectBest(paths: readonly Candidate[]): number {
	let leader: Candidate | undefined;
	for (const path of paths) if (isEligible(path.attributes) && (leader === undefined || compareBeforeMed(path, leader) < 0)) leader = path;
	if (leader === undefined) return -1;
	const equal: number[] = [];
	for (const [index, path] of paths.entries()) if (isEligible(path.attributes) && compareBeforeMed(path, leader) === 0) equal.push(index);
	let best = -1;
	for (const index of equal) {
		const path = paths[index] as Candidate;
		if (equal.some((other) => losesByMed(path, paths[other] as Candidate))) continue;
		const current = paths[best];
		if (current === undefined || (compareAfterMed(path, current) || compareTieBreakers(path, current)) < 0) best = index;
	}
	return best;
}

/** Whether a path is as good as the best one up to the cost of its next hop, so that traffic may be shared between both. */
export function isMultipath(path: Candidate, best: Candidate): boolean {
	return (
		isEligible(path.attributes) &&
		path.source.kind === 'bgp' &&
		best.source.kind === 'bgp' &&
		compareBeforeMed(path, best) === 0 &&
		!losesByMed(path, best) &&
		!losesByMed(best, path) &&
		compareAfterMed(path, best) === 0
	);
}

function isInternal(path: Candidate): boolean {
	return path.source.peer?.external === false;
}

function igpMetric(path: Candidate): number {
	return path.attributes.nextHop?.resolution?.metric ?? 0;
}

/** RFC 4456 §9: ORIGINATOR_ID stands in for the router ID. */
function routerId(path: Candidate): number {
	return path.attributes.originatorId === 0 ? (path.source.peer?.routerId ?? 0) : path.attributes.originatorId;
}

function compareAddresses(a: Candidate, b: Candidate): number {
	const left = a.source.peer;
	const right = b.source.peer;
	return left === undefined || right === undefined || left === right ? 0 : compareIp(left.address, right.address);
}
