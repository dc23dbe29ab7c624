import { defineErrors } from '#errors';

export const selectorError = defineErrors({
	SELECTOR_SYNTAX: 'A text is not a selector; the message says at which character and what was expected there.',
});
