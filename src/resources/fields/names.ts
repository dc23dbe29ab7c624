/** The form of a kind's names. */
export interface NameRule {
	readonly pattern: RegExp;
	readonly maxLength: number;
	/** The form in words. */
	readonly allowed: string;
}

const SEGMENT = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?';

/** Names as Kubernetes has them: RFC 1123 labels joined by dots. */
export const DEFAULT_NAME: NameRule = {
	pattern: new RegExp(`^${SEGMENT}(?:\\.${SEGMENT})*$`),
	maxLength: 253,
	allowed: 'at most 253 lower-case letters, digits, - and ., each part between dots with a letter or digit at both ends',
};

export const LABEL_NAME: NameRule = {
	pattern: new RegExp(`^${SEGMENT}$`),
	maxLength: 63,
	allowed: 'at most 63 lower-case letters, digits and -, with a letter or digit at both ends',
};

/** `label`, `label.label`, and the names that converted policies get. */
export const NETWORK_POLICY_NAME: NameRule = {
	pattern: new RegExp(`^(?:${SEGMENT}(?:\\.${SEGMENT})?|(?:knp|ossg)\\.default\\.${SEGMENT}(?:\\.${SEGMENT})*)$`),
	maxLength: 253,
	allowed:
		'lower-case letters, digits and -, in one part or two joined by a dot (knp.default.… and ossg.default.… are for converted policies)',
};

export const GLOBAL_NETWORK_POLICY_NAME: NameRule = {
	pattern: new RegExp(`^(?:${SEGMENT}\\.)?${SEGMENT}$`),
	maxLength: 253,
	allowed: 'lower-case letters, digits and -, in one part or two joined by a dot',
};

/** The name of a kind of which there is one object. */
export const DEFAULT_ONLY: NameRule = { pattern: /^default$/, maxLength: 253, allowed: 'default' };

export function matchesName(rule: NameRule, name: string): boolean {
	return name.length <= rule.maxLength && rule.pattern.test(name);
}

const QUALIFIED_NAME = new RegExp(`^(?:${SEGMENT}(?:\\.${SEGMENT})*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`);

/** Whether a text is a Kubernetes qualified name: an optional DNS prefix and `/`, and a name of at most 63 characters. */
export function isQualifiedName(text: string): boolean {
	return text.indexOf('/') <= 253 && QUALIFIED_NAME.test(text);
}

/** Whether a text may be a label's value in Kubernetes. */
export function isLabelValue(text: string): boolean {
	return /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(text);
}

export const QUALIFIED_NAME_ALLOWED =
	'a name of at most 63 letters, digits, -, _ and . with a letter or digit at both ends, optionally after a DNS name and /';
export const LABEL_VALUE_ALLOWED = 'at most 63 letters, digits, -, _ and ., with a letter or digit at both ends, or nothing';
