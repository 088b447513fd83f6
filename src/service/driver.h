#ifndef BATCHAGG_DRIVER_H
#define BATCHAGG_DRIVER_H
static inline bool driver_is_pg_cron(void) { return false; }
#endif
