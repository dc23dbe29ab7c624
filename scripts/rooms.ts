/** The floors of the house: a room imports only rooms on a lower floor. */
export const FLOORS: Readonly<Record<string, number>> = {
	errors: 0,
	net: 1,
	selector: 2,
	resources: 3,
	policy: 4,
	bgp: 4,
	kernel: 4,
	datastore: 5,
	ipam: 6,
	dataplane: 6,
	felix: 7,
	bgpd: 7,
	confd: 7,
	cni: 7,
	'node-api': 7,
	node: 8,
	calicoctl: 8,
	lab: 9,
};

/** Rooms without I/O: clock, randomness and everything from outside come in as arguments. */
export const PURE_ROOMS: readonly string[] = ['errors', 'net', 'selector', 'resources', 'policy', 'bgp'];
