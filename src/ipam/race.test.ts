import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryBackend } from '#datastore';
import { type Cidr, cidr, cidrContainsIp, type Ip } from '#net';
import { ipamError } from './errors.ts';
import { allocationsOf, checkIntegrity, makeCluster } from './testing.ts';

const HOSTS = ['h1', 'h2', 'h3'] as const;
const POOL = cidr('10.0.0.0/28');

type Step =
	| { readonly type: 'auto-assign'; readonly count: number }
	| { readonly type: 'assign'; readonly ordinal: number }
	| { readonly type: 'release-by-handle' }
	| { readonly type: 'release-address' }
	| { readonly type: 'release-host' }
	| { readonly type: 'release-empty-blocks' }
	| { readonly type: 'time-passes' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
	{ weight: 6, arbitrary: fc.record({ type: fc.constant('auto-assign' as const), count: fc.integer({ min: 1, max: 6 }) }) },
	{ weight: 2, arbitrary: fc.record({ type: fc.constant('assign' as const), ordinal: fc.nat(15) }) },
	{ weight: 3, arbitrary: fc.record({ type: fc.constant('release-by-handle' as const) }) },
	{ weight: 2, arbitrary: fc.record({ type: fc.constant('release-address' as const) }) },
	{ weight: 1, arbitrary: fc.record({ type: fc.constant('release-host' as const) }) },
	{ weight: 2, arbitrary: fc.record({ type: fc.constant('release-empty-blocks' as const) }) },
	{ weight: 1, arbitrary: fc.record({ type: fc.constant('time-passes' as const) }) },
);

for (const [title, configure] of [
	['hosts that race never share an address, and lose no block', {}],
	['the same with strict affinity and a cool-down', { strictAffinity: true, ipCooldownSeconds: 30 }],
] as const)
	test(title, async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.scheduler(),
				fc.tuple(...HOSTS.map(() => fc.array(anyStep, { minLength: 1, maxLength: 6 }))),
				async (scheduler, programs) => {
					let isRacing = false;
					const backend = new MemoryBackend({ before: async () => (isRacing ? scheduler.schedule(Promise.resolve()) : undefined) });
					const { ipam, clock } = await makeCluster(backend, HOSTS, { pool: { cidr: POOL, blockSize: 30 } });
					await ipam.setConfig(configure);
					const held = new Map<Ip, string>();
					const hold = (address: Ip, handleId: string): void => {
						assert.equal(held.get(address), undefined, `${address} is given out twice`);
						assert.ok(cidrContainsIp(POOL, address));
						held.set(address, handleId);
					};
					const run = async (host: string, steps: readonly Step[]): Promise<void> => {
						const mine: string[] = [];
						for (const [index, step] of steps.entries()) {
							const handleId = `${host}.${index}`;
							try {
								await perform(host, handleId, step, mine);
							} catch (error) {
								if (!ipamError.is(error)) throw error;
							}
						}
					};
					const perform = async (host: string, handleId: string, step: Step, mine: string[]): Promise<void> => {
						switch (step.type) {
							case 'auto-assign': {
								const owner = { handleId, attributes: { node: host } };
								const result = await ipam.autoAssign({ host, counts: { 4: step.count }, intendedUse: 'Workload', ...owner });
								for (const { address } of result[4]?.addresses ?? []) hold(address, handleId);
								mine.push(handleId);
								return;
							}
							case 'assign': {
								const address = `10.0.0.${step.ordinal}` as Ip;
								await ipam.assign({ address, host, handleId });
								hold(address, handleId);
								mine.push(handleId);
								return;
							}
							case 'release-by-handle': {
								const handle = mine.pop();
								if (handle === undefined) return;
								// from here on the addresses may be anybody's
								for (const [address, holder] of held) if (holder === handle) held.delete(address);
								await ipam.releaseByHandle(handle);
								return;
							}
							case 'release-address': {
								const own = [...held].find(([, holder]) => holder.startsWith(`${host}.`));
								if (own === undefined) return;
								held.delete(own[0]);
								await ipam.release([{ address: own[0], handleId: own[1] }]);
								return;
							}
							case 'release-host':
								return ipam.releaseHost(host);
							case 'release-empty-blocks':
								return ipam.releasePool(POOL);
							case 'time-passes':
								return clock.advance(61_000);
							default:
								return step satisfies never;
						}
					};
					isRacing = true;
					await scheduler.waitFor(Promise.all(HOSTS.map((host, index) => run(host, programs[index] as Step[]))));
					isRacing = false;
					await checkIntegrity(backend);
					const stored = new Map((await allocationsOf(backend)).map(({ address, handleId }) => [address, handleId ?? '']));
					assert.deepEqual(stored, held, 'what is stored is what the hosts hold');
				},
			),
			{ numRuns: 150 },
		);
	});

test('a block that is given up while it is taken up is either gone or whole', async () => {
	await fc.assert(
		fc.asyncProperty(fc.scheduler(), fc.boolean(), async (scheduler, leavesWhole) => {
			let isRacing = false;
			const backend = new MemoryBackend({ before: async () => (isRacing ? scheduler.schedule(Promise.resolve()) : undefined) });
			const { ipam, clock } = await makeCluster(backend, HOSTS, { pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
			await ipam.ensureBlock(4, { host: 'h1', intendedUse: 'Workload' });
			clock.advance(61_000);
			const assign = async (host: string): Promise<number> => {
				const result = await ipam.autoAssign({ host, counts: { 4: 2 }, intendedUse: 'Workload', handleId: host });
				return result[4]?.addresses.length ?? 0;
			};
			isRacing = true;
			const racing = Promise.all([
				assign('h1'),
				leavesWhole ? ipam.releaseHost('h1') : ipam.releasePool(cidr('10.0.0.0/30')),
				assign('h2'),
			]);
			await scheduler.waitFor(racing);
			isRacing = false;
			await checkIntegrity(backend);
			const [first, , second] = await racing;
			assert.equal((await allocationsOf(backend)).length, first + second);
		}),
		{ numRuns: 400 },
	);
});

test('a crash between any two writes is repaired by whoever comes next', async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.nat(60),
			fc.array(fc.constantFrom('assign', 'release', 'leave'), { minLength: 1, maxLength: 6 }),
			async (crashAfter, steps) => {
				let writes = Number.POSITIVE_INFINITY;
				const backend = new MemoryBackend({
					before: async (call) => {
						if (call !== 'create' && call !== 'update' && call !== 'delete') return;
						if (writes-- <= 0) throw new Crash();
					},
				});
				const { ipam } = await makeCluster(backend, HOSTS, { pool: { cidr: POOL, blockSize: 30 } });
				writes = crashAfter;
				try {
					for (const [index, step] of steps.entries()) {
						if (step === 'assign') await ipam.autoAssign({ host: 'h1', counts: { 4: 3 }, intendedUse: 'Workload', handleId: `x.${index}` });
						else if (step === 'release') await ipam.releaseByHandle(`x.${index - 1}`);
						else await ipam.releaseHost('h1');
					}
				} catch (error) {
					if (!(error instanceof Crash)) throw error;
				}
				writes = Number.POSITIVE_INFINITY;
				for (let index = 0; index < steps.length; index++) await ipam.releaseByHandle(`x.${index}`);
				// nothing is lost: the whole pool can still be had by the host that crashed
				const result = await ipam.autoAssign({ host: 'h1', counts: { 4: 16 }, intendedUse: 'Workload', handleId: 'after' });
				assert.equal(result[4]?.addresses.length, 16);
				assert.deepEqual(new Set((await ipam.ipsByHandle('after')).map((address) => blockOf(address))).size, 4);
			},
		),
		{ numRuns: 300 },
	);
});

class Crash extends Error {}

function blockOf(address: Ip): Cidr {
	return cidr(`${address}/30`);
}
