import { defineErrors } from '#errors';

export const confdError = defineErrors({
	CONFD_BIRD_REFUSED: 'BIRD does not accept the rendered configuration file.',
	CONFD_BIRD_UNAVAILABLE: 'BIRD cannot be reached on its control socket, or the `bird` program cannot be started.',
	CONFD_BIRD_REPLY: 'BIRD answered a control command with an error or with something that is not a reply.',
	CONFD_BIRD_FILE: 'The configuration file of BIRD cannot be written.',
});
