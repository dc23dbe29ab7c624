import { defineErrors } from '#errors';

export const dataplaneError = defineErrors({
	DATAPLANE_BAD_OPTION: 'An option of the dataplane has a value that cannot be rendered.',
	DATAPLANE_APPLY_FAILED:
		'The kernel refused the table by difference and as a whole; the last good one stays in force, and writing is tried again.',
	DATAPLANE_UNSTABLE_LISTING: 'Other programs changed nf_tables again and again while our table was read; reading is tried again.',
	DATAPLANE_CLOSED: 'The dataplane was closed by its owner.',
});
