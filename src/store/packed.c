/*-------------------------------------------------------------------------
 *
 * packed.c
 *	  The results of a group as a row of the store, and comparing that with what is stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "group/baddata.h"
#include "store/packed.h"

static void
report_overflow(const Rollup *rollup, const JobMetric *metric, const Aggregate *aggregate,
				const GroupOut *group)
{
	report_bad_result(rollup->definition, metric->name, aggregate->name, group->entity,
					  group->entity_length, group->bucket);
}

/*
 * Builds an array without a lower bound other than 1, from elements of eight
 * bytes and their null flags, of which `nnulls` are set.
 */
static Datum
make_array(Oid element_type, const void *elements, const bool *nulls, int n, int nnulls)
{
	const uint64 *element = elements;
	Size		header = nnulls > 0 ? ARR_OVERHEAD_WITHNULLS(1, n) : ARR_OVERHEAD_NONULLS(1);
	Size		size = header + (n - nnulls) * sizeof(uint64);
	ArrayType  *array = palloc0(size);
	uint64	   *data;
	int			i;

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = nnulls > 0 ? header : 0;
	array->elemtype = element_type;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	data = (uint64 *) ARR_DATA_PTR(array);
	if (nnulls == 0)
		memcpy(data, elements, n * sizeof(uint64));
	else
		for (i = 0; i < n; i++)
		{
			if (nulls[i])
				continue;
			ARR_NULLBITMAP(array)[i / 8] |= 1 << (i % 8);
			*data++ = element[i];
		}
	return PointerGetDatum(array);
}

/* A group's results for one part, before they become a row. */
typedef struct PartResults
{
	double		results[MAX_PART_RESULTS];
	bool		undefined[MAX_PART_RESULTS];
	uint64		counts[MAX_PART_RESULTS];	/* of each metric */
	int			defined;		/* results that are not undefined */
} PartResults;

/*
 * Finishes a metric of a group, by its number in the part.  ERROR where a result
 * is out of range.
 */
static void
finish_metric(const Rollup *rollup, const ResultPart *part, int number,
			  const GroupOut *group, PartResults *out)
{
	const GroupLayout *layout = rollup->layout;
	const ResultMetric *metric = &part->metrics[number];
	const JobMetric *job_metric = metric->job_metric;
	FinishResult finishes[MAX_AGGREGATES];
	int			i;

	state_finish_all(group_state(layout, group->states, metric->state),
					 layout->fields[metric->state], job_metric->aggregates,
					 job_metric->naggregates, out->results + metric->first, finishes);
	for (i = 0; i < job_metric->naggregates; i++)
	{
		if (finishes[i] == FINISH_OVERFLOW)
			report_overflow(rollup, job_metric, &job_metric->aggregates[i], group);
		out->undefined[metric->first + i] = finishes[i] == FINISH_UNDEFINED;
		out->defined += finishes[i] == FINISH_VALUE;
	}
}

/*
 * Finishes those metrics of a group together that can be, from one of them on.
 * Returns false where that must be done one by one.
 */
static bool
finish_together(const GroupLayout *layout, const ResultMetric *metric, const GroupOut *group,
				PartResults *out)
{
	int			n = metric->together;
	int			naggregates = metric->job_metric->naggregates;

	if (n < SPAN_FINISH_LEAST ||
		!span_finish(&layout->spans[layout->span_of[metric->state]], group->states,
					 layout->places[metric->state], n, metric->job_metric->aggregates,
					 naggregates, out->results + metric->first))
		return false;
	memset(out->undefined + metric->first, false, n * naggregates * sizeof(bool));
	out->defined += n * naggregates;
	return true;
}

/*
 * Finishes the states of a group for one part.
 */
static void
finish_results(const Rollup *rollup, const ResultPart *part, const GroupOut *group,
			   PartResults *out)
{
	const GroupLayout *layout = rollup->layout;
	int			next;
	int			i;

	out->defined = 0;
	for (i = 0; i < part->nmetrics; i = next)
	{
		next = i + part->metrics[i].together;
		if (finish_together(layout, &part->metrics[i], group, out))
			continue;
		for (; i < next; i++)
			finish_metric(rollup, part, i, group, out);
	}
	for (i = 0; i < part->nmetrics; i++)
		out->counts[i] = state_count(group_state(layout, group->states, part->metrics[i].state));
}

/*
 * The partial states of a part's metrics, one behind the other.
 */
static Datum
part_states(const Rollup *rollup, const ResultPart *part, const GroupOut *group)
{
	const GroupLayout *layout = rollup->layout;
	Size		size = VARHDRSZ + part->words * sizeof(StateWord);
	bytea	   *result = palloc(size);
	char	   *at = VARDATA(result);
	int			i;
	int			j;

	for (i = 0; i < part->nmetrics; i++)
	{
		int			number = part->metrics[i].state;
		State		state = group_state(layout, group->states, number);

		for (j = 0; j < state_words(layout->fields[number]); j++)
		{
			memcpy(at, state_at(state, j), sizeof(StateWord));
			at += sizeof(StateWord);
		}
	}
	SET_VARSIZE(result, size);
	return PointerGetDatum(result);
}

/* Does a part of a group have states that are to be kept? */
static bool
part_keeps_states(const Rollup *rollup, const PartWriter *part, const PartResults *out)
{
	int			i;

	if (rollup->refresh->keeps_states)
		for (i = 0; i < part->part->nmetrics; i++)
			if (out->counts[i] > 0)
				return true;
	return false;
}

/*
 * Makes a group's row for one part, but for updated_at.  Returns how many of its results
 * are defined; -1 where none is, as the deviation of one value, and no states are to be
 * kept: there is no row then.  ERROR where a result is out of range.
 */
int
part_row(const Rollup *rollup, const PartWriter *part, const GroupOut *group, Datum *values,
		 bool *nulls)
{
	PartResults out;
	int			n = part->part->npositions;
	int			nmetrics = part->part->nmetrics;
	bool		same = true;
	int			i;

	finish_results(rollup, part->part, group, &out);
	if (out.defined == 0 && !part_keeps_states(rollup, part, &out))
		return -1;

	for (i = 1; i < nmetrics; i++)
		same &= out.counts[i] == out.counts[0];
	memset(nulls, 0, STORE_COLUMNS * sizeof(bool));
	values[STORE_LAYOUT_ID] = Int32GetDatum(part->part->layout->id);
	values[STORE_BUCKET] = TimestampTzGetDatum(group->bucket);
	values[STORE_ENTITY_ID] =
		PointerGetDatum(cstring_to_text_with_len(group->entity, group->entity_length));
	values[STORE_SAMPLE_COUNT] = Int64GetDatum(out.counts[0]);
	nulls[STORE_METRIC_COUNTS] = same;
	values[STORE_METRIC_COUNTS] = same ? (Datum) 0 :
		make_array(INT8OID, out.counts, NULL, nmetrics, 0);
	values[STORE_RESULTS] = make_array(FLOAT8OID, out.results, out.undefined, n, n - out.defined);
	nulls[STORE_STATES] = !rollup->refresh->keeps_states;
	values[STORE_STATES] = nulls[STORE_STATES] ? (Datum) 0 :
		part_states(rollup, part->part, group);
	return out.defined;
}

/* Are two arrays, or other values of variable length, the same bytes? */
static bool
bytes_equal(Datum a, Datum b)
{
	struct varlena *bytes_a = PG_DETOAST_DATUM(a);
	struct varlena *bytes_b = PG_DETOAST_DATUM(b);

	return VARSIZE(bytes_a) == VARSIZE(bytes_b) &&
		memcmp(bytes_a, bytes_b, VARSIZE(bytes_a)) == 0;
}

/*
 * Is the part's stored row the same as this one, but for updated_at?
 */
bool
part_row_equal(const PartWriter *part, const Datum *values, const bool *nulls)
{
	static const int bytes_columns[] = {STORE_METRIC_COUNTS, STORE_RESULTS, STORE_STATES};
	const Datum *stored = part->stored->tts_values;
	const bool *stored_nulls = part->stored->tts_isnull;
	int			i;

	if (stored[STORE_SAMPLE_COUNT] != values[STORE_SAMPLE_COUNT])
		return false;
	for (i = 0; i < lengthof(bytes_columns); i++)
	{
		int			column = bytes_columns[i];

		if (stored_nulls[column] != nulls[column] ||
			(!nulls[column] && !bytes_equal(stored[column], values[column])))
			return false;
	}
	return true;
}

/*
 * Do the part's stored states come to other results than those of this row?  The
 * states themselves depend on the order of rows.
 */
bool
part_states_differ(const Rollup *rollup, const PartWriter *part, const Datum *values,
				   const bool *nulls)
{
	const GroupLayout *layout = rollup->layout;
	GroupOut	group;
	PartResults stored;
	UnpackedRow computed;
	int			i;

	if (part->stored->tts_isnull[STORE_STATES] || nulls[STORE_STATES])
		return false;
	part_name_group(part, &group);
	group.states = palloc(layout->words * sizeof(StateWord));
	group_states_init(layout, group.states);
	part_take_states(layout, part, group.states);
	finish_results(rollup, part->part, &group, &stored);
	row_unpack(values, nulls, &computed);
	for (i = 0; i < part->part->nmetrics; i++)
		if ((int64) stored.counts[i] != row_count(values, nulls, i))
			return true;
	for (i = 0; i < part->part->npositions; i++)
		if (stored.undefined[i] != computed.undefined[i] ||
			(!stored.undefined[i] &&
			 memcmp(&stored.results[i], &computed.results[i], sizeof(double)) != 0))
			return true;
	return false;
}
