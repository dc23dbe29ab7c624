import { defineErrors } from '#errors';

export const ctlError = defineErrors({
	CTL_USAGE: 'The words of the command line are off.',
	CTL_UNKNOWN_KIND: 'A word on the command line is no kind of resource.',
	CTL_NO_FILE: 'A file or directory that was named can not be read.',
	CTL_BAD_YAML: 'A file is neither YAML nor JSON.',
	CTL_BAD_DOCUMENT: 'A document in a file is not a resource.',
	CTL_EMPTY: 'The files that were named hold no resource.',
	CTL_OUT_OF_DATE: 'The resource version in the file is not the latest one in the datastore.',
	CTL_NO_NODE: 'No calico-node answers on this machine.',
});
