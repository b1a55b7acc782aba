# The two commands are `make demo` and `make test`; everything else is for daily work. Meson does the building:
# this file only names what people do. See README.md.

.PHONY: help demo demo-stop test test-fast build dev bench fuzz coverage format check clean

help:
	@echo "make demo        install what is missing, build, start a server, train real models on it, read them back"
	@echo "make demo-stop   stop the server that make demo left running"
	@echo "make test        install what is missing, build every way, run every test"
	@echo ""
	@echo "make build       the release program: build/release/cairn"
	@echo "make dev         the debug program: build/dev/cairn"
	@echo "make test-fast   unit tests of the debug build, under a minute"
	@echo "make check       format, includes, banned functions, generated code, ..."
	@echo "make format      rewrite the C sources as .clang-format says"
	@echo "make bench       measure against MLflow and FastTrackML; ARGS=--quick takes under 5 minutes"
	@echo "make fuzz        run every fuzz target; FUZZ_SECONDS=600 each by default"
	@echo "make coverage    line and branch coverage of the C tests, per file"
	@echo "make clean       remove build/ (kept: demo-data/, .cache/)"

demo:
	@tools/setup demo
	@tools/demo start

demo-stop:
	@tools/demo stop

test:
	@tools/setup test
	@tools/test all

build:
	@tools/setup build
	@tools/build release cairn
	@echo "built build/release/cairn"

dev:
	@tools/setup build
	@tools/build dev
	@echo "built build/dev/cairn"

test-fast: dev
	@meson test -C build/dev --no-rebuild --suite unit

check:
	@tools/setup test
	@tools/test check

bench:
	@tools/setup bench
	@tools/build release cairn bench/bench_load bench/bench_receive bench/bench_floor bench/bench_run bench/bench_lineage
	@tools/bench $(ARGS)

fuzz:
	@tools/setup test
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} tools/test fuzz

coverage:
	@tools/setup test
	@tools/coverage

format:
	@tools/check-format --write

clean:
	rm -rf build
