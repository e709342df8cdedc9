//! End-to-end tests: the real binary, real sockets on loopback.
//!
//! Tests whose names start with `registry_` fetch packages from the configured package index; all
//! others reach nothing but loopback.

mod support;

#[allow(dead_code, reason = "the tests of the client use more of it")]
#[path = "../../packager/registry/tests/support/server.rs"]
mod server;

mod advisories;
mod analysis;
mod apps;
mod asgi;
mod attacks;
mod builds;
mod cache;
mod cli;
mod clocks;
mod conformance;
mod crashes;
mod cryptography;
mod debugging;
mod dev;
mod docs;
mod embed;
mod fastapi;
mod faults;
mod files;
mod front;
mod greenlets;
mod images;
mod isolate;
mod layering;
mod limits;
mod locks;
mod network;
mod numpy;
mod pandas;
mod policy;
mod popular;
mod processes;
mod python;
mod real_servers;
mod registry;
mod registry_access;
mod resume;
mod seeds;
mod serve;
mod servers;
mod shell;
mod signals;
mod store;
mod swapped;
mod terminal;
mod tls;
mod workers;
mod zones;
