/*-------------------------------------------------------------------------
 *
 * reading.h
 *	  The settings under which filters are understood and sources are read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_READING_H
#define BATCHAGG_READING_H

extern void reading_fix_grammar(void);
extern bool reading_can_fix(Oid owner, const char *setting);
extern void reading_fix_settings(Oid owner, const char *timezone);

#endif							/* BATCHAGG_READING_H */
