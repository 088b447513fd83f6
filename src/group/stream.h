/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  Bytes from one process to another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_STREAM_H
#define BATCHAGG_STREAM_H

#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"

/* What both ends know, in shared memory; the queue's room is behind it. */
typedef struct Stream
{
	Size		size;			/* of the queue */
	pg_atomic_uint64 taken;		/* bytes that the reader is done with */
} Stream;

typedef struct StreamWriter StreamWriter;
typedef struct StreamReader StreamReader;

extern Size stream_size(Size queue);
extern void stream_init(Stream *stream, Size queue);

extern StreamWriter *stream_writer_open(Stream *stream, dsm_segment *segment);
extern void stream_write(StreamWriter *writer, const void *bytes, Size n);
extern void stream_flush(StreamWriter *writer);
extern bool stream_fits(const StreamWriter *writer, Size n);
extern void stream_writer_close(StreamWriter *writer);

extern StreamReader *stream_reader_open(Stream *stream, dsm_segment *segment,
										BackgroundWorkerHandle *writer);
extern bool stream_read(StreamReader *reader, void *bytes, Size n);
extern bool stream_ready(StreamReader *reader);

#endif							/* BATCHAGG_STREAM_H */
