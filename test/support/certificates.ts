/** Throw-away certificates for tests of TLS, made by the openssl program. */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = (args: readonly string[]): Promise<unknown> => promisify(execFile)('openssl', args);

/** Files of one party. */
export interface CertificateFiles {
	readonly caFile: string;
	readonly certFile: string;
	readonly keyFile: string;
}

export interface CertificateAuthority {
	readonly caFile: string;
	/** @param names DNS names and addresses, such as `DNS:localhost` and `IP:127.0.0.1` */
	issue(commonName: string, names: readonly string[]): Promise<CertificateFiles>;
}

/** Makes a certificate authority in a folder of the caller's. */
export async function makeAuthority(dir: string): Promise<CertificateAuthority> {
	await mkdir(dir, { recursive: true });
	const caFile = join(dir, 'ca.pem');
	const caKeyFile = join(dir, 'ca-key.pem');
	const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
	await openssl(['req', '-x509', ...curve, '-keyout', caKeyFile, '-out', caFile, '-subj', '/CN=test-ca', '-days', '2']);
	return {
		caFile,
		async issue(commonName, names) {
			const [certFile, keyFile, requestFile, extensionsFile] = ['.pem', '-key.pem', '.csr', '.ext'].map((end) =>
				join(dir, `${commonName}${end}`),
			) as [string, string, string, string];
			await writeFile(extensionsFile, names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`);
			await openssl(['req', '-new', ...curve, '-keyout', keyFile, '-out', requestFile, '-subj', `/CN=${commonName}`]);
			const signing = ['-CA', caFile, '-CAkey', caKeyFile, '-CAcreateserial', '-days', '2', '-extfile', extensionsFile];
			await openssl(['x509', '-req', '-in', requestFile, '-out', certFile, ...signing]);
			return { caFile, certFile, keyFile };
		},
	};
}
