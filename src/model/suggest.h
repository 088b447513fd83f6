/*-------------------------------------------------------------------------
 *
 * suggest.h
 *	  What somebody probably meant by a name that is not known, for hints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SUGGEST_H
#define BATCHAGG_SUGGEST_H

extern char *suggest_timezone(const char *name);
extern void notice_fixed_zone(const char *name);
extern char *suggest_relation(const char *written);

#endif							/* BATCHAGG_SUGGEST_H */
