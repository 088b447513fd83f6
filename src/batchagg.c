/*-------------------------------------------------------------------------
 *
 * batchagg.c
 *	  The library's entry point, and nothing else.  src/README.md is the map.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "settings.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	settings_define();
}
