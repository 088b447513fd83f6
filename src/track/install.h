/*-------------------------------------------------------------------------
 *
 * install.h
 *	  Beginning and ending to track a source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_INSTALL_H
#define BATCHAGG_INSTALL_H

extern void track_source(Oid relid, const char *mode, const char *time_column,
						 const char *id_column);
extern void untrack_source(Oid relid, bool drop_column);
extern const char *settle_source(Oid relid);

#endif							/* BATCHAGG_INSTALL_H */
