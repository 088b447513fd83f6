/*-------------------------------------------------------------------------
 *
 * nearest.c
 *	  Which of the known words somebody meant, who wrote one that is not.
 *
 * A hint that is wrong is worse than none: it sends its reader the wrong way.
 * So a known word is near only where at most one letter in four, and three at
 * most, is wrong: a slip of the fingers.  Words of other systems ("average",
 * "hourly") are further away than that from what they mean here, and nearer to
 * something else; each grammar has a list of these (Synonym), and looks there
 * first.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "words/nearest.h"

/* A slip changes at most so many letters. */
#define MAX_DISTANCE 3
#define LETTERS_PER_SLIP 4

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/*
 * What a word, in lower case, means by a list of synonyms; NULL: nothing.
 */
const char *
synonym_of(const Synonym *synonyms, int n, const char *word)
{
	for (int i = 0; i < n; i++)
		if (strcmp(synonyms[i].word, word) == 0)
			return synonyms[i].meant;
	return NULL;
}

/*
 * Copies a word in lower case and without the characters in `ignored` into
 * `folded` of `size` bytes, cut where it is longer.
 */
void
word_fold(const char *word, const char *ignored, char *folded, int size)
{
	char	   *end = folded;

	for (; *word != '\0' && end - folded < size - 1; word++)
		if (strchr(ignored, *word) == NULL)
			*end++ = lower(*word);
	*end = '\0';
}

/*
 * The number of letters to insert, drop, change or swap with the next one to
 * make one word of the other, in any case (the distance of Levenshtein and
 * Damerau, of which three rows are kept).  Words are cut at
 * NEAREST_MAX_LENGTH.
 */
int
word_distance(const char *a, const char *b)
{
	int			rows[3][NEAREST_MAX_LENGTH + 1];
	int			columns = Min((int) strlen(b), NEAREST_MAX_LENGTH);
	int			lines = Min((int) strlen(a), NEAREST_MAX_LENGTH);

	for (int j = 0; j <= columns; j++)
		rows[0][j] = j;
	for (int i = 1; i <= lines; i++)
	{
		int		   *row = rows[i % 3];
		const int  *above = rows[(i + 2) % 3];
		const int  *twice_above = rows[(i + 1) % 3];

		row[0] = i;
		for (int j = 1; j <= columns; j++)
		{
			bool		same = lower(a[i - 1]) == lower(b[j - 1]);

			row[j] = Min(above[j - 1] + (same ? 0 : 1), Min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
				lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = Min(row[j], twice_above[j - 2] + 1);
		}
	}
	return rows[lines % 3][columns];
}

/*
 * The distance at which another word is still near.
 */
int
word_tolerance(const char *word)
{
	int			letters = (int) strlen(word);

	return Min(MAX_DISTANCE, (letters + LETTERS_PER_SLIP - 2) / LETTERS_PER_SLIP);
}

/* Have two words the same digits?  Another number is no slip. */
static bool
same_digits(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		a += strcspn(a, "0123456789");
		b += strcspn(b, "0123456789");
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
	}
}

/*
 * The one of `known` that is nearest to a word, the first of several; NULL
 * where none is near.
 */
const char *
word_nearest(const char *word, const char *const *known, int nknown)
{
	const char *nearest = NULL;
	int			least = word_tolerance(word) + 1;

	for (int i = 0; i < nknown; i++)
	{
		int			distance = word_distance(word, known[i]);

		if (distance < least && same_digits(word, known[i]))
		{
			nearest = known[i];
			least = distance;
		}
	}
	return nearest;
}
