/*-------------------------------------------------------------------------
 *
 * entity.h
 *	  Interning entity ids: from any type's values to small numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ENTITY_H
#define BATCHAGG_ENTITY_H

typedef struct Entities Entities;

extern Entities *entities_create(MemoryContext parent, Oid typid, Oid collation);
extern uint32 entities_intern(Entities *entities, Datum id);
extern void entities_rank(Entities *entities);
extern uint32 entities_rank_of(const Entities *entities, uint32 entity);
extern const char *entities_text(const Entities *entities, uint32 entity, int *length);
extern const char *entities_text_of_rank(const Entities *entities, uint32 rank, int *length);
extern Size entities_memory(const Entities *entities);
extern bool entities_forgettable(const Entities *entities);
extern void entities_forget(Entities *entities);

#endif							/* BATCHAGG_ENTITY_H */
