//! One file per verb.

pub mod cache;
pub mod check;
pub mod dev;
pub mod doctor;
pub mod images;
pub mod inspect;
pub mod launch;
pub mod lock;
pub mod login;
pub mod pack;
pub mod policy;
pub mod python;
pub mod registry;
pub mod reload;
pub mod run;
pub mod save;
pub mod serve;
mod serve_target;
pub mod signature;
pub mod system;
pub mod take_snapshot;
pub mod target;
pub mod version;
pub mod volume;
pub mod warm;
