/** Linux: netlink, nftables, namespaces, sysctls, sockets. The only room that makes system calls. */
export { Conntrack } from './conntrack/conntrack.ts';
export { hasErrno, kernelError } from './errors.ts';
export {
	createNamedNamespace,
	currentNamespace,
	deleteNamedNamespace,
	inNamespace,
	listNamedNamespaces,
	NetworkNamespace,
	openNamespace,
} from './namespace/namespace.ts';
export { readSysctl, type SysctlPath, writeSysctl, writeSysctls } from './namespace/sysctl.ts';
export { type AnonymousSet, NftBatch } from './nftables/batch.ts';
export { packKey, packRange, type SetDataType, type SetKeyType, unpackKey } from './nftables/data-type.ts';
export type {
	Expression,
	Register,
	Verdict,
} from './nftables/expression.ts';
export { expressionsFingerprint } from './nftables/expression-codec.ts';
export { type NftEvent, NftMonitor } from './nftables/monitor.ts';
export type {
	BaseChain,
	Chain,
	ListedRule,
	Rule,
	SetElement,
	SetSpec,
	Table,
	TableFamily,
	TableRef,
} from './nftables/object.ts';
export { type NftOperationFailure, NftSocket, transactionFailures } from './nftables/socket.ts';
export {
	accept,
	counter,
	drop,
	type Field,
	goTo,
	inSet,
	jump,
	load,
	masquerade,
	match,
	matchCtState,
	matchCtStatus,
	matchFamily,
	matchFib,
	matchInterface,
	matchMark,
	matchPrefix,
	matchProtocol,
	matchRange,
	natByMap,
	natTo,
	returnToCaller,
	setMark,
	verdictMap,
} from './nftables/statement.ts';
export { type RtEvent, type RtGroup, RtnetlinkMonitor } from './rtnetlink/monitor.ts';
export type {
	Address,
	Link,
	LinkChange,
	LinkSpec,
	Neighbour,
	NextHop,
	Route,
	RouteFilter,
	RouteType,
	RtOperation,
	RtOperationFailure,
	Scope,
	VxlanOptions,
} from './rtnetlink/object.ts';
export { Rtnetlink } from './rtnetlink/rtnetlink.ts';
export type { TcpEndpoint } from './socket/sockaddr.ts';
export { type TcpClosed, TcpConnection, type TcpConnectOptions, type TcpHandlers } from './socket/tcp.ts';
export { TcpListener, type TcpListenOptions } from './socket/tcp-listener.ts';
export type { TcpSocketOptions } from './socket/tcp-options.ts';
export { UnixServer, type UnixServerOptions } from './socket/unix.ts';
export { unixRequest } from './socket/unix-client.ts';
export type { UnixConnection, UnixMessage } from './socket/unix-connection.ts';
