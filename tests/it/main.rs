//! End-to-end tests: the real binary, real sockets on loopback.
//!
//! Tests whose names start with `registry_` fetch packages from the configured package index; all
//! others reach nothing but loopback.

mod support;

mod advisories;
mod apps;
mod attacks;
mod builds;
mod cache;
mod cli;
mod dev;
mod docs;
mod embed;
mod fastapi;
mod faults;
mod files;
mod layering;
mod limits;
mod network;
mod policy;
mod processes;
mod python;
mod registry;
mod resume;
mod seeds;
mod serve;
mod signals;
mod store;
mod tls;
mod workers;
