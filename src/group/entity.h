/*-------------------------------------------------------------------------
 *
 * entity.h
 *	  Interning entity ids: from any type's values to small numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ENTITY_H
#define BATCHAGG_ENTITY_H

/*
 * The longest text of an id: with it, the store's index rows stay within the
 * limit of a btree (a third of a page).
 */
#define MAX_ENTITY_TEXT 2000

/* No entity: an id whose text is longer. */
#define NO_ENTITY PG_UINT32_MAX

typedef struct Entities Entities;

/* Byte order of two texts, as of the store's column with collation "C". */
static inline int
entity_text_compare(const char *a, int length_a, const char *b, int length_b)
{
	int			c = memcmp(a, b, Min(length_a, length_b));

	if (c != 0)
		return c;
	return length_a < length_b ? -1 : (length_a > length_b ? 1 : 0);
}

extern bool entities_print_alike(Oid typid, Oid collation);
extern Entities *entities_create(MemoryContext parent, Oid typid, Oid collation);
extern uint32 entities_hash(const Entities *entities, Datum id);
extern uint32 entities_intern(Entities *entities, Datum id);
extern char *entities_id_text(const Entities *entities, Datum id, int *length);
extern void entities_rank(Entities *entities, const uint32 *numbers, uint32 n);
extern uint32 entities_rank_of(const Entities *entities, uint32 entity);
extern const char *entities_text(const Entities *entities, uint32 entity, int *length);
extern const char *entities_text_of_rank(const Entities *entities, uint32 rank, int *length);
extern Size entities_memory(const Entities *entities);
extern bool entities_forgettable(const Entities *entities);
extern void entities_forget(Entities *entities);
extern void entities_keep(Entities *entities, uint32 *numbers, uint32 n);
extern uint32 entities_count(const Entities *entities);

#endif							/* BATCHAGG_ENTITY_H */
