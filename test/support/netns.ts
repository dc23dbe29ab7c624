/** Network namespaces for tests, joined by veth pairs. Whatever is made goes away with its {@link NamespaceBed}. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createNamedNamespace, deleteNamedNamespace, inNamespace, type NetworkNamespace, Rtnetlink, writeSysctl } from '#kernel';
import { addressBits, type Cidr, cidr, cidrParts, type Ip, ip, ipFamily, type Mac, splitCidr } from '#net';

const BOOT_PROTOCOL = 3;
const MAIN_TABLE = 254;

/** One network namespace with a name under `/run/netns`; its loopback is up. */
export class TestNamespace implements Disposable {
	readonly name: string;
	readonly fd: number;
	readonly netlink: Rtnetlink;
	readonly #namespace: NetworkNamespace;

	constructor(name: string) {
		this.name = name;
		this.#namespace = createNamedNamespace(name);
		this.fd = this.#namespace.fd;
		this.netlink = new Rtnetlink({ namespaceFd: this.fd });
		this.netlink.changeLink(1, { up: true });
	}

	/** Runs a synchronous function with the thread inside. */
	run<T>(body: () => T): T {
		return inNamespace(this.fd, body);
	}

	/** Runs a program inside; throws with its words if it fails. */
	exec(program: string, ...args: readonly string[]): string {
		const { status, stdout, stderr } = this.run(() => spawnSync(program, args, { encoding: 'utf8' }));
		if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
		return stdout;
	}

	/** Runs a program inside and tells its exit status. */
	status(program: string, ...args: readonly string[]): number | null {
		return this.run(() => spawnSync(program, args)).status;
	}

	sysctl(value: string | number, ...path: readonly string[]): void {
		writeSysctl(['net', ...path], value, this.fd);
	}

	linkIndex(name: string): number {
		const link = this.netlink.findLink(name);
		if (link === undefined) throw new Error(`no interface ${name} in ${this.name}`);
		return link.index;
	}

	/** @param address with its prefix length; host bits are kept */
	addAddress(device: string, address: string): void {
		const parts = splitCidr(address);
		if (parts === undefined) throw new Error(`${address} is no address`);
		const noDad = parts.family === 6 ? { noDad: true } : {};
		this.#apply({ interfaceIndex: this.linkIndex(device), address: parts.address, prefixLength: parts.length, ...noDad });
	}

	/** A route by a gateway, or without one to the link. */
	addRoute(destination: string, device: string, gateway?: string): void {
		const to: Cidr = cidr(destination);
		const isOnLink = gateway === undefined;
		const hop = { interfaceIndex: this.linkIndex(device), ...(isOnLink ? {} : { gateway: ip(gateway), onlink: true }) };
		const failures = this.netlink.applyNow([
			{
				op: 'add',
				route: {
					destination: to,
					table: MAIN_TABLE,
					protocol: BOOT_PROTOCOL,
					metric: cidrParts(to).family === 6 ? 1024 : 0,
					type: 'unicast',
					scope: isOnLink && cidrParts(to).family === 4 ? 'link' : 'universe',
					nextHops: [hop],
				},
			},
		]);
		if (failures.length > 0) throw new Error(`route ${destination} in ${this.name}: ${JSON.stringify(failures)}`);
	}

	[Symbol.dispose](): void {
		this.netlink[Symbol.dispose]();
		this.#namespace[Symbol.dispose]();
		deleteNamedNamespace(this.name);
	}

	#apply(address: { interfaceIndex: number; address: Ip; prefixLength: number; noDad?: boolean }): void {
		const failures = this.netlink.applyNow([{ op: 'add', address }]);
		if (failures.length > 0) throw new Error(`address ${address.address} in ${this.name}: ${JSON.stringify(failures)}`);
	}
}

/** One end of a veth pair. */
export interface VethEnd {
	readonly namespace: TestNamespace;
	readonly name: string;
	readonly mac?: Mac;
}

/** Namespaces with names unique to the run. */
export class NamespaceBed implements Disposable {
	readonly #mark = `tt-${process.pid}-${randomBytes(2).toString('hex')}`;
	readonly #namespaces: TestNamespace[] = [];

	makeNamespace(label: string): TestNamespace {
		const namespace = new TestNamespace(`${this.#mark}-${label}`);
		this.#namespaces.push(namespace);
		return namespace;
	}

	[Symbol.dispose](): void {
		for (const namespace of this.#namespaces.splice(0).reverse()) namespace[Symbol.dispose]();
	}
}

/** Joins two namespaces by a veth pair and brings both ends up, without duplicate address detection. */
export function joinByVeth(near: VethEnd, far: VethEnd): void {
	near.namespace.netlink.createLink({
		kind: 'veth',
		name: near.name,
		...(near.mac === undefined ? {} : { mac: near.mac }),
		peer: { name: far.name, namespaceFd: far.namespace.fd, ...(far.mac === undefined ? {} : { mac: far.mac }) },
	});
	for (const { namespace, name } of [near, far]) {
		namespace.sysctl(0, 'ipv6', 'conf', name, 'accept_dad');
		namespace.netlink.changeLink(namespace.linkIndex(name), { up: true });
	}
}

/** The address as a host prefix, as text. */
export function hostPrefix(address: Ip): string {
	return `${address}/${addressBits(ipFamily(address))}`;
}
