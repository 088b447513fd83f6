/*-------------------------------------------------------------------------
 *
 * number.c
 *	  Values of all types of metrics as float8.
 *
 * The columns of a table of counters are mostly of few types, one after the other,
 * so the type is looked at once for a run of them.
 *
 * To make a numeric a double, PostgreSQL prints it and reads what it has printed,
 * which takes longer than all else that is done with a value.  Most numerics are a
 * whole number of up to 2^53 and a power of ten: both are exact as doubles, and
 * one division or multiplication rounds once, so its result is the double nearest
 * to the numeric, which is the one that is read from its text (W. D. Clinger, "How
 * to Read Floating Point Numbers Accurately", PLDI 1990).  All others go
 * PostgreSQL's way, but for one thing: what is so near to zero that no double is
 * nearer than zero becomes zero, where PostgreSQL's cast raises an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "read/number.h"

/*
 * What a numeric looks like in a table, which PostgreSQL has in numeric.c only but
 * may not change: after the varlena header a word, and if that begins with the bit
 * of short ones, the digits, else the weight and the digits.  Digits count to ten
 * thousand; the weight is the first one's power of that.
 */
#define NUMERIC_IS_SHORT 0x8000
#define NUMERIC_IS_SPECIAL 0xC000	/* both bits: NaN, infinite */
#define NUMERIC_IS_NEGATIVE 0x4000
#define NUMERIC_SHORT_IS_NEGATIVE 0x2000
#define NUMERIC_SHORT_WEIGHT_SIGN 0x0040
#define NUMERIC_SHORT_WEIGHT 0x003F
#define DIGIT_BASE 10000
#define DIGIT_LENGTH 4			/* decimal digits */

/* The most digits of which a number is always within an int64. */
#define MOST_DIGITS 4

/* Whole numbers up to this are exact as doubles, and so are these powers of ten. */
#define EXACT_WHOLE (INT64CONST(1) << DBL_MANT_DIG)
static const double exact_powers[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

static inline uint16
half_word(const char *bytes)
{
	uint16		word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/*
 * Sets *result to the double nearest to a numeric.  Returns false where that
 * cannot be told in short.
 */
static inline bool
numeric_quickly(const struct varlena *packed, double *result)
{
	const char *bytes = VARDATA_ANY(packed);
	const char *end = bytes + VARSIZE_ANY_EXHDR(packed);
	uint16		header = half_word(bytes);
	bool		negative = (header & NUMERIC_IS_NEGATIVE) != 0;
	int			weight;
	int			exponent;
	int64		whole = 0;

	bytes += sizeof(uint16);
	if ((header & NUMERIC_IS_SPECIAL) == NUMERIC_IS_SPECIAL)
		return false;
	if (header & NUMERIC_IS_SHORT)
	{
		negative = (header & NUMERIC_SHORT_IS_NEGATIVE) != 0;
		weight = header & NUMERIC_SHORT_WEIGHT;
		if (header & NUMERIC_SHORT_WEIGHT_SIGN)
			weight -= NUMERIC_SHORT_WEIGHT + 1;
	}
	else
	{
		weight = (int16) half_word(bytes);
		bytes += sizeof(int16);
	}
	if (end - bytes > MOST_DIGITS * sizeof(int16))
		return false;

	exponent = DIGIT_LENGTH * (weight + 1 - (int) ((end - bytes) / sizeof(int16)));
	for (; bytes < end; bytes += sizeof(int16))
		whole = whole * DIGIT_BASE + half_word(bytes);
	if (whole > EXACT_WHOLE || abs(exponent) >= lengthof(exact_powers))
		return false;
	*result = exponent < 0 ? whole / exact_powers[-exponent] : whole * exact_powers[exponent];
	if (negative)
		*result = -*result;
	return true;
}

/*
 * Sets *result to a numeric as a double: to zero where it is too near to zero for one.
 * False where it is too large.
 */
static inline bool
numeric_number(Datum value, double *result)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);

	if (likely(numeric_quickly(packed, result)))
		return true;
	*result = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												 PointerGetDatum(packed)));
	if (*result == 0)
		*result = 0;			/* not -0 */
	return !isinf(*result) || numeric_is_inf(DatumGetNumeric(PointerGetDatum(packed)));
}

/*
 * Makes a run's numerics float8.  Returns the number in the row of the first one that
 * is too large, or -1.
 */
static int
convert_numerics(const ValueRun *run, Datum *values, const bool *nulls)
{
	for (int i = 0; i < run->n; i++)
	{
		double		number;

		if (nulls[i])
			continue;
		if (unlikely(!numeric_number(values[i], &number)))
			return run->first + i;
		values[i] = Float8GetDatum(number);
	}
	return -1;
}

/*
 * Seconds of an interval, as EXTRACT(epoch FROM interval) counts them: a year
 * has 365.25 days, a month 30 days, a day 24 hours.  Rounded once, unless it is
 * so long that its microseconds do not fit.
 */
static double
interval_seconds(const Interval *interval)
{
	int64		seconds = (int64) interval->month / MONTHS_PER_YEAR * SECS_PER_YEAR +
	(int64) interval->month % MONTHS_PER_YEAR * DAYS_PER_MONTH * SECS_PER_DAY +
	(int64) interval->day * SECS_PER_DAY;
	int64		microseconds;

#if PG_VERSION_NUM >= 170000
	if (INTERVAL_NOT_FINITE(interval))
		return INTERVAL_IS_NOBEGIN(interval) ? -get_float8_infinity() : get_float8_infinity();
#endif
	if (pg_mul_s64_overflow(seconds, USECS_PER_SEC, &microseconds) ||
		pg_add_s64_overflow(microseconds, interval->time, &microseconds))
		return (double) seconds + interval->time / 1000000.0;
	return (double) microseconds / 1000000.0;
}

/*
 * Sets runs[], which has room for n, to the runs of values of one type that are
 * not float8 already, of `n` values of these types.  Returns how many there are.
 */
int
value_runs(const Oid *types, int n, ValueRun *runs)
{
	int			nruns = 0;
	int			next;
	int			i;

	for (i = 0; i < n; i = next)
	{
		for (next = i + 1; next < n && types[next] == types[i]; next++)
			;
		if (types[i] != FLOAT8OID)
			runs[nruns++] = (ValueRun) {types[i], i, next - i};
	}
	return nruns;
}

/* Of types by value a NULL does no harm. */
#define CONVERT(number) \
	for (i = 0; i < run->n; i++) \
		values[i] = Float8GetDatum(number)
#define CONVERT_REFERENCES(number) \
	for (i = 0; i < run->n; i++) \
		if (!nulls[i]) \
			values[i] = Float8GetDatum(number)

/*
 * Makes a run of a row's values float8; values[] and nulls[] are the row's.  Those
 * that are NULL become something.  Returns the number of a value that is out of range,
 * or -1.
 */
int
value_run_convert(const ValueRun *run, Datum *values, const bool *nulls)
{
	int			i;

	values += run->first;
	nulls += run->first;
	switch (run->type)
	{
		case INT2OID:
			CONVERT(DatumGetInt16(values[i]));
			break;
		case INT4OID:
			CONVERT(DatumGetInt32(values[i]));
			break;
		case INT8OID:
			CONVERT((double) DatumGetInt64(values[i]));
			break;
		case FLOAT4OID:
			CONVERT(DatumGetFloat4(values[i]));
			break;
		case BOOLOID:
			CONVERT(DatumGetBool(values[i]) ? 1 : 0);
			break;
		case NUMERICOID:
			return convert_numerics(run, values, nulls);
		case INTERVALOID:
			CONVERT_REFERENCES(interval_seconds(DatumGetIntervalP(values[i])));
			break;
		default:
			elog(ERROR, "unexpected type of a metric: %u", run->type);
	}
	return -1;
}
