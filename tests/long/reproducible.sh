#!/bin/sh
# timeout: 2400
# As tests/lint/reproducible.sh, with the libraries and musl built twice as well.
exec tests/lint/reproducible.sh --full
