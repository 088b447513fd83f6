/*-------------------------------------------------------------------------
 *
 * entity.c
 *	  Interning entity ids: from any type's values to small numbers.
 *
 * Groups are keyed by (bucket, entity), and a source has few entities and many
 * rows.  So each distinct id is given a number once, and rows find it by the
 * bytes of their id (its "image"), without calling the type's functions: one
 * hash of a few bytes and one comparison.  Not even the hash where ids come in
 * the order in which they came the last time, as those of counters do that are
 * collected in rounds, or where each repeats itself; which is tried where it would
 * have been right for the last few.
 *
 * For most id types equal values have equal images: integers, text under a
 * deterministic collation, uuid, date.  For the others (numeric 1.0 and 1.00,
 * char(n), citext, float8 -0) an image not seen before is looked up once more
 * by value, with the type's own hash and equality functions, and then becomes
 * another image of the same entity.  A type without a hash operator class has
 * its values compared by their text.
 *
 * An entity's text is what its type's output function prints for the first
 * image met, for char(n) without the padding.  Ranks order entities by that text, byte by byte, as the store's
 * index does; entities that print alike get the same rank.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "group/entity.h"
#include "group/mix.h"

#define MIN_IMAGE_SLOTS 256

/* Ids come in an order that is known when so many have. */
#define IN_ORDER 2

/* Where there are so many more entities than are asked for, only these are ranked. */
#define RANK_SOME 4

/* An odd number with bits in no order, those of the golden ratio. */
#define HASH_FACTOR UINT64CONST(0x9E3779B97F4A7C15)

/*
 * An image.  Its ends are two words, which overlap where it is short, so that
 * two images of up to 16 bytes are equal if these and their lengths are.
 */
typedef struct ImageKey
{
	const char *bytes;			/* NULL where ids are by value */
	uint32		length;			/* of bytes, 0 where ids are by value */
	uint64		first;			/* the first 8 bytes, or all; by value: the id */
	uint64		last;			/* the last 8 bytes of at least 8; else 0 */
} ImageKey;

/* The longest image that its ends are all of. */
#define SHORT_IMAGE (2 * sizeof(uint64))

/*
 * One image in the hash table: half a line of the processor's cache.
 */
typedef struct Image
{
	uint64		first;
	union
	{
		uint64		last;
		const char *bytes;		/* if it is not short */
	};
	uint32		length;
	uint32		hash;
	uint32		entity;			/* number + 1; 0: the slot is free */
	uint32		next;			/* slot of the image that came after this one */
} Image;

StaticAssertDecl(sizeof(Image) == 32, "an image is half a cache line");

typedef struct Entity
{
	const char *text;
	uint32		length;			/* of the text */
	uint32		rank;			/* set by entities_rank() */
	uint32		value_hash;		/* by the type's hash function, if compared by value */
	Datum		value;			/* likewise */
} Entity;

struct Entities
{
	MemoryContext parent;		/* where the context is made */
	MemoryContext context;		/* all but this struct */
	Oid			typid;			/* base type of the ids */
	int16		typlen;
	bool		typbyval;
	bool		by_value;		/* images do not decide: compare values too */
	bool		hashable;		/* the type has a hash operator class */
	Oid			collation;
	FmgrInfo	output;
	FmgrInfo   *hash_proc;		/* if by_value and hashable */
	FmgrInfo   *equal_proc;

	Image	   *images;			/* open addressing, linear probing */
	void	   *image_memory;	/* what they are in, as it was allocated */
	uint32		image_mask;
	uint32		nimages;
	uint32		last;			/* slot of the image that came last */
	uint32		in_order;		/* ids that came after the same as before, by now */

	Entity	   *entities;
	uint32		nentities;
	uint32		size;			/* room in entities */
	uint32	   *by_value_slots; /* entity number + 1, by value hash */
	uint32		by_value_mask;
	uint32		nranked;		/* entities when all were last given ranks */
	uint32	   *by_rank;		/* an entity of each rank */
};

static void entities_start(Entities *entities);
static void images_allocate(Entities *entities, uint32 mask);
static uint32 image_add(Entities *entities, Datum id, const ImageKey *key, uint32 hash);
static void image_put(Entities *entities, Image image, uint32 entity);
static void image_place(Entities *entities, const Image *image);
static void images_grow(Entities *entities);
static uint32 entity_of_new_image(Entities *entities, Datum id);
static Entity *entity_add(Entities *entities, const char *text, Size length);
static uint32 entity_by_value(Entities *entities, Datum id, const char *text,
							  uint32 *value_hash);
static void by_value_grow(Entities *entities);

/*
 * Do equal values of this type always have equal images?
 */
static bool
image_decides(Oid typid, Oid collation)
{
	switch (typid)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case BYTEAOID:
		case NAMEOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return !OidIsValid(collation) || get_collation_isdeterministic(collation);
		default:
			return type_is_enum(typid);
	}
}

/*
 * Do equal ids of this type, or of the type its domain is over, always have the
 * same text?
 */
bool
entities_print_alike(Oid typid, Oid collation)
{
	typid = getBaseType(typid);
	return image_decides(typid, collation) ||
		(typid == BPCHAROID && get_collation_isdeterministic(collation));
}

/*
 * Creates an empty set of entities whose ids are of type `typid` (a domain is
 * seen as its base type) under `collation`.  All memory is in a child of
 * `parent`.
 */
Entities *
entities_create(MemoryContext parent, Oid typid, Oid collation)
{
	Entities   *entities = MemoryContextAllocZero(parent, sizeof(Entities));
	Oid			output;
	bool		is_varlena;

	typid = getBaseType(typid);
	entities->parent = parent;
	entities->typid = typid;
	entities->collation = collation;
	get_typlenbyval(typid, &entities->typlen, &entities->typbyval);
	getTypeOutputInfo(typid, &output, &is_varlena);
	fmgr_info_cxt(output, &entities->output, parent);

	entities->by_value = !image_decides(typid, collation);
	if (entities->by_value)
	{
		TypeCacheEntry *type = lookup_type_cache(typid, TYPECACHE_HASH_PROC_FINFO |
												 TYPECACHE_EQ_OPR_FINFO);

		entities->hashable = OidIsValid(type->hash_proc) && OidIsValid(type->eq_opr);
		entities->hash_proc = &type->hash_proc_finfo;
		entities->equal_proc = &type->eq_opr_finfo;
	}
	entities_start(entities);
	return entities;
}

static void
entities_start(Entities *entities)
{
	entities->context = AllocSetContextCreate(entities->parent, "batchagg entities",
											  ALLOCSET_DEFAULT_SIZES);
	images_allocate(entities, MIN_IMAGE_SLOTS - 1);
	entities->nimages = 0;
	entities->last = 0;
	entities->in_order = 0;
	entities->size = MIN_IMAGE_SLOTS / 2;
	entities->entities = MemoryContextAlloc(entities->context,
											entities->size * sizeof(Entity));
	entities->nentities = 0;
	entities->nranked = 0;
	entities->by_rank = NULL;
	if (entities->by_value)
	{
		entities->by_value_mask = MIN_IMAGE_SLOTS - 1;
		entities->by_value_slots = MemoryContextAllocZero(entities->context,
														  MIN_IMAGE_SLOTS * sizeof(uint32));
	}
}

static inline uint64
image_word(const char *bytes)
{
	uint64		word;

	memcpy(&word, bytes, sizeof(uint64));
	return word;
}

/*
 * All bytes of an image of less than a word.  Reads overlap, so that none has a
 * variable length.
 */
static inline uint64
image_short_word(const char *bytes, uint32 length)
{
	uint32		low;
	uint32		high;

	if (length >= sizeof(uint32))
	{
		memcpy(&low, bytes, sizeof(uint32));
		memcpy(&high, bytes + length - sizeof(uint32), sizeof(uint32));
		return (uint64) high << 32 | low;
	}
	if (length == 0)
		return 0;
	return (uint64) (uint8) bytes[0] | (uint64) (uint8) bytes[length / 2] << 8 |
		(uint64) (uint8) bytes[length - 1] << 16;
}

static inline ImageKey
image_of_bytes(const char *bytes, uint32 length)
{
	ImageKey	key = {.bytes = bytes,.length = length};

	if (likely(length >= sizeof(uint64)))
	{
		key.first = image_word(bytes);
		key.last = image_word(bytes + length - sizeof(uint64));
	}
	else
		key.first = image_short_word(bytes, length);
	return key;
}

/*
 * A fast hash of a few bytes, a word at a time.  Ids are short, and
 * hash_bytes() would cost as much as all the rest.
 */
static inline uint32
image_hash(const ImageKey *key)
{
	uint64		h = mix64(key->first * HASH_FACTOR ^ key->last ^ key->length);
	uint32		at;

	for (at = sizeof(uint64); at + sizeof(uint64) < key->length; at += sizeof(uint64))
		h = mix64(h ^ image_word(key->bytes + at));
	return (uint32) h;
}

/* Is this slot's image the given one? */
static inline bool
image_is(const Image *image, const ImageKey *key)
{
	return image->entity != 0 && image->length == key->length &&
		image->first == key->first &&
		(likely(key->length <= SHORT_IMAGE) ? image->last == key->last :
		 memcmp(image->bytes, key->bytes, key->length) == 0);
}

/* The image of an id, which is detoasted if it has to be. */
static inline ImageKey
image_of(const Entities *entities, Datum *id)
{
	const char *bytes = DatumGetPointer(*id);

	if (entities->typbyval)
		return (ImageKey) {.first = (uint64) *id};
	if (entities->typlen == -1)
	{
		struct varlena *packed = PG_DETOAST_DATUM_PACKED(*id);

		*id = PointerGetDatum(packed);
		return image_of_bytes(VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
	}
	return image_of_bytes(bytes, entities->typlen > 0 ? entities->typlen : strlen(bytes));
}

/*
 * A hash of an id that is not NULL: the same for the same image.
 */
uint32
entities_hash(const Entities *entities, Datum id)
{
	ImageKey	key = image_of(entities, &id);

	return image_hash(&key);
}

/*
 * Returns the number of the entity with this non-null id, new or known.
 * Numbers count from 0 in the order of first appearance.
 */
uint32
entities_intern(Entities *entities, Datum id)
{
	ImageKey	key = image_of(entities, &id);
	uint32		next = entities->images[entities->last].next;
	uint32		hash;
	uint32		at;

	if (entities->in_order >= IN_ORDER && image_is(&entities->images[next], &key))
	{
		entities->last = next;
		return entities->images[next].entity - 1;
	}

	hash = image_hash(&key);
	for (at = hash & entities->image_mask;; at = (at + 1) & entities->image_mask)
	{
		const Image *image = &entities->images[at];

		if (image->entity == 0)
			return image_add(entities, id, &key, hash);
		if (image->hash == hash && image_is(image, &key))
		{
			entities->in_order = next == at ? entities->in_order + 1 : 0;
			entities->images[entities->last].next = at;
			entities->last = at;
			return image->entity - 1;
		}
	}
}

/*
 * Adds an image that is not in the table, and returns its entity's number;
 * NO_ENTITY, and adds none, where the id is too long.
 */
static uint32
image_add(Entities *entities, Datum id, const ImageKey *key, uint32 hash)
{
	uint32		entity = entity_of_new_image(entities, id);
	Image		image = {.first = key->first,.length = key->length,.hash = hash};

	if (entity == NO_ENTITY)
		return entity;

	if (key->length <= SHORT_IMAGE)
		image.last = key->last;
	else
		image.bytes = key->bytes;
	image_put(entities, image, entity);
	return entity;
}

/* Puts an image into the table, as one of this entity; long bytes are copied. */
static void
image_put(Entities *entities, Image image, uint32 entity)
{
	if (entities->nimages >= entities->image_mask / 2)
		images_grow(entities);
	if (image.length > SHORT_IMAGE)
		image.bytes = memcpy(MemoryContextAlloc(entities->context, image.length),
							 image.bytes, image.length);
	image.entity = entity + 1;
	image.next = 0;
	image_place(entities, &image);
	entities->nimages++;
}

/* Copies an image to a free slot, of which there are enough. */
static void
image_place(Entities *entities, const Image *image)
{
	uint32		at = image->hash & entities->image_mask;

	while (entities->images[at].entity != 0)
		at = (at + 1) & entities->image_mask;
	entities->images[at] = *image;
}

/* Allocates an empty table of images, none of which is in two lines of the cache. */
static void
images_allocate(Entities *entities, uint32 mask)
{
	Size		size = ((Size) mask + 1) * sizeof(Image);

	entities->image_memory = MemoryContextAllocExtended(entities->context,
														size + sizeof(Image),
														MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	entities->images = (Image *) TYPEALIGN(sizeof(Image), entities->image_memory);
	entities->image_mask = mask;
}

static void
images_grow(Entities *entities)
{
	Image	   *old = entities->images;
	void	   *old_memory = entities->image_memory;
	uint32		old_mask = entities->image_mask;
	uint32		i;

	images_allocate(entities, old_mask * 2 + 1);
	for (i = 0; i <= old_mask; i++)
		if (old[i].entity != 0)
			image_place(entities, &old[i]);
	pfree(old_memory);
}

/*
 * The text of an id, palloc'd, and its length.
 */
char *
entities_id_text(const Entities *entities, Datum id, int *length)
{
	char	   *text = OutputFunctionCall(unconstify(FmgrInfo *, &entities->output), id);

	*length = strlen(text);
	if (entities->typid == BPCHAROID)
		*length = bpchartruelen(text, *length);
	return text;
}

/*
 * The entity of an id whose image was not seen before: a known one with an
 * equal value, or a new one; NO_ENTITY where it is too long.
 */
static uint32
entity_of_new_image(Entities *entities, Datum id)
{
	int			length;
	char	   *text = entities_id_text(entities, id, &length);
	uint32		value_hash = 0;
	Entity	   *entity;
	MemoryContext old_context;

	if (length > MAX_ENTITY_TEXT)
		return NO_ENTITY;
	if (entities->by_value)
	{
		uint32		known = entity_by_value(entities, id, text, &value_hash);

		if (known > 0)
			return known - 1;
	}

	entity = entity_add(entities, text, length);
	if (entities->by_value)
	{
		old_context = MemoryContextSwitchTo(entities->context);
		entity->value_hash = value_hash;
		entity->value = datumCopy(id, entities->typbyval, entities->typlen);
		MemoryContextSwitchTo(old_context);
		by_value_grow(entities);
	}
	pfree(text);
	return entities->nentities - 1;
}

/* Adds an entity of this text, which is copied. */
static Entity *
entity_add(Entities *entities, const char *text, Size length)
{
	Entity	   *entity;
	char	   *copy = MemoryContextAlloc(entities->context, length + 1);

	if (entities->nentities == entities->size)
	{
		entities->size *= 2;
		entities->entities = repalloc_huge(entities->entities,
										   (Size) entities->size * sizeof(Entity));
	}
	memcpy(copy, text, length);
	copy[length] = '\0';
	entity = &entities->entities[entities->nentities++];
	*entity = (Entity) {.text = copy,.length = length};
	return entity;
}

/*
 * Looks an id up by value.  Returns its entity's number + 1, or 0, and sets
 * *value_hash.
 */
static uint32
entity_by_value(Entities *entities, Datum id, const char *text, uint32 *value_hash)
{
	uint32		at;

	if (entities->hashable)
		*value_hash = DatumGetUInt32(FunctionCall1Coll(entities->hash_proc,
													   entities->collation, id));
	else
	{
		ImageKey	key = image_of_bytes(text, strlen(text));

		*value_hash = image_hash(&key);
	}

	for (at = *value_hash & entities->by_value_mask;; at = (at + 1) & entities->by_value_mask)
	{
		uint32		number = entities->by_value_slots[at];
		const Entity *entity;

		if (number == 0)
			return 0;
		entity = &entities->entities[number - 1];
		if (entity->value_hash != *value_hash)
			continue;
		if (entities->hashable ?
			DatumGetBool(FunctionCall2Coll(entities->equal_proc, entities->collation,
										   entity->value, id)) :
			strcmp(entity->text, text) == 0)
			return number;
	}
}

/*
 * Enters the newest entity into the table by value, which is kept less than
 * half full.
 */
static void
by_value_grow(Entities *entities)
{
	uint32		first = entities->nentities - 1;
	uint32		i;

	if (entities->nentities >= entities->by_value_mask / 2)
	{
		entities->by_value_mask = entities->by_value_mask * 2 + 1;
		pfree(entities->by_value_slots);
		entities->by_value_slots =
			MemoryContextAllocExtended(entities->context,
									   ((Size) entities->by_value_mask + 1) * sizeof(uint32),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		first = 0;
	}
	for (i = first; i < entities->nentities; i++)
	{
		uint32		at = entities->entities[i].value_hash & entities->by_value_mask;

		while (entities->by_value_slots[at] != 0)
			at = (at + 1) & entities->by_value_mask;
		entities->by_value_slots[at] = i + 1;
	}
}

static inline int
entity_compare(const Entity *a, const Entity *b)
{
	return entity_text_compare(a->text, a->length, b->text, b->length);
}

#define ST_SORT sort_entity_numbers
#define ST_ELEMENT_TYPE uint32
#define ST_COMPARE_ARG_TYPE const Entity
#define ST_COMPARE(a, b, entities) entity_compare(&(entities)[*(a)], &(entities)[*(b)])
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Ranks the entities of these numbers by their texts; numbers[] becomes by_rank.
 */
static void
rank_numbers(Entities *entities, uint32 *numbers, uint32 n)
{
	uint32		rank = 0;
	uint32		i;

	sort_entity_numbers(numbers, n, entities->entities);

	/* Ranks are never more than entities, so they can take the same array. */
	for (i = 0; i < n; i++)
	{
		uint32		number = numbers[i];

		if (i > 0 && entity_compare(&entities->entities[numbers[rank]],
									&entities->entities[number]) != 0)
			rank++;
		entities->entities[number].rank = rank;
		numbers[rank] = number;
	}
	if (entities->by_rank != NULL)
		pfree(entities->by_rank);
	entities->by_rank = numbers;
}

/*
 * Gives the entities of these `n` numbers, which may repeat, their ranks among each
 * other: all of them theirs, which are good for the next time, unless they are many
 * more.
 */
void
entities_rank(Entities *entities, const uint32 *numbers, uint32 n)
{
	bool		all = entities->nentities / RANK_SOME <= n;
	uint32		nranked = all ? entities->nentities : n;
	uint32	   *copy;
	uint32		i;

	if (entities->nranked == entities->nentities)
		return;
	copy = MemoryContextAllocHuge(entities->context, Max(nranked, 1) * sizeof(uint32));
	for (i = 0; i < nranked; i++)
		copy[i] = all ? i : numbers[i];
	rank_numbers(entities, copy, nranked);
	entities->nranked = all ? entities->nentities : 0;
}

/*
 * Returns the rank of an entity, as of the last entities_rank().
 */
uint32
entities_rank_of(const Entities *entities, uint32 entity)
{
	return entities->entities[entity].rank;
}

/*
 * Returns the text of an entity, not to be changed, and its length in bytes.
 */
const char *
entities_text(const Entities *entities, uint32 entity, int *length)
{
	*length = entities->entities[entity].length;
	return entities->entities[entity].text;
}

/*
 * Returns the text of the entities of a rank, as of the last entities_rank(),
 * likewise.
 */
const char *
entities_text_of_rank(const Entities *entities, uint32 rank, int *length)
{
	return entities_text(entities, entities->by_rank[rank], length);
}

/*
 * Returns the memory that the entities take, in bytes.
 */
Size
entities_memory(const Entities *entities)
{
	return MemoryContextMemAllocated(entities->context, true);
}

/*
 * Can the entities be forgotten?  Not where ids are compared by value: there
 * the text of the first image met must stay the same throughout.
 */
bool
entities_forgettable(const Entities *entities)
{
	return !entities->by_value;
}

/*
 * Forgets all entities, to free their memory; numbers given out before lose
 * their meaning.
 */
void
entities_forget(Entities *entities)
{
	Assert(entities_forgettable(entities));
	MemoryContextDelete(entities->context);
	entities_start(entities);
}

/*
 * Forgets all entities but those of these numbers, which may repeat, and sets
 * numbers[] to what they are from now on.
 */
void
entities_keep(Entities *entities, uint32 *numbers, uint32 n)
{
	Entities	old = *entities;
	uint32	   *kept = MemoryContextAllocExtended(old.context, old.nentities * sizeof(uint32),
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32		i;

	Assert(entities_forgettable(entities));
	entities_start(entities);
	for (i = 0; i < n; i++)
	{
		const Entity *entity = &old.entities[numbers[i]];
		uint32	   *number = &kept[numbers[i]]; /* + 1 */

		if (*number == 0)
		{
			(void) entity_add(entities, entity->text, entity->length);
			*number = entities->nentities;
		}
		numbers[i] = *number - 1;
	}
	for (i = 0; i <= old.image_mask; i++)
	{
		const Image *image = &old.images[i];

		if (image->entity != 0 && kept[image->entity - 1] != 0)
			image_put(entities, *image, kept[image->entity - 1] - 1);
	}
	MemoryContextDelete(old.context);
}

/*
 * How many entities there are.
 */
uint32
entities_count(const Entities *entities)
{
	return entities->nentities;
}
