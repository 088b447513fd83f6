/*-------------------------------------------------------------------------
 *
 * sorted.h
 *	  Groups in sorted sequences, on tapes or in streams, and their merge.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SORTED_H
#define BATCHAGG_SORTED_H

#include "group/group.h"
#include "group/stream.h"

typedef struct Sorted Sorted;

extern Sorted *sorted_create(MemoryContext parent, const GroupLayout *layout, Size budget);
extern void sorted_free(Sorted *sorted);
extern bool sorted_any(const Sorted *sorted);
extern int	sorted_written(const Sorted *sorted);

typedef struct SortedWriter SortedWriter;

extern SortedWriter *sorted_start(Sorted *sorted);
extern SortedWriter *sorted_start_stream(const GroupLayout *layout, StreamWriter *stream);
extern void sorted_write_group(void *arg, const GroupOut *group);
extern void sorted_end(Sorted *sorted, SortedWriter *writer);
extern Size sorted_group_bytes(const GroupLayout *layout, StateWord *states, int entity_length);

extern void sorted_add_stream(Sorted *sorted, StreamReader *stream);
extern bool sorted_have_streams(const Sorted *sorted);

/* Sets *out to the next group in order; returns false at the end. */
typedef bool (*GroupSource) (void *arg, GroupOut *out);

extern Size sorted_merge_memory(const Sorted *sorted);
extern void sorted_merge(Sorted *sorted, GroupSource table, void *table_arg, TimestampTz to,
						 GroupSink sink, void *arg);

#endif							/* BATCHAGG_SORTED_H */
