/*-------------------------------------------------------------------------
 *
 * shim.c
 *	  What a unit program has in place of a backend.
 *
 * The pure rooms are compiled against the server's headers as they are, and
 * linked with this file, which defines the few symbols of a backend that they
 * use.  Memory comes from malloc; a chunk carries its size in front, so that
 * leaks can be counted, and contexts do not exist.  Errors unwind by the
 * server's own PG_TRY.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "shim.h"

/* Ahead of each chunk; keeps what follows aligned for everything. */
typedef union ChunkHead
{
	Size		size;
	char		alignment[16];
} ChunkHead;

MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

volatile sig_atomic_t InterruptPending = false;

int			shim_error_code = 0;
char		shim_error_message[1024];

static Size memory_used = 0;
static long interrupt_countdown = 0;
static int	error_level = 0;
static int	tests_run = 0;
static int	tests_failed = 0;

/* Memory */

void *
palloc(Size size)
{
	ChunkHead  *chunk = malloc(sizeof(ChunkHead) + size);

	if (chunk == NULL)
		abort();
	chunk->size = size;
	memory_used += size;
	return chunk + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, Size size)
{
	ChunkHead  *chunk = (ChunkHead *) pointer - 1;

	memory_used += size - chunk->size;
	chunk = realloc(chunk, sizeof(ChunkHead) + size);
	if (chunk == NULL)
		abort();
	chunk->size = size;
	return chunk + 1;
}

void
pfree(void *pointer)
{
	ChunkHead  *chunk = (ChunkHead *) pointer - 1;

	memory_used -= chunk->size;
	free(chunk);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return palloc0(size);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

char *
pnstrdup(const char *in, Size length)
{
	char	   *copy = palloc(length + 1);

	length = strnlen(in, length);
	memcpy(copy, in, length);
	copy[length] = '\0';
	return copy;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

char *
psprintf(const char *fmt,...)
{
	va_list		args;
	int			length;
	char	   *text;

	va_start(args, fmt);
	length = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = palloc(length + 1);
	va_start(args, fmt);
	vsnprintf(text, length + 1, fmt, args);
	va_end(args);
	return text;
}

Size
shim_memory_used(void)
{
	return memory_used;
}

/* Errors */

bool
errstart(int elevel, const char *domain)
{
	error_level = elevel;
	shim_error_code = 0;
	shim_error_message[0] = '\0';
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	shim_error_code = sqlerrcode;
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(shim_error_message, sizeof(shim_error_message), fmt, args);
	va_end(args);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(shim_error_message, sizeof(shim_error_message), fmt, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (error_level < ERROR)
		return;
	if (error_level > ERROR || PG_exception_stack == NULL)
	{
		fprintf(stderr, "%s:%d: %s\n", filename, lineno, shim_error_message);
		abort();
	}
	siglongjmp(*PG_exception_stack, 1);
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
		abort();
	siglongjmp(*PG_exception_stack, 1);
}

/* Its signature has lost an argument in PostgreSQL 16. */
#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *filename, int lineno)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *filename, int lineno)
#endif
{
	fprintf(stderr, "%s:%d: failed assertion: %s\n", filename, lineno, condition);
	abort();
}

/* Interrupts */

void
ProcessInterrupts(void)
{
	if (--interrupt_countdown > 0)
		return;
	InterruptPending = false;
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("interrupted")));
}

void
shim_interrupt_after(long checks)
{
	interrupt_countdown = checks;
	InterruptPending = checks > 0;
}

/* TAP */

void
tap_ok(bool passed, const char *fmt,...)
{
	va_list		args;

	tests_run++;
	if (!passed)
		tests_failed++;
	printf("%sok %d - ", passed ? "" : "not ", tests_run);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void
tap_note(const char *fmt,...)
{
	va_list		args;

	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

int
tap_done(void)
{
	printf("1..%d\n", tests_run);
	return tests_failed == 0 ? 0 : 1;
}

static uint64 random_state = 1;

void
random_seed(uint64 seed)
{
	random_state = seed;
}

/* xorshift64* */
uint64
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64CONST(2685821657736338717);
}

int64
random_between(int64 low, int64 high)
{
	return (int64) ((uint64) low + random_bits() % ((uint64) high - (uint64) low));
}
