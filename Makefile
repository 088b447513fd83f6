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
  make dist          the archive for PGXN, of what is committed (needs no PostgreSQL)

With nothing but make: as root these install missing packages; anybody else is
told what is missing.  They leave the machine's PostgreSQL as it is, and work on
a copy of it, with temporary clusters of their own:

  make demo          the tour: sample data, jobs, results (a minute or two)
  make demo-shell    psql on the result of the tour
  make check         all tests (about 20 minutes); test/README.md says how to run
                     some of them
  make check-fresh   demo and check on clean machines of several kinds and
                     releases, made by debootstrap (two hours; MACHINES="debian13
                     debian12:demo" chooses; needs root)
  make dev           builds, and starts a cluster; both stay for the next time
  make one T=regress:filter       runs a test there, in seconds (T="unit tap:02-dump")
  make dev-clean     stops the cluster, and removes what make dev has left
  make lint          what can be said of the sources by looking at them
  make coverage      which share of each room's lines the tests reach (T="regress" chooses)
  make tags          tags for an editor, by ctags
  make asserts       all tests on a PostgreSQL with assertions, which is built from
                     Debian's source package (TESTS="regress:filter unit" chooses)
  make asan          most of them on one with AddressSanitizer and UBSan
  make bench         the engine against plain SQL; PARTS="wide groups" or
                     PARTS=all chooses, see test/bench/run
  make bench-service        lateness, throughput and idle cost of the service
  make bench-incremental    incremental runs, and the cost of tracking changes
endef
export HELP

SCRIPTED = help check check-fresh dev one dev-clean lint coverage tags asserts asan demo demo-shell bench bench-service bench-incremental

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

dev:
	@BATCHAGG_DEV=yes test/run

one:
	@[ -n "$(T)" ] || { echo 'which test? make one T=regress:filter' >&2; exit 1; }
	@BATCHAGG_DEV=yes test/run $(T)

dev-clean:
	@BATCHAGG_DEV=clean test/run

lint:
	@test/run lint

coverage:
	@BATCHAGG_COVERAGE=yes test/run $(or $(T),unit regress isolation tap)

tags:
	@ctags -R --languages=C src

asserts asan:
	@test/checked $@ $(TESTS)

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

# Where the sources are; another directory than this one in a VPATH build:
# make -f DIRECTORY/Makefile, or make VPATH=DIRECTORY.
here := $(patsubst %/,%,$(or $(VPATH),$(dir $(firstword $(MAKEFILE_LIST)))))

BATCHAGG_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(here)/batchagg.control 2>/dev/null)

# What PGXN wants to know, in META.json, says nothing that does not stand in the
# control file.  PGXN's versions have three numbers.
RELEASE := $(shell echo $(BATCHAGG_VERSION).0.0 | cut -d . -f 1-3)
ABSTRACT := $(shell sed -n "s/^comment *= *'\(.*\)'.*/\1/p" $(here)/batchagg.control 2>/dev/null)

ifeq ($(filter-out META.json dist,$(or $(MAKECMDGOALS),all)),)

.PHONY: dist

META.json: batchagg.control Makefile
	@printf '%s\n' '{' \
	   '  "name": "batchagg",' \
	   '  "abstract": "$(ABSTRACT)",' \
	   '  "version": "$(RELEASE)",' \
	   '  "maintainer": "The batchagg maintainers",' \
	   '  "license": "postgresql",' \
	   '  "provides": {' \
	   '    "batchagg": {' \
	   '      "abstract": "$(ABSTRACT)",' \
	   '      "file": "batchagg.control",' \
	   '      "docfile": "README.md",' \
	   '      "version": "$(RELEASE)"' \
	   '    }' \
	   '  },' \
	   '  "prereqs": { "runtime": { "requires": { "PostgreSQL": "15.0.0" } } },' \
	   '  "tags": [ "aggregation", "rollup", "scheduler", "time series" ],' \
	   '  "meta-spec": { "version": "1.0.0", "url": "https://pgxn.org/meta/spec.txt" }' \
	   '}' >$@.tmp && mv $@.tmp $@

# What has been committed, and META.json.
dist: META.json
	git archive --format=zip --prefix=batchagg-$(RELEASE)/ --add-file=META.json \
		--output=batchagg-$(RELEASE).zip HEAD

else

#
# Which PostgreSQL: what is wrong is said in one line, before anything is compiled.
#
PG_CONFIG ?= pg_config
pg_version := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9][^ ]*\).*/\1/p')
pg_major := $(shell echo $(pg_version) | sed 's/[^0-9].*//')
pg_include := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# Debian's packages, those of PGDG for Red Hat, and all others.
ifneq ($(wildcard /etc/debian_version),)
debian_major := $(or $(pg_major),$(shell ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | sed -n '$$s/[^0-9]*\([0-9]*\).*/\1/p'),all)
endif
ifneq ($(or $(filter /usr/include/postgresql/%,$(pg_include)),$(if $(pg_include),,$(debian_major))),)
to_install := type "sudo apt-get install postgresql-server-dev-$(or $(pg_major),$(debian_major))"
else ifneq ($(filter /usr/pgsql-%,$(pg_include)),)
to_install := type "sudo dnf install postgresql$(pg_major)-devel"
else
to_install := install them (Debian: postgresql-server-dev-$(or $(pg_major),all), Red Hat: postgresql-server-devel)
endif

ifeq ($(pg_version)$(origin PG_CONFIG),file)
$(error PostgreSQL's server development files are missing, there is no pg_config in PATH: $(to_install), or set PG_CONFIG=/path/to/pg_config)
endif
ifeq ($(pg_version),)
$(error "$(PG_CONFIG)" is not the pg_config of a PostgreSQL: set PG_CONFIG=/path/to/pg_config)
endif
ifneq ($(shell test $(pg_major) -ge 15 || echo older),)
$(error batchagg needs PostgreSQL 15 or newer, and "$(PG_CONFIG)" belongs to $(pg_version): set PG_CONFIG=/path/to/pg_config of a newer one)
endif
ifeq ($(and $(wildcard $(PGXS)),$(wildcard $(pg_include)/postgres.h)),)
$(error the server development files of PostgreSQL $(pg_major) are missing ($(pg_include)/postgres.h): $(to_install), or set PG_CONFIG=/path/to/pg_config of another PostgreSQL)
endif

#
# What is built
#
EXTENSION = batchagg
MODULE_big = batchagg
PGFILEDESC = "batchagg - scheduled roll-ups"

OBJS := $(patsubst $(here)/%.c,%.o,$(sort $(wildcard $(here)/src/*.c $(here)/src/*/*.c)))
DATA_built = batchagg--$(BATCHAGG_VERSION).sql

# For the tests of faults (test/README.md): a library that fails where it is told to.
ifdef BATCHAGG_FAULTS
OBJS += test/faults/faults.o
override PG_CPPFLAGS += -include $(here)/test/faults/faults.h
endif

ifeq ($(and $(OBJS),$(BATCHAGG_VERSION)),)
$(error there is no batchagg in "$(here)": make -f DIRECTORY/Makefile, or make VPATH=DIRECTORY, builds it elsewhere)
endif

# make would take objects that it finds beside the sources, whatever server they are for.
ifneq ($(realpath $(here)),$(realpath .))
elsewhere := yes
# PGXS does not set it where the server was built in its source tree.
VPATH := $(here)
ifneq ($(wildcard $(addprefix $(here)/,$(OBJS) $(DATA_built) batchagg.so batchagg.dylib)),)
$(error batchagg has been built in "$(here)" itself: run "make clean" there first)
endif
endif

# -MMD and -MP: each object notes the headers it was made from, for the
# include at the end of this file.  PostgreSQL's own way to do that keeps one file
# for src/api/run.c and src/run/run.c.
override autodepend = no
override PG_CPPFLAGS += -I$(here)/src -DBATCHAGG_VERSION='"$(BATCHAGG_VERSION)"' -MMD -MP \
	'-DPGDLLEXPORT=__attribute__((visibility("default")))'

# These stand behind whatever a packager or developer adds.  PostgreSQL's code
# needs the first two; compensated sums need each operation rounded by itself, so
# no fused multiply-add but where the source asks for it.  See src/api/export.h for
# the symbols.  PostgreSQL's own headers do not pass without the exceptions from
# the warnings; clang does not know some flags and attributes that gcc was given.
# For warnings as errors: make COPT=-Werror.
override PG_CFLAGS += -fno-strict-aliasing -fwrapv -ffp-contract=off -fvisibility=hidden \
	-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	$(if $(is_clang),-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes) \
	$(if $(is_optimized_as_usual),-O3)

is_clang = $(filter __clang__,$(shell echo | $(CC) -dM -E -x c - 2>/dev/null))

# -O3 instead of PostgreSQL's -O2 makes the engine's loops 5 % faster.  Who asks for
# something else gets it.
is_optimized_as_usual = $(and $(filter -O2,$(CFLAGS)),$(filter-out command,$(firstword $(origin CFLAGS))),$(if $(filter -O%,$(COPT) $(PROFILE)),,yes))

#
# What is tested
#
EXTRA_CLEAN = $(OBJS:.o=.d) META.json batchagg-$(RELEASE).zip $(DATA_built).tmp test/unit/build tmp_check \
	test/isolation/results test/isolation/regression.diffs test/isolation/regression.out \
	$(if $(elsewhere),expected test/isolation/expected)

# On a server of any encoding and locale, with any settings.
ENCODING = UTF8
NOLOCALE = --no-locale
launcher = $(abspath $(here))/test/lib/regress_launcher $(bindir)/psql

# pg_regress looks for the answers in ./expected, on every version.
REGRESS = $(patsubst $(here)/test/sql/%.sql,%,$(sort $(wildcard $(here)/test/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(here)/test --launcher="$(launcher) $(CONTRIB_TESTDB)"

# From 16 on, pg_isolation_regress looks for the answers in --expecteddir;
# before, in --outputdir.
ISOLATION = $(patsubst $(here)/test/isolation/specs/%.spec,%,$(sort $(wildcard $(here)/test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(here)/test/isolation --outputdir=test/isolation \
	$(if $(filter-out 15,$(MAJORVERSION)),--expecteddir=test/isolation) \
	--launcher="$(launcher) $(ISOLATION_TESTDB)"

# "make installcheck TAP_TESTS=1" adds the TAP tests, which start servers of
# their own.
PROVE_TESTS = test/t/*.t

REGRESS_PREP = answers forget-prepared

# No LLVM bitcode: it serves to inline functions into expressions that are
# compiled just in time, and none here is small enough to be inlined.
override with_llvm = no

include $(PGXS)

# Servers can lack what the headers of a later minor version promise.
header_version := $(shell echo PG_VERSION | $(CC) -E -P -I$(pg_include) -include pg_config.h -x c - 2>/dev/null | sed -n 's/^"\([0-9][^ "]*\).*/\1/p')
server_version := $(shell $(bindir)/postgres -V 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9][^ ]*\).*/\1/p')
ifneq ($(and $(server_version),$(filter-out $(server_version),$(header_version))),)
$(warning the headers in $(pg_include) are of PostgreSQL $(header_version), the server in $(bindir) is $(server_version) and may not load what is built with them: \
bring both to the same version$(if $(filter /usr/include/postgresql/%,$(pg_include)), ("sudo apt-get install postgresql-$(pg_major) postgresql-server-dev-$(pg_major)")))
endif

# Without optimization the C library cannot do what Debian's flags ask of it, and warns.
ifneq ($(filter -O0,$(lastword $(filter -O%,$(CFLAGS)))),)
override CPPFLAGS += -U_FORTIFY_SOURCE
endif

# The script is its sections in the order of their names, behind a guard
# against being fed to psql.
$(DATA_built): $(sort $(wildcard $(here)/sql/[0-9]*.sql)) $(here)/batchagg.control
	@echo 'making $@'
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION batchagg" to load this file. \quit'; \
	   cat $(filter %.sql,$^); } >$@.tmp && mv $@.tmp $@

$(OBJS): %.o: $(here)/%.c $(here)/batchagg.control $(here)/Makefile
	@mkdir -p $(@D)
	$(COMPILE.c) -o $@ $<

.PHONY: answers forget-prepared clean-directories

# In a VPATH build the answers are elsewhere.
answers:
	@mkdir -p test/isolation
	@for directory in . test/isolation; do \
		[ -e $$directory/expected ] || ln -s $(abspath $(here))/$$directory/expected $$directory/expected; done

# A run that was interrupted can leave a prepared transaction, and then its database
# cannot be dropped.
forget-prepared:
	@$(bindir)/psql -X -q -d $(ISOLATION_TESTDB) -c "ROLLBACK PREPARED 'incremental'" >/dev/null 2>&1 || :

# In a VPATH build, directories have been made for the objects.
clean: $(if $(elsewhere),clean-directories)
clean-directories:
	rm -f $(OBJS) $(OBJS:.o=.d)
	@rmdir $(sort $(dir $(OBJS))) src 2>/dev/null || :

-include $(OBJS:.o=.d)

endif

endif
