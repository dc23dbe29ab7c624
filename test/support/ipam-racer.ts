/**
 * A process that assigns and releases addresses for some hosts, as their agents would, and finally prints what they hold:
 * `node ipam-racer.ts ENDPOINT ROUNDS HOST…`. It fails if an address that it was given is somebody else's.
 */
import assert from 'node:assert/strict';
import { Client, EtcdBackend, systemClock } from '#datastore';
import { Ipam } from '#ipam';
import type { Ip } from '#net';

const [endpoint = '', rounds = '', ...hosts] = process.argv.slice(2);
await using backend = new EtcdBackend({ random: Math.random }, { endpoints: [endpoint] });
const client = new Client({ backend, clock: systemClock });
const ipam = new Ipam({ client, clock: systemClock, random: Math.random });
const held: Record<Ip, string> = {};

await Promise.all(
	hosts.map(async (host) => {
		const handles: string[] = [];
		for (let round = 0; round < Number(rounds); round++) {
			if (handles.length > 0 && Math.random() < 0.45) {
				const handleId = handles.splice(Math.floor(Math.random() * handles.length), 1)[0] as string;
				for (const [address, holder] of Object.entries(held)) if (holder === handleId) delete held[address as Ip];
				await ipam.releaseByHandle(handleId);
				if (Math.random() < 0.2) await ipam.releaseHost(host);
				continue;
			}
			const handleId = `net.${host}.${round}`;
			const attributes = { node: host };
			const count = 1 + Math.floor(Math.random() * 4);
			const { 4: result } = await ipam.autoAssign({ host, counts: { 4: count }, intendedUse: 'Workload', handleId, attributes });
			for (const { address } of result?.addresses ?? []) {
				assert.equal((await ipam.assignmentOf(address))?.handleId, handleId, `${address} is ${host}'s`);
				assert.equal(held[address], undefined);
				held[address] = handleId;
			}
			handles.push(handleId);
		}
	}),
);
console.log(JSON.stringify(held));
