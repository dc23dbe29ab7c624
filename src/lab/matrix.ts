import { type Family, type Ip, ipFamily } from '#net';
import type { Lab } from './lab.ts';
import type { PodRecord } from './state.ts';

/** The port and protocol that the matrix is about. */
export const MATRIX_PORT = 80;
/** Long enough for a second SYN, which TCP sends after a second. */
const PROBE_LIMIT_MS = 1500;

/** Who reaches whom: `from` and `to` are positions among the pods. */
export interface Matrix {
	readonly pods: readonly PodRecord[];
	readonly families: readonly Family[];
	/** Per sender, per receiver: the families by which it gets through; undefined for the pod itself. */
	readonly cells: readonly (readonly (readonly Family[] | undefined)[])[];
}

/** Asks for every pair and family whether a connection gets through. */
export type Reaches = (from: PodRecord, to: PodRecord, source: Ip, destination: Ip) => Promise<boolean> | boolean;

export async function fillMatrix(pods: readonly PodRecord[], families: readonly Family[], reaches: Reaches): Promise<Matrix> {
	const cell = async (from: PodRecord, to: PodRecord): Promise<readonly Family[] | undefined> => {
		if (from === to) return undefined;
		const tried = await Promise.all(
			families.map(async (family) => {
				const [source, destination] = [from, to].map(({ addresses }) => addresses.find((address) => ipFamily(address) === family));
				return source !== undefined && destination !== undefined && (await reaches(from, to, source, destination)) ? family : undefined;
			}),
		);
		return tried.filter((family) => family !== undefined);
	};
	return { pods, families, cells: await Promise.all(pods.map((from) => Promise.all(pods.map((to) => cell(from, to))))) };
}

/** Tries every pair with TCP packets. */
export function measureMatrix(lab: Lab): Promise<Matrix> {
	return fillMatrix(lab.pods, lab.plan.families, async (from, _to, _source, address) => {
		const { outcome } = await lab.probe(from, { address, port: MATRIX_PORT, protocol: 'tcp' }, PROBE_LIMIT_MS);
		return outcome === 'open';
	});
}

/** Pairs that differ, in words; empty if the matrices say the same. */
export function differences(expected: Matrix, found: Matrix): readonly string[] {
	return expected.pods.flatMap((from, row) =>
		expected.pods.flatMap((to, column) => {
			const [wanted, got] = [expected, found].map(({ cells }) => cells[row]?.[column]?.join(' and IPv'));
			return wanted === got ? [] : [`${nameOf(from)} → ${nameOf(to)}: ${describe(got)}, expected ${describe(wanted)}`];
		}),
	);
}

/** Whether the pair of positions is the same in both. */
export function isSameCell(a: Matrix, b: Matrix, row: number, column: number): boolean {
	return a.cells[row]?.[column]?.join() === b.cells[row]?.[column]?.join();
}

/**
 * The matrix as text: `+` gets through, `.` does not, `4` or `6` by that family only; what is other than before stands
 * in brackets.
 */
export function formatMatrix(matrix: Matrix, before?: Matrix): string {
	const width = Math.max(...matrix.pods.map((pod) => nameOf(pod).length + pod.node.length + 3));
	const label = (pod: PodRecord, index: number): string =>
		`${String(index + 1).padStart(4)} ${`${nameOf(pod)} (${pod.node})`.padEnd(width)}`;
	const heading = `${' '.repeat(width + 5)}${matrix.pods.map((_, index) => String(index + 1).padStart(4)).join('')}`;
	const rows = matrix.pods.map((pod, row) => {
		const cells = matrix.pods.map((_, column) => {
			const sign = signOf(matrix, row, column);
			return before === undefined || isSameCell(before, matrix, row, column) ? `   ${sign}` : `[${sign}]`.padStart(4);
		});
		return `${label(pod, row)}${cells.join('')}`;
	});
	return [heading, ...rows].map((line) => line.trimEnd()).join('\n');
}

function signOf({ cells, families }: Matrix, row: number, column: number): string {
	const got = cells[row]?.[column];
	if (got === undefined) return '-';
	if (got.length === families.length) return '+';
	return got.length === 0 ? '.' : String(got[0]);
}

function nameOf({ namespace, name }: PodRecord): string {
	return `${namespace}/${name}`;
}

function describe(families: string | undefined): string {
	return families === undefined || families === '' ? 'nothing gets through' : `IPv${families} gets through`;
}
