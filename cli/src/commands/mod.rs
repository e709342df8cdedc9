//! One file per verb.

mod fingerprint;
pub mod launch;
pub mod pack;
pub mod python;
pub mod run;
pub mod version;
