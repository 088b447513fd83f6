/*-------------------------------------------------------------------------
 *
 * test_words.c
 *	  Tests of src/words: which known word somebody meant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shim.h"
#include "words/nearest.h"

static void
test_distance(void)
{
	static const struct
	{
		const char *a;
		const char *b;
		int			distance;
	}			cases[] = {
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "ABC", 0}, {"abc", "abd", 1},
		{"abc", "acb", 1}, {"abc", "bca", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
		{"hour", "huor", 1}, {"clicks", "klicks", 1}, {"page_views", "pageviews", 1}
	};
	char		longest[3 * NEAREST_MAX_LENGTH];

	for (int i = 0; i < lengthof(cases); i++)
		tap_ok(word_distance(cases[i].a, cases[i].b) == cases[i].distance &&
			   word_distance(cases[i].b, cases[i].a) == cases[i].distance,
			   "\"%s\" and \"%s\" are %d apart", cases[i].a, cases[i].b, cases[i].distance);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	tap_ok(word_distance(longest, "") == NEAREST_MAX_LENGTH, "long words are cut");
}

static void
test_nearest(void)
{
	static const char *const known[] = {"status", "region", "value_1", "value_2", "Y", "id"};
	static const struct
	{
		const char *word;
		const char *nearest;
	}			cases[] = {
		{"stauts", "status"}, {"STATUS", "status"}, {"regoin", "region"}, {"regions", "region"},
		{"value1", "value_1"}, {"value_3", NULL}, {"x", NULL}, {"daily", NULL}, {"", NULL},
		{"ib", "id"}, {"zip", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		const char *nearest = word_nearest(cases[i].word, known, lengthof(known));

		tap_ok(nearest ? cases[i].nearest && strcmp(nearest, cases[i].nearest) == 0 :
			   cases[i].nearest == NULL,
			   "nearest to \"%s\" is %s", cases[i].word, nearest ? nearest : "nothing");
	}
	tap_ok(word_nearest("status", known, 0) == NULL, "nothing is near if nothing is known");
}

static void
test_folding(void)
{
	static const Synonym synonyms[] = {{"hourly", "hour"}};
	char		folded[8];

	word_fold("@Half-Hour", "@-", folded, sizeof(folded));
	tap_ok(strcmp(folded, "halfhou") == 0, "a folded word is cut to its room");
	tap_ok(strcmp(synonym_of(synonyms, 1, "hourly"), "hour") == 0 &&
		   synonym_of(synonyms, 1, "hour") == NULL, "synonyms");
}

int
main(void)
{
	test_distance();
	test_nearest();
	test_folding();
	return tap_done();
}
