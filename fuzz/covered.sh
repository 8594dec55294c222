#!/bin/sh
# The compiler, with what tells the fuzzer where an input has led. Cargo runs it for the crates of
# the workspace alone; their dependencies stay as every other build has them. A build script or a
# macro of the workspace would have to be left out here: it is run by the compiler, and not fuzzed.
exec "$@" --cfg=fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
