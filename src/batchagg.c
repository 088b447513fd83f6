/*-------------------------------------------------------------------------
 *
 * batchagg.c
 *	  The library's entry point, and nothing else.  src/README.md is the map.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "catalog/lend.h"
#include "engine/ending.h"
#include "service/service.h"
#include "settings.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	settings_define();

	/* While the catalogs of an older server are upgraded, nothing may run. */
	if (IsBinaryUpgrade)
		return;
	hook_install();
	lend_install();
	ending_install();
	if (process_shared_preload_libraries_in_progress)
	{
		BackgroundWorker launcher;

		shared_request();
		launcher_describe(&launcher);
		RegisterBackgroundWorker(&launcher);
	}
}
