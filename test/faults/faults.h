/*-------------------------------------------------------------------------
 *
 * faults.h
 *	  Faults on purpose, for the build of the library that tests of faults use.
 *
 * "make BATCHAGG_FAULTS=1" includes this before everything else in each file of the
 * library.  All that it calls of PostgreSQL's that needs memory first asks whether
 * to fail; the same goes for what writes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TEST_FAULTS_H
#define BATCHAGG_TEST_FAULTS_H

/* Not utils/builtins.h: its names of SQL functions get in the way of the pure rooms. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "pgtime.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

extern void fault_allocation(void);
extern void fault_write(void);

#define FAULTY(call) (fault_allocation(), call)
#define FAULTY_WRITE(call) (fault_write(), call)

/* Memory */
#define palloc(...) FAULTY(palloc(__VA_ARGS__))
#define palloc0(...) FAULTY(palloc0(__VA_ARGS__))
#define palloc_extended(...) FAULTY(palloc_extended(__VA_ARGS__))
#define repalloc(...) FAULTY(repalloc(__VA_ARGS__))
#define repalloc_huge(...) FAULTY(repalloc_huge(__VA_ARGS__))
#define pstrdup(...) FAULTY(pstrdup(__VA_ARGS__))
#define pnstrdup(...) FAULTY(pnstrdup(__VA_ARGS__))
#define psprintf(...) FAULTY(psprintf(__VA_ARGS__))
#define MemoryContextAlloc(...) FAULTY(MemoryContextAlloc(__VA_ARGS__))
#define MemoryContextAllocZero(...) FAULTY(MemoryContextAllocZero(__VA_ARGS__))
#define MemoryContextAllocExtended(...) FAULTY(MemoryContextAllocExtended(__VA_ARGS__))
#define MemoryContextAllocHuge(...) FAULTY(MemoryContextAllocHuge(__VA_ARGS__))
#define MemoryContextStrdup(...) FAULTY(MemoryContextStrdup(__VA_ARGS__))
#define AllocSetContextCreateInternal(...) FAULTY(AllocSetContextCreateInternal(__VA_ARGS__))

/* What is made of it */
#define lappend(...) FAULTY(lappend(__VA_ARGS__))
#define lappend_int(...) FAULTY(lappend_int(__VA_ARGS__))
#define lappend_oid(...) FAULTY(lappend_oid(__VA_ARGS__))
#define list_concat(...) FAULTY(list_concat(__VA_ARGS__))
#define hash_create(...) FAULTY(hash_create(__VA_ARGS__))
#define hash_search(...) FAULTY(hash_search(__VA_ARGS__))
#define construct_array(...) FAULTY(construct_array(__VA_ARGS__))
#define heap_form_tuple(...) FAULTY(heap_form_tuple(__VA_ARGS__))

/* What needs it */
#define getBaseType(...) FAULTY(getBaseType(__VA_ARGS__))
#define get_func_namespace(...) FAULTY(get_func_namespace(__VA_ARGS__))
#define get_namespace_oid(...) FAULTY(get_namespace_oid(__VA_ARGS__))
#define get_relname_relid(...) FAULTY(get_relname_relid(__VA_ARGS__))
#define find_all_inheritors(...) FAULTY(find_all_inheritors(__VA_ARGS__))
#define table_open(...) FAULTY(table_open(__VA_ARGS__))
#define systable_beginscan(...) FAULTY(systable_beginscan(__VA_ARGS__))
#define systable_getnext(...) FAULTY(systable_getnext(__VA_ARGS__))
#define RegisterSnapshot(...) FAULTY(RegisterSnapshot(__VA_ARGS__))
#define PushActiveSnapshot(...) FAULTY(PushActiveSnapshot(__VA_ARGS__))
#define RegisterXactCallback(...) FAULTY(RegisterXactCallback(__VA_ARGS__))
#define RegisterSubXactCallback(...) FAULTY(RegisterSubXactCallback(__VA_ARGS__))
#define CatalogOpenIndexes(...) FAULTY(CatalogOpenIndexes(__VA_ARGS__))
#define LockAcquire(...) FAULTY(LockAcquire(__VA_ARGS__))
#define DefineCustomBoolVariable(...) FAULTY(DefineCustomBoolVariable(__VA_ARGS__))
#define DefineCustomIntVariable(...) FAULTY(DefineCustomIntVariable(__VA_ARGS__))
#define DefineCustomEnumVariable(...) FAULTY(DefineCustomEnumVariable(__VA_ARGS__))
#define DefineCustomStringVariable(...) FAULTY(DefineCustomStringVariable(__VA_ARGS__))
#define SPI_prepare(...) FAULTY(SPI_prepare(__VA_ARGS__))

/* Writes */
#define CatalogTupleInsertWithInfo(...) FAULTY_WRITE(CatalogTupleInsertWithInfo(__VA_ARGS__))
#define CatalogTupleDelete(...) FAULTY_WRITE(CatalogTupleDelete(__VA_ARGS__))
#define table_multi_insert(...) FAULTY_WRITE(table_multi_insert(__VA_ARGS__))
#define table_tuple_delete(...) FAULTY_WRITE(table_tuple_delete(__VA_ARGS__))
#define simple_table_tuple_update(...) FAULTY_WRITE(simple_table_tuple_update(__VA_ARGS__))
#define simple_table_tuple_delete(...) FAULTY_WRITE(simple_table_tuple_delete(__VA_ARGS__))
#define SPI_execute_snapshot(...) FAULTY_WRITE(SPI_execute_snapshot(__VA_ARGS__))

/*
 * Lack of memory as PostgreSQL's settings tell of it: the check of a value, which
 * allocates by malloc(), finds it invalid.
 */
extern int	fault_setting(const char *name, const char *value, int elevel);

#define set_config_option(name, value, context, source, action, change, elevel, reload) \
	(fault_setting(name, value, elevel) != 0 ? 0 : \
	 set_config_option(name, value, context, source, action, change, elevel, reload))

/* Likewise a time zone, which is not found. */
extern bool fault_zone(void);

#define pg_tzset(name) (fault_zone() ? NULL : pg_tzset(name))

#endif							/* BATCHAGG_TEST_FAULTS_H */
