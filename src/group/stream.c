/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  Bytes from one process to another.
 *
 * PostgreSQL's queues in shared memory carry messages.  A stream is a sequence of
 * bytes in one: they are gathered to blocks, each of which is a message, so that
 * what is written in small pieces does not cost a message a piece.  The memory of
 * the queue is used again and again, which makes it fast.
 *
 * A writer whose reader does not take anything waits.  As it may be the reader
 * that waits for the writer to go on with something else, a writer can ask
 * beforehand whether what it has to write will fit without that.  The queue does
 * not say how full it is; so the reader tells how much it has taken.  Half of the
 * queue is left unused for that: the queue gives room free in large pieces only,
 * and has some bytes of its own with each message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"

#include "group/stream.h"

#define BLOCK_SIZE (32 * 1024)

struct StreamWriter
{
	Stream	   *stream;
	shm_mq_handle *queue;
	uint64		sent;			/* bytes so far */
	Size		used;			/* bytes in the block */
	char		block[BLOCK_SIZE];
};

struct StreamReader
{
	Stream	   *stream;
	shm_mq_handle *queue;
	const char *block;			/* in the queue's memory, or of the queue's handle */
	Size		size;			/* of the block */
	Size		at;				/* bytes of it that have been read */
};

/*
 * The memory that a stream with a queue of this size takes.
 */
Size
stream_size(Size queue)
{
	return MAXALIGN(sizeof(Stream)) + MAXALIGN_DOWN(queue);
}

static shm_mq *
stream_queue(Stream *stream)
{
	return (shm_mq *) ((char *) stream + MAXALIGN(sizeof(Stream)));
}

/*
 * Makes a stream in memory of the size that stream_size() says.  The process that
 * calls is the reader.
 */
void
stream_init(Stream *stream, Size queue)
{
	stream->size = MAXALIGN_DOWN(queue);
	pg_atomic_init_u64(&stream->taken, 0);
	shm_mq_set_receiver(shm_mq_create(stream_queue(stream), stream->size), MyProc);
}

/*
 * Begins to write a stream, in the current memory context.
 */
StreamWriter *
stream_writer_open(Stream *stream, dsm_segment *segment)
{
	StreamWriter *writer = palloc(sizeof(StreamWriter));

	writer->stream = stream;
	shm_mq_set_sender(stream_queue(stream), MyProc);
	writer->queue = shm_mq_attach(stream_queue(stream), segment, NULL);
	writer->sent = 0;
	writer->used = 0;
	return writer;
}

/*
 * Sends what has been written so far, and waits for room if it has to.  ERROR where
 * nobody reads any more.
 */
void
stream_flush(StreamWriter *writer)
{
	if (writer->used == 0)
		return;
	if (shm_mq_send(writer->queue, writer->used, writer->block, false, true) != SHM_MQ_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the process that reads the results of a parallel worker has gone away")));
	writer->sent += writer->used;
	writer->used = 0;
}

/*
 * Writes bytes, and waits for room if it has to.
 */
void
stream_write(StreamWriter *writer, const void *bytes, Size n)
{
	const char *from = bytes;

	while (n > 0)
	{
		Size		part = Min(n, BLOCK_SIZE - writer->used);

		memcpy(writer->block + writer->used, from, part);
		writer->used += part;
		from += part;
		n -= part;
		if (writer->used == BLOCK_SIZE)
			stream_flush(writer);
	}
}

/*
 * Can so many bytes be written, and flushed, without waiting?
 */
bool
stream_fits(const StreamWriter *writer, Size n)
{
	uint64		waiting = writer->sent - pg_atomic_read_u64(&writer->stream->taken);

	return waiting + writer->used + n <= writer->stream->size / 2;
}

/*
 * Ends a stream.
 */
void
stream_writer_close(StreamWriter *writer)
{
	stream_flush(writer);
	shm_mq_detach(writer->queue);
	pfree(writer);
}

/*
 * Begins to read a stream that a worker writes, in the current memory context.
 */
StreamReader *
stream_reader_open(Stream *stream, dsm_segment *segment, BackgroundWorkerHandle *writer)
{
	StreamReader *reader = palloc0(sizeof(StreamReader));

	reader->stream = stream;
	reader->queue = shm_mq_attach(stream_queue(stream), segment, writer);
	return reader;
}

/* Takes the next block from the queue.  Returns false where there is none. */
static bool
next_block(StreamReader *reader, bool wait)
{
	Size		size;
	void	   *block;

	if (shm_mq_receive(reader->queue, &size, &block, !wait) != SHM_MQ_SUCCESS)
		return false;
	reader->block = block;
	reader->size = size;
	reader->at = 0;
	return true;
}

/*
 * Is there anything that can be read without waiting?  Not at the end either.
 */
bool
stream_ready(StreamReader *reader)
{
	return reader->at < reader->size || next_block(reader, false);
}

/*
 * Reads so many bytes, and waits for them if it has to.  Returns false at the end of
 * the stream.  ERROR where it ends before the last of them.
 */
bool
stream_read(StreamReader *reader, void *bytes, Size n)
{
	char	   *to = bytes;
	Size		left = n;

	while (left > 0)
	{
		Size		part;

		if (reader->at == reader->size && !next_block(reader, true))
		{
			if (left == n)
				return false;

			/* The worker's own error says more. */
			CHECK_FOR_INTERRUPTS();
			elog(ERROR, "unexpected end of what a parallel worker sends");
		}
		part = Min(left, reader->size - reader->at);
		memcpy(to, reader->block + reader->at, part);
		reader->at += part;
		if (reader->at == reader->size)
			pg_atomic_fetch_add_u64(&reader->stream->taken, reader->size);
		to += part;
		left -= part;
	}
	return true;
}
