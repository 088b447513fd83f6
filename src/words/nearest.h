/*-------------------------------------------------------------------------
 *
 * nearest.h
 *	  Which of the known words somebody meant, who wrote one that is not.
 *
 * A pure room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NEAREST_H
#define BATCHAGG_NEAREST_H

/* A word that people write, and the known one that they mean. */
typedef struct Synonym
{
	const char *word;			/* in lower case */
	const char *meant;
} Synonym;

/* Longer words are cut before they are compared. */
#define NEAREST_MAX_LENGTH 64

extern const char *synonym_of(const Synonym *synonyms, int n, const char *word);
extern int	word_distance(const char *a, const char *b);
extern int	word_tolerance(const char *word);
extern const char *word_nearest(const char *word, const char *const *known, int nknown);
extern void word_fold(const char *word, const char *ignored, char *folded, int size);

#endif							/* BATCHAGG_NEAREST_H */
