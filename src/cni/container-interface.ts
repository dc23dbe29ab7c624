import { setTimeout as sleep } from 'node:timers/promises';
import { hasErrno, type Link, type Route, Rtnetlink, type RtOperation, readSysctl, type SysctlPath, writeSysctls } from '#kernel';
import { type Cidr, cidrFamily, cidrParts, type Ip, type Mac } from '#net';
import { cniError } from './errors.ts';

/** The host's end of every pair has this address, so that its IPv6 link-local address is known beforehand. */
const HOST_MAC = 'ee:ee:ee:ee:ee:ee' as Mac;
/** EUI-64 of {@link HOST_MAC} (RFC 4291 appendix A). */
const HOST_LINK_LOCAL = 'fe80::ecee:eeff:feee:eeee' as Ip;
/** No interface has it; the host answers ARP for it by proxy_arp. */
const IPV4_GATEWAY = '169.254.1.1' as Ip;

const MAIN_TABLE = 254;
const PROTOCOL_BOOT = 3;
/** What the agent gives the routes of workloads, so that it finds nothing to change; IPv6's default, too. */
const HOST_ROUTE_METRIC = 1024;

/** How long the kernel may take to switch the pair on after both ends are up; its own limit is a second (`net/core/link_watch.c`). */
const CARRIER_LIMIT_MS = 3000;

/** The host's network namespace. */
export interface HostNetwork {
	readonly netlink: Rtnetlink;
	/** Descriptor of the namespace; the agent's own if absent. */
	readonly namespaceFd?: number;
}

/** A pair of interfaces that connects a container to its host, with what the container sees of the network. */
export interface ContainerInterface {
	/** Name of the host's end. */
	readonly hostName: string;
	/** Name of the container's end. */
	readonly ifName: string;
	readonly mtu: number;
	/** Host prefixes. */
	readonly addresses: readonly Cidr[];
	readonly allowIpForwarding: boolean;
	/** Descriptor of the container's network namespace. */
	readonly namespaceFd: number;
}

/**
 * Makes the pair, its addresses, routes and sysctls, and replaces a pair of that name which an earlier container left.
 * Takes away what it made when it fails.
 *
 * @returns the container's end
 * @throws CNI_BAD_ENVIRONMENT if the container has such an interface already; errors of `#kernel`
 */
export async function createContainerInterface(
	host: HostNetwork,
	wanted: ContainerInterface,
	signal: AbortSignal,
): Promise<{ readonly mac: Mac }> {
	using container = new Rtnetlink({ namespaceFd: wanted.namespaceFd });
	removeHostInterface(host, wanted.hostName);
	refuseForeign(container, wanted.ifName);
	const { netlink } = host;
	netlink.createLink({
		kind: 'veth',
		name: wanted.hostName,
		mac: HOST_MAC,
		mtu: wanted.mtu,
		peer: { name: wanted.ifName, mtu: wanted.mtu, namespaceFd: wanted.namespaceFd },
	});
	try {
		const hostLink = requireLink(netlink, wanted.hostName, 'on the host');
		const link = requireLink(container, wanted.ifName, 'in the container');
		writeSysctls(hostSysctls(wanted.hostName, hasFamily(wanted, 6)), host.namespaceFd);
		writeSysctls(containerSysctls(wanted), wanted.namespaceFd);
		container.changeLink(link.index, { up: true });
		netlink.changeLink(hostLink.index, { up: true });
		applyAll(netlink, hostOperations(wanted, hostLink.index), wanted.hostName);
		applyAll(container, containerOperations(wanted, link.index), wanted.ifName);
		await waitForCarrier(netlink, container, hostLink.index, link.index, signal);
		return { mac: link.mac as Mac };
	} catch (error) {
		removeHostInterface(host, wanted.hostName);
		throw error;
	}
}

/** Removes a container's host end, and with it the other end and the routes of both. @returns false if there was none */
export function removeHostInterface({ netlink }: HostNetwork, name: string): boolean {
	const link = netlink.findLink(name);
	if (link === undefined) return false;
	if (link.kind !== 'veth')
		throw cniError('CNI_FAILED', {
			message: `the host has an interface ${name} of kind ${link.kind ?? 'hardware'}, which is not a container's`,
			path: name,
			hint: 'rename or remove it',
		});
	return removeLink(netlink, link);
}

/** Removes the container's end inside its namespace. @returns false if there was none */
export function removeContainerEnd(namespaceFd: number, ifName: string): boolean {
	using container = new Rtnetlink({ namespaceFd });
	const link = container.findLink(ifName);
	return link?.kind === 'veth' && removeLink(container, link);
}

/** What differs between the kernel and what ADD had set up, in words; nothing when all is well. */
export function inspectContainerInterface(
	{ netlink: host, namespaceFd: hostFd }: HostNetwork,
	wanted: ContainerInterface,
): readonly string[] {
	using container = new Rtnetlink({ namespaceFd: wanted.namespaceFd });
	const problems: string[] = [];
	const hostLink = host.findLink(wanted.hostName);
	const link = container.findLink(wanted.ifName);
	if (hostLink === undefined) problems.push(`the host has no interface ${wanted.hostName}`);
	else if (!hostLink.up) problems.push(`the interface ${wanted.hostName} of the host is down`);
	if (link === undefined) problems.push(`the container has no interface ${wanted.ifName}`);
	else if (!link.up) problems.push(`the interface ${wanted.ifName} of the container is down`);
	if (hostLink === undefined || link === undefined) return problems;
	if (hostLink.linkIndex !== link.index || link.linkIndex !== hostLink.index)
		problems.push(`${wanted.hostName} is not the other end of the container's ${wanted.ifName}`);

	const held = new Set(
		container.listAddresses({ interfaceIndex: link.index }).map(({ address, prefixLength }) => `${address}/${prefixLength}`),
	);
	for (const address of wanted.addresses) if (!held.has(address)) problems.push(`the container lacks the address ${address}`);
	for (const { route } of routesOf(containerOperations(wanted, link.index)))
		if (!hasRoute(container, route)) problems.push(`the container lacks the route to ${route.destination}`);
	for (const { route } of routesOf(hostOperations(wanted, hostLink.index)))
		if (!hasRoute(host, route)) problems.push(`the host lacks the route to ${route.destination} by ${wanted.hostName}`);
	for (const [path, value] of hostSysctls(wanted.hostName, hasFamily(wanted, 6))) {
		const found = readSysctl(path, hostFd);
		if (found !== String(value)) problems.push(`${path.join('/')} is ${found} on the host, not ${value}`);
	}
	return problems;
}

function hostSysctls(name: string, ipv6: boolean): readonly (readonly [SysctlPath, number])[] {
	const ipv4: readonly (readonly [SysctlPath, number])[] = [
		[['net', 'ipv4', 'conf', name, 'route_localnet'], 1],
		[['net', 'ipv4', 'conf', name, 'proxy_arp'], 1],
		[['net', 'ipv4', 'conf', name, 'forwarding'], 1],
		// answers for 169.254.1.1 at once: the default holds them back for up to 0.8 s
		[['net', 'ipv4', 'neigh', name, 'proxy_delay'], 0],
	];
	if (!ipv6) return ipv4;
	return [
		...ipv4,
		[['net', 'ipv6', 'conf', name, 'disable_ipv6'], 0],
		[['net', 'ipv6', 'conf', name, 'accept_dad'], 0],
		[['net', 'ipv6', 'conf', name, 'accept_ra'], 0],
		[['net', 'ipv6', 'conf', name, 'proxy_ndp'], 1],
		[['net', 'ipv6', 'conf', name, 'forwarding'], 1],
	];
}

function containerSysctls(wanted: ContainerInterface): readonly (readonly [SysctlPath, number])[] {
	const forwarding = wanted.allowIpForwarding ? 1 : 0;
	const ipv4: readonly (readonly [SysctlPath, number])[] = [[['net', 'ipv4', 'ip_forward'], forwarding]];
	if (!hasFamily(wanted, 6)) return ipv4;
	return [
		...ipv4,
		// runtimes make namespaces with IPv6 off
		[['net', 'ipv6', 'conf', 'all', 'disable_ipv6'], 0],
		[['net', 'ipv6', 'conf', 'default', 'disable_ipv6'], 0],
		[['net', 'ipv6', 'conf', wanted.ifName, 'disable_ipv6'], 0],
		[['net', 'ipv6', 'conf', wanted.ifName, 'accept_dad'], 0],
		[['net', 'ipv6', 'conf', 'all', 'forwarding'], forwarding],
	];
}

function hostOperations({ addresses }: ContainerInterface, interfaceIndex: number): readonly RtOperation[] {
	const operations: RtOperation[] = [];
	// the kernel adds it too, but only once the pair has carrier, and not with every addr_gen_mode
	if (hasFamily({ addresses }, 6))
		operations.push({ op: 'replace', address: { interfaceIndex, address: HOST_LINK_LOCAL, prefixLength: 64, scope: 'link', noDad: true } });
	for (const destination of addresses) operations.push({ op: 'add', route: linkRoute(destination, interfaceIndex, HOST_ROUTE_METRIC) });
	return operations;
}

function containerOperations({ addresses }: ContainerInterface, interfaceIndex: number): readonly RtOperation[] {
	const operations: RtOperation[] = addresses.map((prefix) => {
		const { address, length } = cidrParts(prefix);
		return { op: 'add', address: { interfaceIndex, address, prefixLength: length, ...(cidrFamily(prefix) === 6 ? { noDad: true } : {}) } };
	});
	if (hasFamily({ addresses }, 4)) {
		operations.push({ op: 'add', route: linkRoute(`${IPV4_GATEWAY}/32` as Cidr, interfaceIndex) });
		operations.push({ op: 'add', route: defaultRoute('0.0.0.0/0' as Cidr, IPV4_GATEWAY, interfaceIndex) });
	}
	if (hasFamily({ addresses }, 6)) operations.push({ op: 'add', route: defaultRoute('::/0' as Cidr, HOST_LINK_LOCAL, interfaceIndex) });
	return operations;
}

function linkRoute(destination: Cidr, interfaceIndex: number, ipv4Metric = 0): Route {
	const ipv6 = cidrFamily(destination) === 6;
	return {
		destination,
		table: MAIN_TABLE,
		protocol: PROTOCOL_BOOT,
		metric: ipv6 ? HOST_ROUTE_METRIC : ipv4Metric,
		type: 'unicast',
		// IPv6 routes have no scope of their own; the kernel lists them as universe
		scope: ipv6 ? 'universe' : 'link',
		nextHops: [{ interfaceIndex }],
	};
}

function defaultRoute(destination: Cidr, gateway: Ip, interfaceIndex: number): Route {
	return { ...linkRoute(destination, interfaceIndex), scope: 'universe', nextHops: [{ gateway, interfaceIndex }] };
}

function applyAll(netlink: Rtnetlink, operations: readonly RtOperation[], interfaceName: string): void {
	const failure = netlink.applyNow(operations)[0];
	if (failure === undefined) return;
	const operation = operations[failure.index] as RtOperation;
	const what = 'route' in operation ? `the route to ${operation.route.destination}` : `the address of ${interfaceName}`;
	const taken = failure.errno === 'EEXIST' && 'route' in operation;
	throw cniError('CNI_FAILED', {
		message: `${what} by ${interfaceName} was refused: ${failure.message ?? failure.errno}`,
		path: interfaceName,
		found: failure.errno,
		...(taken ? { hint: `another interface has that route: look at "ip route show ${operation.route.destination}"` } : {}),
	});
}

function routesOf(operations: readonly RtOperation[]): readonly { readonly route: Route }[] {
	return operations.filter((operation) => 'route' in operation);
}

/** Whether the destination is reached by that device; the owner and metric may be the agent's by now. */
function hasRoute(netlink: Rtnetlink, wanted: Route): boolean {
	const interfaceIndex = wanted.nextHops[0]?.interfaceIndex as number;
	return netlink
		.listRoutes({ family: cidrFamily(wanted.destination), table: MAIN_TABLE, interfaceIndex })
		.some((route) => route.destination === wanted.destination && route.nextHops[0]?.gateway === wanted.nextHops[0]?.gateway);
}

function hasFamily({ addresses }: Pick<ContainerInterface, 'addresses'>, family: 4 | 6): boolean {
	return addresses.some((address) => cidrFamily(address) === family);
}

function requireLink(netlink: Rtnetlink, name: string, where: string): Link {
	const link = netlink.findLink(name);
	if (link === undefined)
		throw cniError('CNI_FAILED', { message: `the interface ${name} ${where} vanished while it was set up`, path: name });
	return link;
}

function refuseForeign(container: Rtnetlink, ifName: string): void {
	if (container.findLink(ifName) === undefined) return;
	throw cniError('CNI_BAD_ENVIRONMENT', {
		message: `the container has an interface ${ifName} already, from somebody else`,
		path: 'CNI_IFNAME',
		found: ifName,
		hint: 'choose another name, or remove that interface',
	});
}

function removeLink(netlink: Rtnetlink, link: Link): boolean {
	try {
		netlink.deleteLink(link.index);
		return true;
	} catch (error) {
		// its namespace may be taking it away at this moment
		if (hasErrno(error, 'ENODEV')) return false;
		throw error;
	}
}

/** A pair drops packets until the kernel has noticed its carrier, which it may do a second late if both ends have the same index. */
async function waitForCarrier(host: Rtnetlink, container: Rtnetlink, hostIndex: number, index: number, signal: AbortSignal): Promise<void> {
	for (let waitedMs = 0, stepMs = 1; ; waitedMs += stepMs, stepMs = Math.min(stepMs * 2, 50)) {
		if (host.findLink(hostIndex)?.running === true && container.findLink(index)?.running === true) return;
		if (waitedMs > CARRIER_LIMIT_MS)
			throw cniError('CNI_FAILED', { message: `the interface pair did not come up within ${CARRIER_LIMIT_MS} ms` });
		await sleep(stepMs, undefined, { signal });
	}
}
