/*-------------------------------------------------------------------------
 *
 * plain_span_shim.c
 *	  The loops over spans that every processor can run, under names of their
 *	  own beside those that this one runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/state.h"

#undef HAVE_FMA_VARIANT
#define span_init plain_span_init
#define span_merge plain_span_merge
#define span_can_finish plain_span_can_finish
#define span_finish plain_span_finish

#include "stats/span.c"
