# Everything a developer and a CI job call. Each target brings its environment up to date first; that takes no time
# unless a lock file has changed.

.DEFAULT_GOAL := help
.PHONY: help run test faults memory check bench format lock environment broker
ARGS ?=
LOAD ?=

help:
	@echo 'make run     start Waybill with PostgreSQL, RabbitMQ, an inbox and a payment provider on this machine;'
	@echo '             installs what is missing; options: make run ARGS="--port 9000 --fresh"'
	@echo 'make test    run all tests against real servers; options: make test ARGS="-k relay -x"'
	@echo 'make faults  break everything, as often as docs/faults.md says, load with random faults for 20 minutes, and write'
	@echo '             that page anew; takes hours; options: make faults LOAD="--minutes 5"; for some tests and no load:'
	@echo '             make faults ARGS="-k kill_matrix"'
	@echo 'make memory  the memory of every process over an hour of load, into the same page'
	@echo 'make check   lint, formatting, types and the direction of imports'
	@echo 'make bench   what Waybill does in a second beside what its servers can do; a look: make bench ARGS=--quick'
	@echo 'make format  mend what lint and formatting can mend'
	@echo 'make lock    resolve the dependencies again into the lock files; options: make lock ARGS=--upgrade'
	@echo '.ci/run      what CI runs: check, then test, on a machine that may have nothing but Python'

run: environment broker
	@exec .venv/bin/waybill dev $(ARGS)

test: environment broker
	@command -v curl >/dev/null || scripts/install-packages curl
	@exec .venv/bin/pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

# What is not run again stays in the page as it was.
faults: export WAYBILL_FAULTS_FULL = 1
faults memory: export WAYBILL_FAULTS_RESULTS = $(CURDIR)/tests/faults/results
faults: environment broker
	.venv/bin/pytest -n 2 --dist worksteal tests/faults tests/input $(ARGS)
	$(if $(ARGS),,.venv/bin/python -m tests.faults.load $(LOAD))
	@.venv/bin/python -m tests.faults.table $(WAYBILL_FAULTS_RESULTS)

memory: environment broker
	.venv/bin/python -m tests.faults.load --minutes 60 --rate 15 --faults none --memory $(LOAD)
	@.venv/bin/python -m tests.faults.table $(WAYBILL_FAULTS_RESULTS)

check: environment
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: environment broker
	@command -v wrk >/dev/null || scripts/install-packages wrk
	@bench/get-smtp-sink
	@exec .venv/bin/python -m bench $(ARGS)

format: environment
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

lock: environment
	@scripts/lock $(ARGS)

environment:
	@scripts/environment

broker: environment
	@scripts/broker
