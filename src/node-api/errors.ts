import { defineErrors } from '#errors';

export const nodeApiError = defineErrors({
	NODE_API_UNAVAILABLE: 'The node does not answer on its socket: it is not running here, or not with these directories.',
	NODE_API_REFUSED: 'The node could not answer a request; the message says why.',
});
