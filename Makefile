# Two targets do all the set-up on a machine with Rust and Debian: `make run` and `make test`.
# They need besides Rust: a C compiler and make (Debian: build-essential), and curl; the tests need the servers that
# ./.ci/tools installs.

export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tollway/target

.PHONY: run test soak lint generate deny fuzz dist bench

run: ## Build, start the platform, walk the main job, stay up until Ctrl-C
	@./examples/main-job/run

test: ## All tests, after installing the servers that they start
	@./.ci/tools
	cargo test --workspace --locked

soak: ## Everything an operator does, under load: no call fails (long form)
	SOAK=long cargo test --package tollway --test it --locked -- --nocapture soak::

lint: ## Formatting and lints, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

generate: ## Write the generated files anew
	cargo xtask generate

deny: ## Licences, sources and advisories of the dependency tree
	./.ci/deny

fuzz: ## Every fuzz target for SECONDS (default 60)
	./fuzz/run $(or $(SECONDS_EACH),60)

dist: ## Build what is shipped, laid out by a profile of calls, in $(CARGO_TARGET_DIR)/shipped; an hour on two cores
	@./benches/tools
	@./.ci/dist

# What is measured is what is shipped; BINARY=… measures another one.
bench: $(if $(BINARY),,dist) ## Measure beside nginx, Envoy and HAProxy, write docs/benchmarks.md; ARGS=--quick only shows that it works
	@./benches/tools
	cargo build --profile dist --locked --package policies --package limits --package gateway --example cost --example memory_of_keys --example key_table
	mkdir -p $(CARGO_TARGET_DIR)/shipped && ln -sfn ../dist/examples $(CARGO_TARGET_DIR)/shipped/examples
	cargo xtask bench --binary $(or $(BINARY),$(CARGO_TARGET_DIR)/shipped/tollway) $(or $(ARGS),--write)
