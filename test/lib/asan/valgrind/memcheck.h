/*
 * memcheck.h
 *		What PostgreSQL tells valgrind of its memory, told to AddressSanitizer
 *
 * AddressSanitizer watches malloc(), and PostgreSQL's contexts take blocks of
 * many chunks from it: a write behind the end of a chunk, or into one that was
 * freed, stays within its block.  PostgreSQL built with USE_VALGRIND says which
 * bytes of a block, and which shared buffers, may be touched at the moment; this
 * header stands in the place of valgrind's and passes that on.  What valgrind
 * alone can know, which bytes have a value, goes nowhere.
 */
#ifndef BATCHAGG_MEMCHECK_H
#define BATCHAGG_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define VALGRIND_MAKE_MEM_NOACCESS(address, size) \
	ASAN_POISON_MEMORY_REGION(address, size)
#define VALGRIND_MAKE_MEM_DEFINED(address, size) \
	ASAN_UNPOISON_MEMORY_REGION(address, size)
#define VALGRIND_MAKE_MEM_UNDEFINED(address, size) \
	ASAN_UNPOISON_MEMORY_REGION(address, size)
#define VALGRIND_MEMPOOL_ALLOC(context, address, size) \
	ASAN_UNPOISON_MEMORY_REGION(address, size)
#define VALGRIND_MEMPOOL_FREE(context, address)	((void) 0)
#define VALGRIND_MEMPOOL_CHANGE(context, from, to, size) \
	ASAN_UNPOISON_MEMORY_REGION(to, size)
#define VALGRIND_MEMPOOL_TRIM(context, address, size)	((void) 0)
#define VALGRIND_CREATE_MEMPOOL(context, redzones, zeroed)	((void) 0)
#define VALGRIND_DESTROY_MEMPOOL(context)	((void) 0)
#define VALGRIND_CHECK_MEM_IS_DEFINED(address, size)	((void) 0)
#define VALGRIND_CHECK_VALUE_IS_DEFINED(value)	((void) 0)
#define VALGRIND_COUNT_ERRORS	0
#define VALGRIND_PRINTF(...)	((void) 0)

#endif							/* BATCHAGG_MEMCHECK_H */
