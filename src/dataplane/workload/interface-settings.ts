import { hasErrno, readSysctl, type SysctlPath, writeSysctls } from '#kernel';

/** Writes the kernel settings that workloads depend on, in one network namespace. */
export class InterfaceSettings {
	readonly #namespaceFd: number | undefined;
	#defaultReversePathFilter: string | undefined;
	#hasIpv6: boolean | undefined;

	constructor(namespaceFd: number | undefined) {
		this.#namespaceFd = namespaceFd;
	}

	/**
	 * Makes the host a router. Only what differs is written: writing `ip_forward`, even the same value, resets the
	 * settings of every interface.
	 *
	 * @throws KERNEL_SYSTEM_CALL
	 */
	enableForwarding(): void {
		const paths: SysctlPath[] = [['net', 'ipv4', 'ip_forward']];
		if (this.#ipv6()) paths.push(['net', 'ipv6', 'conf', 'all', 'forwarding']);
		const off = paths.filter((path) => readSysctl(path, this.#namespaceFd) !== '1');
		writeSysctls(
			off.map((path) => [path, 1]),
			this.#namespaceFd,
		);
	}

	/**
	 * Prepares a workload's interface: the host answers for every address (the workload's gateway is none of its own),
	 * forwards, and takes no router advertisements.
	 *
	 * @param mayUseOtherSources the workload may send from addresses that are not routed to it
	 * @throws KERNEL_SYSTEM_CALL, with `found` ENOENT when the interface is gone
	 */
	prepare(interfaceName: string, mayUseOtherSources: boolean): void {
		const ipv4 = (name: string): SysctlPath => ['net', 'ipv4', 'conf', interfaceName, name];
		const ipv6 = (name: string): SysctlPath => ['net', 'ipv6', 'conf', interfaceName, name];
		this.#defaultReversePathFilter ??= readSysctl(['net', 'ipv4', 'conf', 'default', 'rp_filter'], this.#namespaceFd);
		const settings: [SysctlPath, string | number][] = [
			[ipv4('route_localnet'), 1],
			[['net', 'ipv4', 'neigh', interfaceName, 'proxy_delay'], 0],
			[ipv4('proxy_arp'), 1],
			[ipv4('forwarding'), 1],
			[ipv4('rp_filter'), mayUseOtherSources ? 0 : this.#defaultReversePathFilter],
		];
		if (this.#ipv6()) settings.push([ipv6('proxy_ndp'), 1], [ipv6('forwarding'), 1], [ipv6('accept_ra'), 0]);
		writeSysctls(settings, this.#namespaceFd);
	}

	/** A host may have been started without IPv6. */
	#ipv6(): boolean {
		if (this.#hasIpv6 !== undefined) return this.#hasIpv6;
		try {
			readSysctl(['net', 'ipv6', 'conf', 'all', 'forwarding'], this.#namespaceFd);
			this.#hasIpv6 = true;
		} catch (error) {
			if (!hasErrno(error, 'ENOENT')) throw error;
			this.#hasIpv6 = false;
		}
		return this.#hasIpv6;
	}
}
