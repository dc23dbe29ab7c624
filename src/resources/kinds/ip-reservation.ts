import { z } from 'zod';
import { cidrOrIp, unique } from '../schema/field.ts';
import { defineKind } from '../schema/kind.ts';
import { column, nameColumn } from './columns.ts';

export const ipReservation = defineKind({
	kind: 'IPReservation',
	plural: 'ipreservations',
	aliases: ['reservation', 'reservations'],
	spec: z.object({ reservedCIDRs: unique(cidrOrIp).optional() }),
	columns: { ps: [nameColumn], wide: [nameColumn, column('CIDRS', ({ spec }) => spec.reservedCIDRs)] },
});
