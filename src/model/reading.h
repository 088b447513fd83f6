/*-------------------------------------------------------------------------
 *
 * reading.h
 *	  The settings under which filters are understood and sources are read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_READING_H
#define BATCHAGG_READING_H

struct config_generic;

extern void reading_fix_grammar(void);
extern bool reading_can_fix(Oid owner, const char *setting);
extern void reading_fix_settings(Oid owner, const char *timezone);
extern struct config_generic **reading_variables(int *n);

#endif							/* BATCHAGG_READING_H */
