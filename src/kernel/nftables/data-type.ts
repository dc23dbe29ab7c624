export type SetKeyType =
	| 'ipv4_addr'
	| 'ipv6_addr'
	| 'ether_addr'
	| 'inet_proto'
	| 'inet_service'
	| 'icmp_type'
	| 'icmp_code'
	| 'icmpv6_type'
	| 'icmpv6_code'
	| 'mark'
	| 'ifname'
	| 'dscp';

export type SetDataType = SetKeyType | 'verdict';
