import { Visitor } from '@swc/core/Visitor.js';
import { FLOORS, PURE_ROOMS } from './scripts/rooms.ts';

// The parser knows `using` declarations, but the visitor that reads its tree does not; what they hold is visited as in `const`.
// oxlint-disable-next-line typescript/unbound-method -- it is called with its object below
const { visitStatement } = Visitor.prototype;
Visitor.prototype.visitStatement = function (statement) {
	if (statement.type !== 'UsingDeclaration') return visitStatement.call(this, statement);
	this.visitVariableDeclarators(statement.decls);
	return statement;
};

const rooms = Object.keys(FLOORS);
const alternatives = (names) => names.join('|');

/** A room may import only rooms on lower floors. */
const floorRules = rooms.map((room) => ({
	name: `floor-${room}`,
	comment: `${room} is on floor ${FLOORS[room]}: it may import only rooms below that`,
	severity: 'error',
	from: { path: `^src/${room}/` },
	to: { path: `^src/(${alternatives(rooms.filter((other) => other !== room && FLOORS[other] >= FLOORS[room]))})/` },
}));

export default {
	forbidden: [
		...floorRules,
		{
			name: 'doors',
			comment: 'a room is entered by its door, index.ts',
			severity: 'error',
			from: { path: '^src/([^/]+)/' },
			to: { path: '^src/[^/]+/', pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
		},
		{
			name: 'pure',
			comment: 'floors 1 to 3, less kernel, do no I/O',
			severity: 'error',
			from: { path: `^src/(${alternatives(PURE_ROOMS)})/`, pathNot: '\\.test\\.ts$|/testing/' },
			to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
		},
		{ name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
		{ name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
	],
	options: {
		parser: 'swc',
		tsPreCompilationDeps: true,
		tsConfig: { fileName: 'tsconfig.json' },
		doNotFollow: { path: 'node_modules' },
		exclude: { path: '(^|/)(node_modules|dist|generated)/' },
		enhancedResolveOptions: {
			exportsFields: ['exports'],
			conditionNames: ['import', 'node', 'default', 'types'],
			extensions: ['.ts', '.mjs', '.js'],
		},
	},
};
