/*-------------------------------------------------------------------------
 *
 * runs.h
 *	  Groups in sorted sequences, on tapes or in streams, and their merge.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RUNS_H
#define BATCHAGG_RUNS_H

#include "group/group.h"
#include "group/stream.h"

typedef struct Runs Runs;

extern Runs *runs_create(MemoryContext parent, const GroupLayout *layout, Size budget);
extern void runs_free(Runs *runs);
extern bool runs_any(const Runs *runs);
extern int	runs_written(const Runs *runs);

typedef struct RunWriter RunWriter;

extern RunWriter *run_start(Runs *runs);
extern RunWriter *run_start_stream(const GroupLayout *layout, StreamWriter *stream);
extern void run_write_group(void *arg, const GroupOut *group);
extern void run_end(Runs *runs, RunWriter *writer);
extern Size run_group_bytes(const GroupLayout *layout, StateWord *states, int entity_length);

extern void runs_add_stream(Runs *runs, StreamReader *stream);
extern bool runs_have_streams(const Runs *runs);

/* Sets *out to the next group in order; returns false at the end. */
typedef bool (*GroupSource) (void *arg, GroupOut *out);

extern Size runs_merge_memory(const Runs *runs);
extern void runs_merge(Runs *runs, GroupSource table, void *table_arg, TimestampTz to,
					   GroupSink sink, void *arg);

#endif							/* BATCHAGG_RUNS_H */
