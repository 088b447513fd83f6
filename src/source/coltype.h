/*-------------------------------------------------------------------------
 *
 * coltype.h
 *	  Of which types the columns of a source can be, by what they are for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_COLTYPE_H
#define BATCHAGG_COLTYPE_H

extern bool type_is_value(Oid typid);
extern bool type_is_time(Oid typid);
extern bool type_is_name(Oid typid);

#endif							/* BATCHAGG_COLTYPE_H */
