import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostInterfaceName } from './workload-endpoint.ts';
import {
	splitWorkloadEndpointName,
	type WorkloadEndpointId,
	workloadEndpointName,
	workloadEndpointNamePrefix,
} from './workload-endpoint-name.ts';

const segment = fc.stringMatching(/^[a-z0-9](?:[-a-z0-9.]{0,8}[a-z0-9])?$/);
const anyId: fc.Arbitrary<WorkloadEndpointId> = fc.record({
	node: segment,
	orchestrator: fc.constantFrom('k8s', 'cni', 'openstack'),
	pod: segment,
	containerID: segment,
	workload: segment,
	endpoint: segment,
});

test('an endpoint is named by node, orchestrator, workload and interface, dashes doubled', () => {
	const node = 'node-1';
	const endpoint = 'eth0';
	assert.equal(workloadEndpointName({ node, orchestrator: 'k8s', pod: 'pod-name', endpoint }), 'node--1-k8s-pod--name-eth0');
	assert.equal(workloadEndpointName({ node, orchestrator: 'cni', containerID: '4c1f', pod: 'x', endpoint }), 'node--1-cni-4c1f-eth0');
	assert.equal(workloadEndpointName({ node, orchestrator: 'libnetwork', endpoint }), 'node--1-libnetwork-libnetwork-eth0');
	assert.equal(workloadEndpointName({ node, orchestrator: 'openstack', workload: 'vm', endpoint }), 'node--1-openstack-vm-eth0');
});

test('a name that could not be taken apart is not made', () => {
	const good = { node: 'n', orchestrator: 'k8s', pod: 'p', endpoint: 'e' };
	for (const bad of [{ node: '' }, { node: '-n' }, { pod: 'p-' }, { pod: undefined }, { endpoint: '-' }]) {
		assert.equal(workloadEndpointName({ ...good, ...bad }), undefined);
	}
});

test('a name is taken apart into what it was made of', () => {
	fc.assert(
		fc.property(anyId, (id) => {
			const name = workloadEndpointName(id);
			const workload = { k8s: id.pod, cni: id.containerID, openstack: id.workload }[id.orchestrator];
			assert.deepEqual(splitWorkloadEndpointName(name as string), {
				node: id.node,
				orchestrator: id.orchestrator,
				workload,
				endpoint: id.endpoint,
			});
		}),
	);
});

test('what is no name of an endpoint is not taken apart', () => {
	for (const text of ['', '-', 'a-b-c', 'a-b-c-d-e', '-a-b-c', 'a-b-c-', 'a---b-c-d-e', 'a-b-c---d', 'a--b--c--d'])
		assert.equal(splitWorkloadEndpointName(text), undefined, text);
	fc.assert(
		fc.property(fc.string({ unit: fc.constantFrom('-', 'a', '.'), maxLength: 20 }), (text) => {
			const parts = splitWorkloadEndpointName(text);
			if (parts !== undefined) assert.equal(workloadEndpointName(parts.orchestrator === '' ? { ...parts, node: '' } : parts), text);
		}),
	);
});

test('the prefix of a node or a workload begins all its names', () => {
	assert.equal(workloadEndpointNamePrefix({ node: 'node-1' }), 'node--1-');
	assert.equal(workloadEndpointNamePrefix({ node: 'node-1', orchestrator: 'k8s' }), 'node--1-k8s-');
	assert.equal(workloadEndpointNamePrefix({ node: 'node-1', orchestrator: 'k8s', pod: 'web-1' }), 'node--1-k8s-web--1-');
	assert.equal(workloadEndpointNamePrefix({ node: 'n-' }), undefined);
	fc.assert(
		fc.property(anyId, ({ endpoint: _endpoint, ...id }) => {
			const name = workloadEndpointName({ ...id, endpoint: 'eth0' }) as string;
			assert.ok(name.startsWith(workloadEndpointNamePrefix(id) as string));
			assert.ok(name.startsWith(workloadEndpointNamePrefix({ node: id.node }) as string));
		}),
	);
});

test("a pod's interface on the host has the name that Calico gives it", () => {
	assert.equal(hostInterfaceName('namespace', 'podname'), 'cali82111e10a96');
	assert.equal(hostInterfaceName('namespace', 'podname', 'eni'), 'eni82111e10a96');
	assert.ok(hostInterfaceName('n'.repeat(63), 'p'.repeat(253)).length <= 15);
});
