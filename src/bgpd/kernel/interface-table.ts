import { interfacePattern } from '#bgp';
import type { Address, Link, RtEvent } from '#kernel';
import { type Cidr, cidrOf, type Family, hostCidr, type Ip, ipFamily, PrefixTable } from '#net';

/** A network that a device is connected to. */
export interface ConnectedNetwork {
	readonly prefix: Cidr;
	readonly interface: string;
	readonly interfaceIndex: number;
}

/** Devices and addresses as the kernel has them, and the networks that follow from them. */
export class InterfaceTable {
	readonly #links = new Map<number, Link>();
	readonly #addresses = new Map<string, Address>();
	#ignored: readonly RegExp[] = [];
	#connected = new PrefixTable<ConnectedNetwork>();
	#own = new Set<Ip>();

	/** Starts anew. */
	load(links: readonly Link[], addresses: readonly Address[]): void {
		this.#links.clear();
		this.#addresses.clear();
		for (const link of links) this.#links.set(link.index, link);
		for (const address of addresses) this.#addresses.set(addressKey(address), address);
		this.#rebuild();
	}

	/** Patterns of interfaces whose networks do not count. */
	ignore(patterns: readonly string[]): void {
		this.#ignored = patterns.map(interfacePattern);
		this.#rebuild();
	}

	/** Takes changes over; says whether any of them can matter. */
	change(events: readonly RtEvent[]): boolean {
		let matters = false;
		for (const event of events) {
			if (event.kind === 'link') {
				const { link } = event;
				const old = this.#links.get(link.index);
				if (event.change === 'delete') this.#links.delete(link.index);
				else this.#links.set(link.index, link);
				matters ||= event.change === 'delete' || old?.running !== link.running || old.up !== link.up || old.name !== link.name;
			} else if (event.kind === 'address') {
				if (event.change === 'delete') this.#addresses.delete(addressKey(event.address));
				else this.#addresses.set(addressKey(event.address), event.address);
				matters = true;
			}
		}
		if (matters) this.#rebuild();
		return matters;
	}

	nameOf(interfaceIndex: number | undefined): string | undefined {
		return interfaceIndex === undefined ? undefined : this.#links.get(interfaceIndex)?.name;
	}

	isUp(interfaceIndex: number): boolean {
		const link = this.#links.get(interfaceIndex);
		return link?.up === true && link.running;
	}

	isOwn(address: Ip): boolean {
		return this.#own.has(address);
	}

	/** The networks of devices that are up; the device with the lowest index counts where several share one. */
	networks(): Iterable<{ readonly prefix: Cidr; readonly value: ConnectedNetwork }> {
		return this.#connected;
	}

	/** The connected network that holds an address. */
	networkOf(address: Ip): { readonly prefix: Cidr; readonly value: ConnectedNetwork } | undefined {
		return this.#connected.longestMatch(address);
	}

	/** A global address of a family on the device that has the given address. */
	addressBeside(address: Ip, family: Family): Ip | undefined {
		const all = [...this.#addresses.values()];
		const device = all.find((candidate) => candidate.address === address)?.interfaceIndex;
		const fitting = all.filter(
			(candidate) => ipFamily(candidate.address) === family && candidate.interfaceIndex === device && isUsable(candidate),
		);
		return (fitting.find(({ secondary }) => secondary !== true) ?? fitting[0])?.address;
	}

	#rebuild(): void {
		this.#own = new Set([...this.#addresses.values()].map(({ address }) => address));
		this.#connected = new PrefixTable();
		for (const address of this.#addresses.values()) {
			const link = this.#links.get(address.interfaceIndex);
			if (link === undefined || !this.isUp(link.index) || !isUsable(address)) continue;
			if (this.#ignored.some((pattern) => pattern.test(link.name))) continue;
			const prefix = address.peer === undefined ? cidrOf(address.address, address.prefixLength) : hostCidr(address.peer);
			const known = this.#connected.get(prefix);
			if (known !== undefined && known.interfaceIndex <= link.index) continue;
			this.#connected.set(prefix, { prefix, interface: link.name, interfaceIndex: link.index });
		}
	}
}

function addressKey({ interfaceIndex, address, prefixLength, peer }: Address): string {
	return `${interfaceIndex} ${address}/${prefixLength} ${peer ?? ''}`;
}

/** Neither limited to the host or link nor doubtful. */
function isUsable({ scope, tentative, dadFailed }: Address): boolean {
	return (scope ?? 'universe') !== 'host' && scope !== 'link' && scope !== 'nowhere' && tentative !== true && dadFailed !== true;
}
