/** A node with pods and a host beyond it, all namespaces, as the CNI plugin leaves them. */
import { hostCidr, type Ip, ip, ipFamily, type Mac } from '#net';
import { hostPrefix, joinByVeth, NamespaceBed, type TestNamespace } from './netns.ts';

/** The MAC of the node's end of every pod's veth pair, and the link-local address that comes of it. */
const HOST_MAC = 'ee:ee:ee:ee:ee:ee' as Mac;
const HOST_LINK_LOCAL = 'fe80::ecee:eeff:feee:eeee';
const GATEWAY = '169.254.1.1';

export const NODE_ADDRESS = '172.16.0.1';
export const NODE_ADDRESS6 = 'fd16::1';
export const OUTSIDE_ADDRESS = '172.16.0.2';
export const OUTSIDE_ADDRESS6 = 'fd16::2';

export interface Pod {
	readonly namespace: TestNamespace;
	readonly interfaceName: string;
	readonly addresses: readonly Ip[];
	readonly mac: Mac;
}

export class PodBed implements Disposable {
	readonly #bed = new NamespaceBed();
	readonly node: TestNamespace;
	/** Beyond the node's uplink, with routes to all pods. */
	readonly outside: TestNamespace;
	#pods = 0;

	constructor() {
		this.node = this.#bed.makeNamespace('node');
		this.outside = this.#bed.makeNamespace('outside');
		joinByVeth({ namespace: this.node, name: 'eth0' }, { namespace: this.outside, name: 'eth0' });
		this.node.addAddress('eth0', `${NODE_ADDRESS}/24`);
		this.node.addAddress('eth0', `${NODE_ADDRESS6}/64`);
		this.outside.addAddress('eth0', `${OUTSIDE_ADDRESS}/24`);
		this.outside.addAddress('eth0', `${OUTSIDE_ADDRESS6}/64`);
		// proxy ARP answers only for what is routed elsewhere: without this route pods would not find their gateway
		this.node.addRoute('0.0.0.0/0', 'eth0', OUTSIDE_ADDRESS);
		this.node.addRoute('::/0', 'eth0', OUTSIDE_ADDRESS6);
		this.outside.addRoute('10.65.0.0/16', 'eth0', NODE_ADDRESS);
		this.outside.addRoute('fd65::/64', 'eth0', NODE_ADDRESS6);
	}

	/** Makes a pod, with 10.65.0.N and fd65::N if not told otherwise, without a route to it on the node. */
	addPod(label: string, given?: readonly Ip[]): Pod {
		const number = ++this.#pods + 1;
		const addresses = given ?? [ip(`10.65.0.${number}`), ip(`fd65::${number}`)];
		const namespace = this.#bed.makeNamespace(label);
		const interfaceName = `cali${label}`;
		const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac;
		joinByVeth({ namespace: this.node, name: interfaceName, mac: HOST_MAC }, { namespace, name: 'eth0', mac });
		for (const address of addresses) namespace.addAddress('eth0', hostPrefix(address));
		namespace.addRoute(hostCidr(ip(GATEWAY)), 'eth0');
		namespace.addRoute('0.0.0.0/0', 'eth0', GATEWAY);
		namespace.addRoute('::/0', 'eth0', HOST_LINK_LOCAL);
		return { namespace, interfaceName, addresses, mac };
	}

	[Symbol.dispose](): void {
		this.#bed[Symbol.dispose]();
	}
}

/** The pod's address of a family. */
export function addressOf(pod: Pod, family: 4 | 6): Ip {
	return pod.addresses.find((address) => ipFamily(address) === family) as Ip;
}
