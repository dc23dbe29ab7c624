import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { agreedMatrix, DEFAULT_LAB_OPTIONS, Lab, labError, Progress } from '#lab';
import type { Ip } from '#net';

const TORTIE = join(import.meta.dirname, '../../bin/tortie');
/** Labs are told apart by name, so that tests and a person's lab get along. */
const NAME = `t${process.pid}`;

interface Run {
	readonly status: number | null;
	readonly output: string;
}

function start(args: readonly string[]): { readonly child: ChildProcess; readonly done: Promise<Run> } {
	const child = spawn(process.execPath, [TORTIE, 'lab', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
	let output = '';
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
	return { child, done: once(child, 'close').then(([status]) => ({ status: status as number | null, output })) };
}

const lab = (...args: readonly string[]): Promise<Run> => start(args).done;

function namespaces(name: string): readonly string[] {
	return execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
		.split('\n')
		.filter((line) => line.startsWith(`tortie-${name}-`))
		.map((line) => line.split(' ')[0] as string);
}

async function until(condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 30_000; !condition(); await sleep(10)) assert.ok(Date.now() < end, 'not in time');
}

function assertGone(name: string): void {
	assert.deepEqual(namespaces(name), []);
	assert.ok(!existsSync(`/run/tortie-lab/${name}`));
}

describe('a lab by the command line', () => {
	const name = `${NAME}c`;
	after(() => lab('down', '--name', name));

	test('--check builds a routed cluster of both families, verifies it, and leaves nothing', async () => {
		const { status, output } = await lab('--check', '--fabric', 'routed', '--ip', 'dual', '--name', name);
		assert.equal(status, 0, output);
		assert.match(output, /Who reaches whom[\s\S]+what changed is in brackets[\s\S]+\[\.\]/);
		assert.match(output, /Enforced \d+ (to \d+ )?ms after the write/);
		assert.match(output, /rack-a\n( {4}[0-9a-f:.]+\/\d+ via .*\n){6}/);
		assertGone(name);
	});

	test('a start that is interrupted takes everything away', async () => {
		const { child, done } = start(['--name', name]);
		await until(() => namespaces(name).length > 0);
		child.kill('SIGINT');
		const { status, output } = await done;
		assert.equal(status, 1);
		assert.match(output, /stopped by a signal/);
		assertGone(name);
	});

	test('after a start that was killed, down takes everything away, also what runs inside', async () => {
		const { child, done } = start(['--name', name]);
		await until(() => existsSync(`/run/tortie-lab/${name}/etcd.sock:0`));
		child.kill('SIGKILL');
		await done;
		const [namespace = ''] = namespaces(name);
		const inside = spawn('ip', ['netns', 'exec', namespace, 'sleep', '1000'], { stdio: 'ignore' });
		const ended = once(inside, 'exit');
		await once(inside, 'spawn');
		const { status, output } = await lab('down', '--name', name);
		assert.equal(status, 0, output);
		assertGone(name);
		await ended;
		assert.match((await lab('down', '--name', name)).output, /There was none/);
	});

	test('bad options and a lab that is not there are errors in words', async () => {
		for (const [args, message] of [
			[['--nodes', '0'], /--nodes: "0" is not possible here; allowed: a number from 1 to 16/],
			[['--no-such'], /unknown option '--no-such'/],
			[['status', '--name', name], /there is no lab/],
			[['exec', 'node1', '--name', name], /there is no lab/],
		] as const) {
			const { status, output } = await lab(...args);
			assert.equal(status, 1);
			assert.match(output, message);
		}
	});
});

describe('a lab that is up', () => {
	const progress = new Progress(() => undefined);
	const folder = mkdtempSync(join(tmpdir(), 'tortie-lab-'));
	let up: Lab;
	before(async () => {
		up = await Lab.start({ ...DEFAULT_LAB_OPTIONS, name: NAME, nodes: 2, podsPerNode: 3 }, { progress });
	});
	after(async () => {
		await up.down();
		rmSync(folder, { recursive: true });
		assertGone(NAME);
	});

	test('cannot be started a second time', async () => {
		const { status, output } = await lab('--name', NAME);
		assert.equal(status, 1);
		assert.match(output, /is up already.*lab -- down/);
	});

	test('runs commands on its members and passes their exit status on', async () => {
		const web = up.pod('web-1');
		const shown = await lab('exec', '--name', NAME, 'web-1', '--', 'ip', '-br', 'addr', 'show', 'eth0');
		assert.match(shown.output, new RegExp(`${web.addresses[0]}/32`));
		assert.equal((await lab('exec', '--name', NAME, 'node1', '--', 'sh', '-c', 'exit 7')).status, 7);
		assert.match((await lab('exec', '--name', NAME, 'node1', '--', 'calicoctl', 'node', 'status')).output, /Established/);
		assert.match(
			(await lab('exec', '--name', NAME, 'nobody', '--', 'true')).output,
			/the lab has no "nobody"; allowed: node1, node2, visitor-1/,
		);
		assert.match((await lab('status', '--name', NAME)).output, /node2: ready[\s\S]+shop\/web-1 +node1/);
	});

	test('applies Calico resources and Kubernetes policies, which packets then obey', async () => {
		const file = join(folder, 'policies.yaml');
		writeFileSync(
			file,
			[
				'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: guest}\nspec: {podSelector: {}, policyTypes: [Ingress]}',
				'apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: {selector: app == "web", ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}]}',
			].join('\n---\n'),
		);
		const { status, output } = await lab('apply', '--name', NAME, '-f', file);
		assert.equal(status, 0, output);
		const matrix = await agreedMatrix(up);
		const reached = matrix.pods.filter((_, column) => matrix.cells.some((row) => (row[column]?.length ?? 0) > 0)).map(({ name }) => name);
		assert.deepEqual(reached, ['client-1', 'client-2']);

		writeFileSync(
			file,
			'apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: {order: first}',
		);
		const refused = await lab('apply', '--name', NAME, '-f', file);
		assert.equal(refused.status, 1);
		assert.match(refused.output, /policies\.yaml:4: spec\.order/);
		for (const [namespace, name] of [
			['guest', 'knp.default.closed'],
			['shop', 'web'],
		] as const)
			await up.client.resources.delete('NetworkPolicy', { namespace, name });
	});

	test('gets new pods and loses old ones', async () => {
		const pod = await up.addPod({ namespace: 'shop', name: 'late', node: 'node2', labels: { app: 'late' } });
		const target = { address: pod.addresses[0] as Ip, port: 81, protocol: 'udp' } as const;
		assert.equal((await up.probe(up.pod('visitor-1'), target, 5000)).outcome, 'open');
		await up.removePod(pod);
		assert.throws(
			() => up.pod('late'),
			(error) => labError.is(error, 'LAB_UNKNOWN_MEMBER'),
		);
		assert.equal((await up.probe(up.pod('visitor-1'), target, 300)).outcome, 'lost');
	});

	test('survives the loss of a node process and of etcd', async () => {
		const target = { address: up.pod('web-2').addresses[0] as Ip, port: 80, protocol: 'tcp' } as const;
		await up.killNode('node2');
		assert.equal((await up.probe(up.pod('visitor-1'), target, 5000)).outcome, 'open');
		await up.startNode('node2');
		await up.waitForNodes(['node2']);
		await up.killEtcd();
		assert.equal((await up.probe(up.pod('visitor-1'), target, 5000)).outcome, 'open');
		await up.startEtcd();
		await up.waitForNodes(['node1', 'node2']);
		await up.waitForRoutes();
		await agreedMatrix(up);
	});
});
