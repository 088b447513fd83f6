/*-------------------------------------------------------------------------
 *
 * textmap.h
 *	  A map from texts to anything: jobs can have thousands of metrics, tables and
 *	  definitions, which must not be looked for one by one.
 *
 *	  textmap_create(), textmap_insert() and textmap_lookup() are simplehash's.  The
 *	  map does not copy the texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TEXTMAP_H
#define BATCHAGG_TEXTMAP_H

#include "common/hashfn.h"

typedef struct TextMapEntry
{
	const char *text;
	void	   *value;
	uint32		hash;
	char		status;
} TextMapEntry;

static inline uint32
textmap_text_hash(const char *text)
{
	return hash_bytes((const unsigned char *) text, strlen(text));
}

#define SH_PREFIX textmap
#define SH_ELEMENT_TYPE TextMapEntry
#define SH_KEY_TYPE const char *
#define SH_KEY text
#define SH_HASH_KEY(map, key) textmap_text_hash(key)
#define SH_EQUAL(map, a, b) (strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(map, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* What a text leads to; NULL: nothing. */
static inline void *
textmap_get(textmap_hash *map, const char *text)
{
	TextMapEntry *entry = textmap_lookup(map, text);

	return entry ? entry->value : NULL;
}

/* Has a text lead to this, whatever it led to before. */
static inline void
textmap_put(textmap_hash *map, const char *text, void *value)
{
	bool		found;

	textmap_insert(map, text, &found)->value = value;
}

#endif							/* BATCHAGG_TEXTMAP_H */
