/*-------------------------------------------------------------------------
 *
 * shim.h
 *	  What a unit program has in place of a backend: memory, errors and
 *	  interrupts (shim.c), and a few lines of TAP.
 *
 * Include after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SHIM_H
#define BATCHAGG_SHIM_H

/*
 * The last error raised by ereport(ERROR); catch it with PG_TRY, as in a
 * backend.  One that nobody catches ends the program.
 */
extern int	shim_error_code;
extern char shim_error_message[1024];

/* Bytes in chunks that have not been freed. */
extern Size shim_memory_used(void);

/*
 * With a number above zero, the CHECK_FOR_INTERRUPTS() that many calls ahead
 * raises an error (query_canceled).
 */
extern void shim_interrupt_after(long checks);

/* Random numbers, the same each time: begins with `seed`, which is not 0. */
extern void random_seed(uint64 seed);

/* A random number of 64 bits, and one from low to high - 1. */
extern uint64 random_bits(void);
extern int64 random_between(int64 low, int64 high);

/* One TAP line: whether `passed`, and what was tested. */
extern void tap_ok(bool passed, const char *fmt,...) pg_attribute_printf(2, 3);

/* A line that says more about a failure. */
extern void tap_note(const char *fmt,...) pg_attribute_printf(1, 2);

/* Prints the plan; returns the program's exit status. */
extern int	tap_done(void);

#endif							/* BATCHAGG_SHIM_H */
