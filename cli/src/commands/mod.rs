//! One file per verb.

pub mod check;
pub mod doctor;
pub mod launch;
pub mod pack;
pub mod policy;
pub mod python;
pub mod run;
pub mod version;
