/*-------------------------------------------------------------------------
 *
 * group.c
 *	  A group: the partial states of all metrics of a bucket and an entity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "group/group.h"

/*
 * Lays out groups of `nmetrics` metrics, with their numbers among the scan's in
 * ascending order, which are those of a row's values unless metrics lie apart, and
 * the fields that their states need.  Memory is taken from the current context.
 */
void
group_layout_init(GroupLayout *layout, int nmetrics, const int *numbers,
				  const uint32 *fields, bool apart)
{
	int			next;
	int			i;
	int			j;

	layout->nmetrics = nmetrics;
	layout->numbers = palloc(nmetrics * sizeof(int));
	layout->fields = palloc(nmetrics * sizeof(uint32));
	layout->span_of = palloc(nmetrics * sizeof(int));
	layout->places = palloc(nmetrics * sizeof(int));
	layout->spans = palloc(nmetrics * sizeof(MetricSpan));
	layout->kept = palloc(nmetrics * sizeof(int));
	layout->nspans = 0;
	layout->nkept = 0;
	layout->words = 0;
	memcpy(layout->numbers, numbers, nmetrics * sizeof(int));
	memcpy(layout->fields, fields, nmetrics * sizeof(uint32));

	for (i = 0; i < nmetrics; i = next)
	{
		MetricSpan *span = &layout->spans[layout->nspans++];

		for (next = i + 1; !apart && next < nmetrics && fields[next] == fields[i] &&
			 numbers[next] == numbers[next - 1] + 1; next++)
			;
		span_init(span, apart ? 0 : numbers[i], next - i, fields[i], layout->words);
		for (j = i; j < next; j++)
		{
			layout->span_of[j] = layout->nspans - 1;
			layout->places[j] = j - i;
		}
		layout->words += span->n * span->words;
	}

	layout->empty = palloc(layout->words * sizeof(StateWord));
	for (i = 0; i < nmetrics; i++)
	{
		state_init(group_state(layout, layout->empty, i), fields[i]);
		if (fields[i] & FIELD_VALUES)
			layout->kept[layout->nkept++] = i;
	}
}

/*
 * Makes the states of a group empty.
 */
void
group_states_init(const GroupLayout *layout, StateWord *states)
{
	memcpy(states, layout->empty, layout->words * sizeof(StateWord));
}

/*
 * Merges the states of group `from` into those of `into`.
 */
void
group_states_merge(const GroupLayout *layout, StateWord *into, StateWord *from,
				   MemoryContext values_context)
{
	int			i;

	for (i = 0; i < layout->nspans; i++)
		span_merge(&layout->spans[i], into, from, values_context);
}

/*
 * Bytes of the values that a group's states keep.
 */
Size
group_values_bytes(const GroupLayout *layout, StateWord *states)
{
	Size		bytes = 0;
	int			i;

	for (i = 0; i < layout->nkept; i++)
		bytes += state_count(group_state(layout, states, layout->kept[i])) * sizeof(double);
	return bytes;
}

/*
 * Are some of a group's values in a file?
 */
bool
group_is_elsewhere(const GroupLayout *layout, StateWord *states)
{
	int			i;

	for (i = 0; i < layout->nkept; i++)
	{
		const ValueArray *values = group_values_word(layout, states, layout->kept[i])->values;

		if (values != NULL && values->elsewhere != NULL)
			return true;
	}
	return false;
}
