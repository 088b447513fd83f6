# batchagg: "make help" says what there is to make.

define HELP
batchagg: scheduled roll-ups inside PostgreSQL

With PostgreSQL's server development files, against the pg_config in PATH or
PG_CONFIG=/path/to/pg_config:

  make               builds the library and the SQL script
  make install       installs them into PostgreSQL (as who may write there)
  make installcheck  regression and isolation tests on a running server that has
                     this version installed (PGHOST, PGPORT, PGUSER say which)
  make clean

With nothing but make: as root these install missing packages; anybody else is
told what is missing.  They leave the machine's PostgreSQL as it is, and work on
a copy of it, with temporary clusters of their own:

  make demo          the tour: sample data, jobs, results (a minute or two)
  make demo-shell    psql on the result of the tour
  make check         all tests (about 15 minutes); test/README.md says how to run
                     some of them
  make check-fresh   demo and check on clean machines of several kinds and
                     releases, made by debootstrap (two hours; MACHINES="debian13
                     debian12:demo" chooses; needs root)
  make bench         the engine against plain SQL; PARTS="wide groups" or
                     PARTS=all chooses, see test/bench/run
  make bench-service        lateness, throughput and idle cost of the service
  make bench-incremental    incremental runs, and the cost of tracking changes
endef
export HELP

SCRIPTED = help check check-fresh demo demo-shell bench bench-service bench-incremental

.PHONY: $(SCRIPTED)

# The scripted targets find or install PostgreSQL themselves, so they must not
# need a pg_config to begin with; and PGXS has a target "check" of its own.
ifeq ($(filter-out $(SCRIPTED),$(or $(MAKECMDGOALS),all)),)

help:
	@printf '%s\n' "$$HELP"

check:
	@test/run

check-fresh:
	@test/fresh $(MACHINES)

demo:
	@demo/run

demo-shell:
	@demo/run shell

bench:
	@test/bench/run $(PARTS)

bench-service:
	@test/bench/service

bench-incremental:
	@test/bench/incremental

else ifneq ($(filter $(SCRIPTED),$(MAKECMDGOALS)),)

$(error "make $(firstword $(filter $(SCRIPTED),$(MAKECMDGOALS)))" goes without other targets)

else

EXTENSION = batchagg
MODULE_big = batchagg
PGFILEDESC = "batchagg - scheduled roll-ups"

BATCHAGG_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" batchagg.control)

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA_built = batchagg--$(BATCHAGG_VERSION).sql

# -MMD and -MP: each object notes the headers it was made from, for the
# include at the end of this file.
PG_CPPFLAGS = -I$(srcdir)/src -DBATCHAGG_VERSION='"$(BATCHAGG_VERSION)"' -MMD -MP

# Compensated sums need each operation rounded by itself, so no fused
# multiply-add but where the source asks for it.  -O3 makes the engine's loops
# 5 % faster.  PostgreSQL's own headers do not pass without the exceptions from
# the warnings.
PG_CFLAGS = -Wall -Wextra -Werror \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-ffp-contract=off -O3

EXTRA_CLEAN = $(OBJS:.o=.d) test/unit/build \
	test/isolation/results test/isolation/regression.diffs test/isolation/regression.out

# pg_regress looks for the answers in ./expected, on every version.
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test

# From 16 on, pg_isolation_regress looks for the answers in --expecteddir;
# before, in --outputdir.
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation \
	$(if $(filter-out 15,$(MAJORVERSION)),--expecteddir=test/isolation)

# "make installcheck TAP_TESTS=1" adds the TAP tests, which start servers of
# their own.
PROVE_TESTS = test/t/*.t

# No LLVM bitcode: it serves to inline functions into expressions that are
# compiled just in time, and none here is small enough to be inlined.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error "$(PG_CONFIG)" leads to no PGXS: install PostgreSQL's server development files, or set PG_CONFIG)
endif
include $(PGXS)

ifneq ($(filter 9.% 10 11 12 13 14,$(MAJORVERSION)),)
$(error batchagg needs PostgreSQL 15 or newer, "$(PG_CONFIG)" is of version $(VERSION))
endif

# The script is its sections in the order of their names, behind a guard
# against being fed to psql.
$(DATA_built): $(sort $(wildcard sql/[0-9]*.sql)) batchagg.control
	@echo 'making $@'
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION batchagg" to load this file. \quit'; \
	   cat $(filter %.sql,$^); } >$@.tmp && mv $@.tmp $@

$(OBJS): batchagg.control Makefile

-include $(OBJS:.o=.d)

endif
