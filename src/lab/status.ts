import { explainError } from '#errors';
import type { Lab } from './lab.ts';
import { learnedRoutes } from './routes.ts';

/** Nodes with their BGP sessions, and pods, as text. */
export async function describeStatus(lab: Lab): Promise<string> {
	const { plan } = lab;
	const { name, fabric, ip, backend } = plan.options;
	const lines = [
		`Lab "${name}": ${plan.nodes.length} nodes, ${fabric}, IP ${ip}, routes by ${backend}; logs in ${lab.paths.logsDirectory}`,
		'',
		'Processes:',
	];
	for (const [role, { pid, running }] of lab.processes())
		lines.push(`  ${role.padEnd(8)} ${running ? `running, PID ${pid}` : 'NOT running'}`);
	lines.push('', 'Nodes:');
	for (const node of plan.nodes) lines.push(...(await describeNode(lab, node.name)));
	lines.push('', 'Pods:');
	for (const pod of lab.pods) {
		const labels = Object.entries(pod.labels).map(([key, value]) => `${key}=${value}`);
		lines.push(
			`  ${`${pod.namespace}/${pod.name}`.padEnd(20)} ${pod.node.padEnd(8)} ${pod.addresses.join(' ').padEnd(18)} ${labels.join(' ')}`,
		);
	}
	return `${lines.join('\n')}\n`;
}

async function describeNode(lab: Lab, name: string): Promise<readonly string[]> {
	const routes = `${learnedRoutes(lab.node(name).namespace, lab.plan.families).length} routes by BGP`;
	try {
		const { ready, reason, bgp, policy, problems } = await lab.nodeStatus(name);
		return [
			`  ${name}: ${ready ? 'ready' : `not ready: ${reason}`}, ${policy?.localEndpoints ?? 0} endpoints, ${policy?.localPolicies ?? 0} policies, ${routes}`,
			...(bgp?.peers ?? []).map(
				(peer) => `    BGP ${peer.address} AS ${peer.asNumber}: ${peer.state}${peer.info === '' ? '' : ` (${peer.info})`}`,
			),
			...problems.map(({ subject, message }) => `    problem: ${subject}: ${message}`),
		];
	} catch (error) {
		return [`  ${name}: ${explainError(error)}; ${routes}`];
	}
}
