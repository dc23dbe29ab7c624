import { defineErrors } from '#errors';

export const netError = defineErrors({
	NET_BAD_ADDRESS: 'A text is not an IPv4 or IPv6 address.',
	NET_BAD_PREFIX: 'A text is not an IPv4 or IPv6 prefix in CIDR notation.',
	NET_BAD_MAC: 'A text is not a 48-bit MAC address.',
});
