import { z } from 'zod';
import { isLabelValue, isQualifiedName, LABEL_VALUE_ALLOWED, QUALIFIED_NAME_ALLOWED } from '../fields/names.ts';
import type { Report } from '../problem.ts';
import { anyText, flag, naturalNumber } from './field.ts';
import type { ReadonlyDeep } from './readonly.ts';

const textMap = z.record(z.string(), z.string());

export const metadataSchema = z.object({
	name: anyText,
	namespace: anyText.optional(),
	generateName: anyText.optional(),
	labels: textMap.optional(),
	annotations: textMap.optional(),
	uid: anyText.optional(),
	/** Of etcd the revision of the key's last change, of Kubernetes its own; a decimal text, never compared as a number. */
	resourceVersion: anyText.optional(),
	/** RFC 3339, in whole seconds. */
	creationTimestamp: anyText.optional(),
	deletionTimestamp: anyText.optional(),
	deletionGracePeriodSeconds: naturalNumber.optional(),
	generation: naturalNumber.optional(),
	finalizers: z.array(anyText).optional(),
	ownerReferences: z
		.array(
			z.object({
				apiVersion: anyText,
				kind: anyText,
				name: anyText,
				uid: anyText,
				controller: flag.optional(),
				blockOwnerDeletion: flag.optional(),
			}),
		)
		.optional(),
	managedFields: z.array(z.unknown()).optional(),
	selfLink: anyText.optional(),
});

/** What every resource has beside its spec. */
export type ObjectMeta = ReadonlyDeep<z.infer<typeof metadataSchema>>;

const MAX_ANNOTATIONS_BYTES = 256 * 1024;

/** Labels and annotations by the rules of Kubernetes. */
export function validateLabelsAndAnnotations(metadata: ObjectMeta, report: Report): void {
	validateLabels(metadata.labels, ['metadata', 'labels'], report);
	validateAnnotations(metadata.annotations, ['metadata', 'annotations'], report);
}

export function validateLabels(labels: ObjectMeta['labels'], path: readonly string[], report: Report): void {
	for (const [key, value] of Object.entries(labels ?? {})) {
		if (!isQualifiedName(key)) report([...path, key], key, `as a key: ${QUALIFIED_NAME_ALLOWED}`);
		if (!isLabelValue(value)) report([...path, key], value, LABEL_VALUE_ALLOWED);
	}
}

export function validateAnnotations(annotations: ObjectMeta['annotations'], path: readonly (string | number)[], report: Report): void {
	let bytes = 0;
	for (const [key, value] of Object.entries(annotations ?? {})) {
		bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
		if (!isQualifiedName(key.toLowerCase())) report([...path, key], key, `as a key: ${QUALIFIED_NAME_ALLOWED}`);
	}
	if (bytes > MAX_ANNOTATIONS_BYTES) report(path, annotations, `at most ${MAX_ANNOTATIONS_BYTES} bytes of keys and values in all`);
}
